"""Tasks' pairs into one training set: how many of each, none twice, none from the tests, in mixed wordings.

A mixture of one task is that task's pairs. For several, after the multi-task instruction tuning of Zhang et al. 2023
(arXiv 2305.13225): each pair is asked in one of several wordings of its task's instruction, and generic instruction
data may be mixed in. Sizes follow ratios or a temperature (Raffel et al. 2020, arXiv 1910.10683, section 3.5.2).
A row with several answers can give several pairs; tests keep out rows, not pairs. Tokens are counted by a function that
is passed in. Everything is drawn from one seed.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from metier.core.errors import UserError
from metier.core.records import Example, Origin
from metier.core.storage import seed_of
from metier.data.leakage import find_leaks
from metier.data.likeness import folded
from metier.data.sizes import sizes
from metier.data.wordings import in_wordings

GENERIC = "generic"  # names the generic instruction data among the tasks

CountTokens = Callable[[Sequence[Example]], list[int]]
"""From examples to the tokens each will have as it is trained on, prompt and answer."""


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """What one task can give to a mixture.

    Attributes:
        name: The task's name.
        wordings: Its instruction, and other ways to say it.
        pairs: Its labelled rows, each with all the answers that it may be trained on, or rows chosen from a pool.
        written: Pairs that a model wrote for it, beside those.
        examples: Its hand-written examples, if they are trained on: never left out.
        origin: Where ``pairs`` are from.
        rows: How many pairs at most are made of ``pairs``; None: all, and of several tasks as many as it has rows.
        ratio: Its share of the mixture's rows; None: by size.
        unchanged: Of ``pairs``, the largest share whose answer is the input as it was.
    """

    name: str
    wordings: tuple[str, ...]
    pairs: tuple[Example, ...]
    written: tuple[Example, ...] = ()
    examples: tuple[Example, ...] = ()
    origin: Origin = "labelled"
    rows: int | None = None
    ratio: float | None = None
    unchanged: float = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class MixPlan:
    """How parts are mixed.

    Attributes:
        seed: Seeds every draw.
        rows: Rows of the tasks together, at most; None: as many as there are.
        tokens: Tokens of the mixture, at most; rows are left out at random until it fits.
        temperature: Sizes go with the (1/temperature)-th power of what a task has: 1 is in proportion, more is more
            even. Where tasks have ratios, those count instead.
        generic_share: Share of the whole mixture that is generic, from 0 to below 1.
    """

    seed: int
    rows: int | None = None
    tokens: int | None = None
    temperature: float = 1.0
    generic_share: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """What the tests keep out of the training set.

    Attributes:
        inputs: No training input is one of these, or nearly.
        texts: No training input or answer is one of these: the answers of tests that rewrite their input.
        similarity: Jaccard similarity of word 3-grams from which an input is nearly another.
    """

    inputs: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    similarity: float = 0.7


@dataclasses.dataclass(frozen=True, slots=True)
class MixedRow:
    """One row of a mixture: whose it is, where it is from, what is trained on, and its tokens."""

    task: str
    origin: Origin
    instruction: str
    input: str
    output: str
    tokens: int

    @property
    def example(self) -> Example:
        """The pair, asked with the row's instruction."""
        return Example(self.input, self.output, instruction=self.instruction)


