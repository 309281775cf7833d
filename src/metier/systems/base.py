"""The contract of everything that can answer: what a System learns from, the tools it has, and what it becomes.

A System is a file with a function ``learn(material, tools, …) -> Learned`` and a line in ``registry.py``. It sees of
the material only the parts that its line names, and never the test's answers (the constant alone may: see there).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, runtime_checkable

from metier.core.progress import Reporter
from metier.core.records import Answers, Example
from metier.core.run_folder import Run
from metier.core.step import Artifact, Work, once
from metier.engines.base import Engine
from metier.engines.prompts import PromptFormat
from metier.tasks.settings import EngineSettings, SynthesisSettings

if TYPE_CHECKING:
    from metier.models.encoder import SentenceEncoder

Given = TypeVar("Given")
T = TypeVar("T")

ROWS = 256  # of a block of inputs that are answered together

Tuned = Literal["task", "examples", "random", "related", "pool"]
"""What a model was tuned on: the run's own pairs, the examples alone, or what a selection is compared with."""


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """A model and how it is asked: what every answer of a language model depends on.

    Attributes:
        model: The base model.
        style: How prompts are written (``auto``, ``chat``, ``plain``).
        engine: How the model is run, as far as that changes its answers.
        instruction: What it is told to do.
        max_tokens: Longest answer; None: from the labels or the examples.
        seed: Seeds what is sampled.
    """

    model: Artifact
    style: Literal["auto", "chat", "plain"]
    engine: EngineSettings
    instruction: str
    max_tokens: int | None
    seed: int


@dataclasses.dataclass(frozen=True, slots=True)
class Material:
    """What there is to learn one task from.

    Attributes:
        labels: The possible answers; None: any text.
        asked: The model, and how it is asked; None for a System that asks none.
        examples: The hand-written examples.
        labelled: Labelled rows that may be trained on.
        synthetic: Pairs that the model wrote.
        test_answers: The test's answers, for the constant alone.
        weights: By what they were tuned on, the tuned models.
        keeps_examples: Whether a tuned model's prompt still shows the examples.
        answer_by: With labels: how a tuned model answers.
        label_prior: What is taken off a label's likelihood.
        unseen_wordings: Instructions that were never trained on.
        sampling: How answers are sampled for a vote.
        demonstration_tokens: Longest prompt of synthetic pairs.
        encoder: The sentence encoder.
        encoder_name: The name it is found by.
        held_out: Labelled rows that the tuned model was not trained on, none of them a test row.
        metric: The task's first metric, by which rules are chosen on these.
    """

    labels: tuple[str, ...] | None
    asked: Asked | None = None
    examples: tuple[Example, ...] = ()
    labelled: tuple[Example, ...] = ()
    synthetic: tuple[Example, ...] = ()
    test_answers: tuple[str, ...] = ()
    weights: Mapping[Tuned, Artifact] = dataclasses.field(default_factory=dict)
    keeps_examples: bool = False
    answer_by: Literal["likelihood", "writing"] = "likelihood"
    label_prior: Literal["synthetic", "content_free", "none"] = "none"
    unseen_wordings: tuple[str, ...] = ()
    sampling: SynthesisSettings | None = None
    demonstration_tokens: int = 0
    encoder: Artifact | None = None
    encoder_name: str = ""
    held_out: tuple[Example, ...] = ()
    metric: str = ""

    @property
    def more_than_examples(self) -> bool:
        """Whether there are labelled rows or synthetic pairs beside the examples."""
        return bool(self.labelled or self.synthetic)

    def only(self, parts: frozenset[str], tuned: Tuned | None = None) -> Material:
        """Return the material with some parts alone, and one tuned model at most; the labels always stay."""
        kept = {part: getattr(self, part) for part in parts}
        weights = {tuned: self.weights[tuned]} if tuned is not None and tuned in self.weights else {}
        return Material(self.labels, **kept, weights=weights)


class Keep:
    """Keeps what a model was asked in the run folder, so that nothing is asked twice, and adds up what it cost.

    Attributes:
        reporter: Where progress goes.
        seconds: What the answers took that were had through it, now or in an earlier run.
    """

    def __init__(self, run: Run, reporter: Reporter) -> None:
        self._run = run
        self.reporter = reporter
        self.seconds = 0.0

    def __call__(self, inputs: Given, make: Callable[[Given, Work], T]) -> T:
        """Return what was answered to these inputs: as it is on file, or asked now."""
        done = once(self._run, "asked", inputs, make)
        self.seconds += done.cost.seconds
        return done.value


@dataclasses.dataclass(frozen=True, slots=True)
class Tools:
    """What a System learns with.

    Attributes:
        model: The base model.
        open_model: Opens the base model (None) or one of its tuned forms; only one is held at a time.
        prompts: How prompts are written for the model.
        open_encoder: Opens a sentence encoder.
        keep: Keeps what is asked while learning.
    """

    model: Artifact
    open_model: Callable[[Artifact | None], Engine]
    prompts: Callable[[], PromptFormat]
    open_encoder: Callable[[Artifact], SentenceEncoder]
    keep: Keep


class Learned(Protocol):
    """A System that has learnt a task."""

    @property
    def form(self) -> str:
        """The file in this folder whose ``load`` reads back what `save` wrote."""
        ...

    @property
    def nbytes(self) -> int:
        """What its weights or tables take."""
        ...

    def answer(self, inputs: Sequence[str], keep: Keep | None = None) -> Answers:
        """Return an answer to each input, in order.

        Args:
            inputs: What to answer.
            keep: Keeps what a model is asked; None: nothing is kept.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write what it has learnt into a folder: JSON and safetensors, no pickle, no weights of a language model."""
        ...


@runtime_checkable
class KnowsLabels(Protocol):
    """A System that holds its labels, which a product's have to be."""

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The possible answers; None: any text."""
        ...


@runtime_checkable
class Samples(Protocol):
    """A System whose answer to an input depends on the input's place among the others, by which samples are seeded."""

    @property
    def votes(self) -> int:
        """How many answers are sampled for each input."""
        ...


@runtime_checkable
class Writes(Protocol):
    """A System that writes its answers token by token."""

    def stream(self, text: str) -> Iterator[str]:
        """Yield the answer to one input piece by piece; joined, they are what `Learned.answer` returns."""
        ...

    def finished(self, answers: Sequence[str]) -> list[bool]:
        """Return for each answer whether it is shorter than an answer may be, and so came to its own end."""
        ...


def in_blocks(learned: Learned, inputs: Sequence[str], keep: Keep | None = None) -> Iterator[Answers]:
    """Yield the answers to all inputs, in blocks with fixed borders.

    Evaluation and use go through here both: what is computed together depends on the blocks, and could otherwise differ
    in the last digit.
    """
    for begin in range(0, len(inputs), ROWS):
        yield learned.answer(inputs[begin : begin + ROWS], keep)


def kept(keep: Keep | None, inputs: Given, make: Callable[[Given, Work | None], T]) -> T:
    """Return what a model answers to some inputs, kept on file where there is a place for it."""
    return make(inputs, None) if keep is None else keep(inputs, make)
