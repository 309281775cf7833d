"""The tuned model held back: its rewriting where enough speaks for it, else the input as it was.

A small model that rewrites everything also spoils what was right. Two things are known of a rewriting before anyone
has read it: how much likelier the model finds it than the copied input, by the mean log-likelihood of a token under the
same prompt, and how many words it changes. A rewriting is taken from a threshold of the first on and up to one of the
second. Both are chosen by the task's metric on labelled rows that the model was not trained on; of equal choices the
one that changes least is taken.

Source: a threshold on what a correction gains in likelihood, chosen on held-out rows, as in Bryant and Briscoe 2018
(W18-0529), who take a language model's; here it is the tuned model's own.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metier.core import storage
from metier.core.codec import decode, encode
from metier.core.errors import NotEnoughData
from metier.core.records import Answers, Example
from metier.core.step import Artifact, Work
from metier.data.likeness import edit_rate
from metier.engines.base import Engine, ScoringRequest
from metier.engines.shards import Job, in_shards, unkept
from metier.evaluation.measure import Measure, score_main
from metier.systems.asker import Asker, open_asker
from metier.systems.asker_file import load_asker, save_asker
from metier.systems.base import Asked, Keep, Learned, Material, Tools, Tuned, kept
from metier.systems.renderings import Rendering

LEAST_ROWS = 30
"""Rows that a threshold is chosen on, at least: on fewer, one that fits them by chance looks best."""
_FILE = "guard.json"
_SHARD = 64  # rows weighed between two writes to disk
_GAINS = np.linspace(0.1, 0.9, 9)  # quantiles of the rewritings' gains that a threshold may be at
_EDITS = (0.5, 0.75, 0.9)  # the same, of the share of words they change

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class Proposal:
    """A rewriting and what speaks for it.

    Attributes:
        text: What the model wrote.
        gain: By how much it is likelier than the copied input, in nats a token.
        edited: The share of words it changes, 0 to 1.
    """

    text: str
    gain: float
    edited: float


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """When a rewriting is taken: from this gain on, and up to this share of changed words; None: whatever it is."""

    least_gain: float | None
    most_edited: float | None

    def takes(self, proposal: Proposal) -> bool:
        """Whether a rewriting is taken."""
        enough = self.least_gain is None or proposal.gain >= self.least_gain
        return enough and (self.most_edited is None or proposal.edited <= self.most_edited)


def learn(material: Material, tools: Tools, *, tuned: Tuned) -> Learned:
    """Return the tuned model with a rule for when its rewriting is taken.

    Args:
        material: The tuned model, rows that it was not trained on, and the metric they are judged by.
        tools: Opens the model.
        tuned: Which tuned model.

    Raises:
        NotEnoughData: There are too few such rows.
    """
    rows = material.held_out
    if len(rows) < LEAST_ROWS:
        raise NotEnoughData(
            f"{len(rows)} labelled rows were not trained on, and a threshold is chosen on at least {LEAST_ROWS}"
        )
    asker = open_asker(material, tools, tuned=tuned, shows="as trained")
    inputs = [row.input for row in rows]
    written = asker.write(inputs, tools.keep).texts
    return Guarded(asker, choose(rows, _proposals(asker, inputs, written, tools.keep), Measure(material.metric)))


def load(folder: Path, tools: Tools) -> Learned:
    """Return what `Guarded.save` wrote."""
    return Guarded(load_asker(folder, tools), decode(Rule, storage.read_json(folder / _FILE)))


@dataclasses.dataclass(frozen=True, slots=True)
class Guarded:
    """Answers with the rewriting where the rule takes it, else with the input."""

    asker: Asker
    rule: Rule

    @property
    def form(self) -> str:
        """Which file loads it."""
        return "guarded"

    @property
    def nbytes(self) -> int:
        """Bytes of the model."""
        return self.asker.nbytes

    @property
    def room(self) -> int:
        """Tokens that a prompt leaves free for the answer."""
        return self.asker.max_tokens

    def answer(self, inputs: Sequence[str], keep: Keep | None = None) -> Answers:
        """Return each input rewritten or as it was, in order; one that does not fit the context has no answer."""
        written = self.asker.write(inputs, keep)
        proposals = _proposals(self.asker, inputs, written.texts, keep)
        texts = [
            proposal.text if proposal is not None and self.rule.takes(proposal) else text
            for text, proposal in zip(inputs, proposals, strict=True)
        ]
        if written.unasked:
            asked = set(self.asker.fitting([self.asker.prompt(text) for text in inputs], self.asker.max_tokens))
            texts = [text if i in asked else "" for i, text in enumerate(texts)]
        return Answers(tuple(texts), unasked=written.unasked)

    def save(self, folder: Path) -> None:
        """Write how the model is asked, and the rule, into a folder."""
        save_asker(self.asker, folder)
        storage.write_json(folder / _FILE, encode(self.rule))


def choose(rows: Sequence[Example], proposals: Sequence[Proposal | None], measure: Measure) -> Rule:
    """Return the rule under which rows score highest; of equals the one that changes fewest words.

    Args:
        rows: Rows that the model was not trained on, with their references.
        proposals: Its rewriting of each; None: there is none that could be taken.
        measure: The task's.
    """
    there = [proposal for proposal in proposals if proposal is not None]
    if not there:
        return Rule(None, None)
    inputs = [row.input for row in rows]
    copied = score_main(measure, rows, inputs)
    texts = [proposal.text if proposal else text for text, proposal in zip(inputs, proposals, strict=True)]
    rewritten = score_main(measure, rows, texts)
    # The first rule takes everything; the last one nothing: every rewriting changes a word.
    gains = [None, *map(float, np.quantile([proposal.gain for proposal in there], _GAINS))]
    edits = [None, *map(float, np.quantile([proposal.edited for proposal in there], _EDITS)), 0.0]
    rules = [Rule(gain, edited) for gain, edited in itertools.product(gains, edits)]
    taken = np.array([[proposal is not None and rule.takes(proposal) for proposal in proposals] for rule in rules])
    # A corpus score is a function of sums over rows, and a row's sums are those of what is taken of it.
    sums: Floats = taken @ rewritten.stats + ~taken @ copied.stats
    scores = rewritten.combine(sums).round(6)
    changed = taken @ np.array([proposal.edited if proposal else 0.0 for proposal in proposals])
    return min(zip(rules, scores, changed, strict=True), key=lambda found: (-found[1], found[2]))[0]


@dataclasses.dataclass(frozen=True, slots=True)
class _Inputs:
    """All that the gains of rewritings depend on."""

    asked: Asked
    weights: Artifact | None
    shown: tuple[Example, ...]
    rendering: Rendering
    pairs: tuple[Example, ...]
    how: str = "weigh rewritings and inputs"


@dataclasses.dataclass(frozen=True, slots=True)
class _Gains:
    gains: tuple[float, ...]


def _proposals(asker: Asker, inputs: Sequence[str], written: Sequence[str], keep: Keep | None) -> list[Proposal | None]:
    """Return the rewritings that may be taken: not the same, not empty, at their end, short enough to be weighed."""
    engine = asker.engine
    sizes, own, prompts = engine.count_tokens(written), engine.count_tokens(inputs), asker.sizes(inputs)
    open_ones = [
        i
        for i, (before, after) in enumerate(zip(inputs, written, strict=True))
        if after
        and edit_rate(before, after) > 0
        and sizes[i] < asker.max_tokens
        and prompts[i] + max(sizes[i], own[i]) < engine.context_length
    ]
    pairs = tuple(Example(inputs[i], written[i]) for i in open_ones)
    asked = _Inputs(asker.asked, asker.weights, asker.shown, asker.rendering, pairs)
    gains = kept(keep, asked, partial(_weigh, asker)).gains if pairs else ()
    found: list[Proposal | None] = [None] * len(inputs)
    for i, pair, gain in zip(open_ones, pairs, gains, strict=True):
        found[i] = Proposal(pair.output, gain, edit_rate(pair.input, pair.output))
    return found


def _weigh(asker: Asker, inputs: _Inputs, work: Work | None) -> _Gains:
    answer = asker.prompts.answer
    # What a model writes is read without the space around it, so the input is weighed without it too.
    asked = [
        ScoringRequest(asker.prompt(pair.input), (answer(pair.output), answer(pair.input.strip())))
        for pair in inputs.pairs
    ]
    jobs: list[tuple[str, Job]] = [
        (f"gains-{number:05d}", partial(_gains, asked[begin : begin + _SHARD]))
        for number, begin in enumerate(range(0, len(asked), _SHARD))
    ]
    made = in_shards(asker.engine, unkept if work is None else work.shard, jobs)
    return _Gains(tuple(itertools.chain.from_iterable(made)))


def _gains(asked: Sequence[ScoringRequest], engine: Engine) -> list[float]:
    """Return by how much the first of two continuations is likelier than the second, in nats a token."""
    found = engine.score(asked)
    return [s.logprobs[0] / s.tokens[0] - s.logprobs[1] / s.tokens[1] for s in found]