@dataclasses.dataclass(frozen=True, slots=True)
class MakeUp:
    """What one task has in a mixture: rows, tokens, wordings, and what was left out, by reason."""

    rows: int
    tokens: int
    wordings: int
    dropped: Mapping[str, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Mixed:
    """A mixture.

    Attributes:
        rows: In training order before shuffling: task after task, each task's own examples first.
        make_up: By task, what it has in it.
    """

    rows: tuple[MixedRow, ...]
    make_up: Mapping[str, MakeUp]

    @property
    def tokens(self) -> int:
        """Tokens of all rows."""
        return sum(row.tokens for row in self.rows)

    def of(self, task: str) -> tuple[MixedRow, ...]:
        """Return one task's rows."""
        return tuple(row for row in self.rows if row.task == task)


def mix(
    parts: Sequence[Part], plan: MixPlan, kept_out: Kept, count_tokens: CountTokens, generic: Sequence[Example] = ()
) -> Mixed:
    """Return the training set of a mixture.

    Args:
        parts: What each task gives.
        plan: How they are mixed.
        kept_out: Every task's test rows.
        count_tokens: Counts the tokens of examples.
        generic: Generic instruction data, each row with an instruction of its own.

    Raises:
        UserError: A task has no data, ratios do not add up to 1, or a budget leaves nothing.
    """
    dropped: dict[str, Counter[str]] = {part.name: Counter() for part in parts}
    guard = _Tests(kept_out)
    seen: set[tuple[str, str]] = set()
    if len(parts) > 1:
        parts = [part if part.rows else dataclasses.replace(part, rows=len(part.pairs)) for part in parts]
    available = [_available(part, guard, seen, plan.seed, dropped[part.name]) for part in parts]
    wanted = sizes(
        [len(pairs) for pairs in available], ratios=_ratios(parts), temperature=plan.temperature, total=plan.rows
    )
    chosen: list[tuple[str, Origin, Example]] = []
    for part, found, size in zip(parts, available, wanted, strict=True):
        origins = {id(pair): origin for origin, pair in found}
        own = guard.without_near([pair for _, pair in found[:size]], dropped[part.name])
        every = [*part.examples, *own]
        for pair, asked in zip(every, in_wordings(part.wordings, every, plan.seed, part.name), strict=True):
            chosen.append((part.name, origins.get(id(pair), "example"), asked))
    if plan.generic_share:
        dropped[GENERIC] = Counter()
        several = round(len(chosen) * plan.generic_share / (1 - plan.generic_share))
        more = guard.without_exact(_unseen(generic, seen, dropped[GENERIC]), dropped[GENERIC])
        drawn = guard.without_near(_shuffled(more, plan.seed, GENERIC)[:several], dropped[GENERIC])
        chosen += [(GENERIC, "generic", pair) for pair in drawn]
    counts = count_tokens([pair for *_, pair in chosen])
    rows = [
        MixedRow(name, origin, pair.instruction or "", pair.input, pair.output, n)
        for (name, origin, pair), n in zip(chosen, counts, strict=True)
    ]
    if plan.tokens is not None:
        rows = _within(rows, plan.tokens, plan.seed, dropped)
    return Mixed(tuple(rows), {name: _make_up(rows, name, dropped[name]) for name in dropped})


def _available(
    part: Part, guard: _Tests, seen: set[tuple[str, str]], seed: int, why: Counter[str]
) -> list[tuple[Origin, Example]]:
    """Return a task's pairs that may be trained on, shuffled, each with where it is from.

    A row's further answers come after the first of every row: where only so many pairs are taken, as many different
    inputs as there are teach more than the same ones again, and a task whose rows have ten answers takes no more of the
    mixture than one whose rows have one.
    """
    _unseen(part.examples, seen, Counter())
    rows = _shuffled(guard.without_exact(part.pairs, why), seed, part.name)
    pairs = _unseen(_one_answer_each(rows, seed, part.name), seen, why)
    pairs = _fewer_unchanged(pairs, part.unchanged, why)[: part.rows]
    written = guard.without_exact(_unseen(part.written, seen, why), why)
    found: list[tuple[Origin, Example]] = [(part.origin, pair) for pair in pairs]
    found += [("synthetic", pair) for pair in written]
    if not found:
        told = ", ".join(f"{n} {reason}" for reason, n in why.items()) or "none were given"
        if set(why) == {"unchanged"}:
            raise UserError(
                f"task {part.name}: the answer of each of its {why['unchanged']} rows is the input as it was, and at "
                f"most {part.unchanged:.0%} of what is trained on may be",
                hint="give it rows whose answer changes something, or leave the task out",
            )
        raise UserError(
            f"task {part.name}: it has no training data ({told})",
            hint="name its rows (data: or the task's train:), let the model write some (synthetic=200), or leave "
            "the task out",
        )
    random.Random(seed_of(seed, "mixture", part.name)).shuffle(found)
    return found


def _make_up(rows: Sequence[MixedRow], name: str, dropped: Mapping[str, int]) -> MakeUp:
    own = [row for row in rows if row.task == name]
    return MakeUp(len(own), sum(row.tokens for row in own), len({row.instruction for row in own}), dict(dropped))


class _Tests:
    """What the tests keep out of the training set."""

    def __init__(self, kept_out: Kept) -> None:
        self._kept_out = kept_out
        self._texts = {folded(text) for text in (*kept_out.inputs, *kept_out.texts)}
        self._answers = {folded(text) for text in kept_out.texts}

    def without_exact(self, pairs: Sequence[Example], why: Counter[str]) -> list[Example]:
        """Return the rows of which neither the input nor any answer is in a test."""
        kept = [
            pair
            for pair in pairs
            if folded(pair.input) not in self._texts and not any(folded(a) in self._answers for a in pair.references)
        ]
        _count(why, "in a test", len(pairs) - len(kept))
        return kept

    def without_near(self, pairs: Sequence[Example], why: Counter[str]) -> list[Example]:
        similarity = self._kept_out.similarity
        leaks = find_leaks([p.input for p in pairs], self._kept_out.inputs, similarity=similarity) if pairs else []
        leaked = {leak.pair for leak in leaks}
        _count(why, "nearly in a test", len(leaked))
        return [pair for i, pair in enumerate(pairs) if i not in leaked]


def _unseen(pairs: Sequence[Example], seen: set[tuple[str, str]], why: Counter[str]) -> list[Example]:
    """Return pairs that no task before has, and remember them."""
    kept = []
    for pair in pairs:
        key = (folded(pair.input), folded(pair.output))
        if key in seen:
            continue
        seen.add(key)
        kept.append(pair)
    _count(why, "twice", len(pairs) - len(kept))
    return kept


def _one_answer_each(rows: Sequence[Example], seed: int, name: str) -> list[Example]:
    """Return a pair for each different answer of the rows: one of every row, drawn by the seed, then second ones."""
    rng = random.Random(seed_of(seed, "references", name))
    rounds: list[list[Example]] = []
    for row in rows:
        answers = list(dict.fromkeys(row.references))
        if len(answers) > 1:
            rng.shuffle(answers)
        for place, answer in enumerate(answers):
            if place == len(rounds):
                rounds.append([])
            rounds[place].append(dataclasses.replace(row, output=answer, others=()))
    return [pair for pairs in rounds for pair in pairs]


def _fewer_unchanged(pairs: Sequence[Example], share: float, why: Counter[str]) -> list[Example]:
    changed = sum(p.input.split() != p.output.split() for p in pairs)
    most = len(pairs) if share >= 1 else round(changed * share / (1 - share))
    kept = []
    for pair in pairs:
        if pair.input.split() == pair.output.split():
            if most <= 0:
                continue
            most -= 1
        kept.append(pair)
    _count(why, "unchanged", len(pairs) - len(kept))
    return kept


def _shuffled(pairs: Sequence[Example], seed: int, name: str) -> list[Example]:
    out = list(pairs)
    random.Random(seed_of(seed, "mixture", name)).shuffle(out)
    return out


def _ratios(parts: Sequence[Part]) -> list[float] | None:
    given = [part.ratio for part in parts if part.ratio is not None]
    if given and len(given) < len(parts):
        without = next(part.name for part in parts if part.ratio is None)
        raise UserError(f"task {without}: it has no ratio, and others have one", hint="give all tasks one, or none")
    return given or None


def _within(rows: Sequence[MixedRow], tokens: int, seed: int, dropped: dict[str, Counter[str]]) -> list[MixedRow]:
    """Leave rows out at random until the rest has at most so many tokens; tasks' own examples are taken first."""
    order = list(range(len(rows)))
    random.Random(seed_of(seed, "tokens")).shuffle(order)
    order.sort(key=lambda i: rows[i].origin != "example")
    kept, used = set(), 0
    for i in order:
        if used + rows[i].tokens <= tokens:
            kept.add(i)
            used += rows[i].tokens
        else:
            _count(dropped[rows[i].task], "over the token budget", 1)
    if not kept:
        raise UserError(f"tokens: {tokens} are too few for a single row", hint="raise tokens")
    return [row for i, row in enumerate(rows) if i in kept]


def _count(why: Counter[str], reason: str, several: int) -> None:
    if several:
        why[reason] += several
