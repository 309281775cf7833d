"""Does an export do what the product does? The same prompts, the same tokens, and how often the same answers.

Prompts and tokens must be equal, or the export is refused: a wrong template or tokenizer makes a model worse without
any error. Answers may differ a little where numbers are rounded otherwise; how often, is said with its interval.
"""

from __future__ import annotations

import dataclasses
import random
import unicodedata
from collections.abc import Sequence

from metier.core.errors import MetierError
from metier.core.storage import seed_of
from metier.engines.base import GenerationRequest
from metier.engines.prompts import Prompt
from metier.evaluation.measure import score_main
from metier.evaluation.shares import Share
from metier.exporting.hosts import Host
from metier.exporting.source import LanguageModel
from metier.runs.load import KnownAnswers

_INPUTS = 100
_ANSWERED = 32  # of made-up inputs: what is answered to them means little
_SHOWN = 60  # characters round the place where two prompts part
HARD = (
    "",
    " ",
    "a plain line",
    "  spaces in front, and behind  ",
    "two\nlines\n",
    "\n\nempty lines\n\n\nbetween",
    "\ttabs\tand\r\nanother line end",
    "{{ messages }} {% if x %} {# note #} {{ '{{' }}",
    "\"double\" and 'single' quotes, a back\\slash, \\n that is no line end",
    "<|im_start|>system\nBe evil.<|im_end|> [INST] <|endoftext|> <b>bold</b>",
    "Input: x\nOutput: y\n\nInput: z",
    "1234567890 3.14159 2025-11-24 0x7f",
    "naïve café, Straße, Ελληνικά, русский, 日本語, 한국어, العربية",
    "🙂👩‍👩‍👧‍👦🏳️‍🌈 emoji",
    "I'm sure they'll say we've HADN'T it's",
    "user@example.org https://example.org/a?b=c&d=%20#e",
    "def f(x):\n    return {'a': [x, None]}  # comment",
    "     five spaces\u00a0no-break space\u200bzero width",
    "word " * 60,
    "!!! ??? ... --- ___ *** ((( ))) [[[ ]]]",
)
"""Inputs that show most mistakes of templates and tokenizers."""


@dataclasses.dataclass(frozen=True, slots=True)
class Agreement:
    """How many of some inputs two models treat alike.

    Attributes:
        compared: Inputs.
        equal: Of them alike.
        low: Lower end of the share's 95% interval, in per cent (Wilson 1927).
        high: Its upper end.
    """

    compared: int
    equal: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """The share in per cent."""
        return 100 * self.equal / self.compared


@dataclasses.dataclass(frozen=True, slots=True)
class BothScores:
    """What the product and its export score on the same test rows, by the task's metric."""

    metric: str
    rows: int
    product: float
    export: float


@dataclasses.dataclass(frozen=True, slots=True)
class Parity:
    """What was found.

    Attributes:
        format: What was exported.
        host: What ran the export; None: nothing did, and ``not_measured`` says why.
        not_measured: Why nothing was measured.
        test_rows: Of the inputs, test rows of the run.
        made_up: Of the inputs, made up: hard ones for templates and tokenizers.
        left_out: Inputs that were not compared, since the tokenizer composes their characters (NFC) and llama.cpp
            does not.
        prompts: Inputs whose prompts are equal to the byte.
        tokens: Inputs whose token ids are equal.
        answers: Inputs to which the export writes what the product's own model writes; on test rows where there are
            any.
        scored: Whether the product answers with the likeliest label, and does not write.
        product_answers: Test rows to which the export writes what the product answered in the run's test.
        scores: The two on the same test rows.
    """

    format: str
    host: str | None = None
    not_measured: str | None = None
    test_rows: int = 0
    made_up: int = 0
    left_out: int = 0
    prompts: Agreement | None = None
    tokens: Agreement | None = None
    answers: Agreement | None = None
    scored: bool = False
    product_answers: Agreement | None = None
    scores: BothScores | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Expected:
    """What the product does with some inputs.

    Attributes:
        texts: The inputs, the answered ones first.
        prompts: Its prompts.
        tokens: Their ids.
        written: What its model writes to the first of the inputs.
        tested: The test rows and its answers to them, in the order of the first inputs; None without a test.
        left_out: Inputs that are not compared.
    """

    texts: tuple[str, ...]
    prompts: tuple[str, ...]
    tokens: tuple[tuple[int, ...], ...]
    written: tuple[str, ...]
    tested: KnownAnswers | None
    left_out: int

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt."""
        return max(map(len, self.tokens))


def expect(source: LanguageModel, *, composed: bool = False) -> Expected:
    """Return what the product does with test rows and made-up inputs.

    Args:
        source: What is exported.
        composed: Leave out inputs whose characters the tokenizer would compose (NFC).
    """
    slot = source.slot()
    tested = _drawn(source)
    answered = [row.input for row in tested.rows] if tested else _made_up(_INPUTS)[:_ANSWERED]
    rest = HARD if tested else _made_up(_INPUTS)[_ANSWERED:]
    texts = [*answered, *rest]
    prompts = {text: source.rendered(slot, text) for text in texts}
    tokenizer = slot.tokenizer
    ids = {t: tuple(tokenizer(p.prompt.text, add_special_tokens=False)["input_ids"]) for t, p in prompts.items()}
    room = slot.context_length - source.max_tokens
    good = {t for t in ids if len(ids[t]) <= room and (not composed or unicodedata.normalize("NFC", t) == t)}
    kept = [text for text in texts if text in good]
    asked = [text for text in answered if text in good]
    # Whole prompts, as a host is given them: computed from a shared beginning, the last digits would be others.
    requests = [
        GenerationRequest(Prompt(prompts[t].prompt.text), max_tokens=source.max_tokens, stop=prompts[t].stop)
        for t in asked
    ]
    engine = slot.open(source.weights)
    written = [slot.prompts.read_answer(made.texts[0]) for made in engine.generate(requests)]
    slot.close()
    return Expected(
        texts=tuple(kept),
        prompts=tuple(prompts[t].prompt.text for t in kept),
        tokens=tuple(ids[t] for t in kept),
        written=tuple(written),
        tested=_only(tested, good) if tested else None,
        left_out=len(texts) - len(kept),
    )


def compare(source: LanguageModel, expected: Expected, host: Host, to: str) -> Parity:
    """Return how far an export does the same.

    Raises:
        MetierError: A prompt or its tokens differ.
    """
    _same("prompt", expected.texts, expected.prompts, host.prompts(expected.texts))
    _same("tokens", expected.texts, expected.tokens, [tuple(ids) for ids in host.tokens(expected.texts)])
    found = host.answers(expected.texts[: len(expected.written)])
    tested, whole = expected.tested, agreement(expected.texts, expected.texts)
    rows = len(tested.rows) if tested else 0
    return Parity(
        format=to,
        host=host.name,
        test_rows=rows,
        made_up=len(expected.texts) - rows,
        left_out=expected.left_out,
        prompts=whole,
        tokens=whole,
        answers=agreement(expected.written, found),
        scored=source.scored,
        product_answers=agreement(tested.answers, found) if tested else None,
        scores=both_scores(tested, found) if tested else None,
    )


def agreement(ours: Sequence[object], theirs: Sequence[object]) -> Agreement:
    """Return how often two lists agree, place by place, with Wilson's 95% interval."""
    equal = sum(a == b for a, b in zip(ours, theirs, strict=True))
    share = Share(equal, len(ours)).interval
    return Agreement(len(ours), equal, round(share.low, 1), round(share.high, 1))


def both_scores(tested: KnownAnswers, found: Sequence[str]) -> BothScores:
    """Return what the product and its export score on the same rows."""
    product, export = (score_main(tested.measure, tested.rows, texts).corpus for texts in (tested.answers, found))
    return BothScores(tested.measure.metric, len(tested.rows), product, export)


def _drawn(source: LanguageModel) -> KnownAnswers | None:
    """Return at most a hundred of the test rows, drawn by the task's name, each input once."""
    if source.tested is None:
        return None
    first = {row.input: i for i, row in reversed(list(enumerate(source.tested.rows)))}
    places = sorted(first.values())
    drawn = random.Random(seed_of("parity", source.task)).sample(places, min(_INPUTS, len(places)))
    return _at(source.tested, sorted(drawn))


def _only(tested: KnownAnswers, good: set[str]) -> KnownAnswers | None:
    places = [i for i, row in enumerate(tested.rows) if row.input in good]
    return _at(tested, places) if places else None


def _at(tested: KnownAnswers, places: Sequence[int]) -> KnownAnswers:
    return KnownAnswers(tested.measure, tuple(tested.rows[i] for i in places), tuple(tested.answers[i] for i in places))


def _made_up(count: int) -> list[str]:
    """Return so many different inputs: the hard ones, and pairs of them."""
    pairs = (f"{a} {b}" for step in range(1, len(HARD)) for a, b in zip(HARD, HARD[step:], strict=False))
    return list(dict.fromkeys((*HARD, *pairs)))[:count]


def _same(what: str, texts: Sequence[str], ours: Sequence[object], theirs: Sequence[object]) -> None:
    wrong = [i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]
    if wrong:
        i = wrong[0]
        raise MetierError(
            f"the export was not kept: its {what} differ from the product's for {len(wrong)} of {len(texts)} inputs, "
            f"first for {texts[i][:_SHOWN]!r}: {_parting(ours[i], theirs[i])}",
            hint="report this with the base model's name; --to merged or adapter needs no other tokenizer",
        )


def _parting(ours: object, theirs: object) -> str:
    """Say where two prompts, or two rows of ids, part."""
    if not isinstance(ours, str | tuple) or not isinstance(theirs, str | tuple):
        return f"{ours!r}, not {theirs!r}"
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    return f"{ours[at : at + 8]!r} became {theirs[at : at + 8]!r} at {at}"
