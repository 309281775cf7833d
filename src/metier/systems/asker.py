"""One model asked one way: engine, prompts, and what is shown. Writes answers, samples them, or scores the labels.

Scoring takes the model's format away and leaves what it knows. What is asked is kept under the digest of everything
that it depends on, so that Systems that ask the same share the answers. A row that does not fit the model's context is
not cut: it is not asked, has the empty answer, and is counted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, Protocol, runtime_checkable

from metier.core.records import Example
from metier.core.step import Artifact, Work
from metier.core.storage import seed_of
from metier.engines.base import Engine, GenerationRequest, ScoringRequest, Streams, ToldOfTokens
from metier.engines.prompts import Prompt, PromptFormat, fitting_demonstrations
from metier.engines.shards import Job, first_texts, in_shards, logprobs, unkept
from metier.synthesis.brief import Brief
from metier.synthesis.outputs import vote_rule
from metier.synthesis.votes import sample_until_decided
from metier.systems.base import Asked, Keep, Material, Tools, Tuned, kept
from metier.systems.renderings import RENDERINGS, Rendered, Rendering

Shows = Literal["examples", "nothing", "as trained"]
_ANSWERS = 128  # rows answered between two writes to disk
_SAMPLED = 32


@dataclasses.dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote for each input; empty for one of the ``unasked``, which did not fit."""

    texts: tuple[str, ...]
    unasked: int


@dataclasses.dataclass(frozen=True, slots=True)
class LabelScores:
    """How likely each label is after each input.

    Attributes:
        logprobs: ``[inputs, labels]``, the sum over a label's tokens; an empty row for an input that did not fit.
        tokens: Of each label, end token included.
    """

    logprobs: tuple[tuple[float, ...], ...]
    tokens: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Samples:
    """What was sampled for each input, in order."""

    texts: tuple[tuple[str, ...], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are sampled."""

    samples: int
    temperature: float
    top_k: int


@dataclasses.dataclass(frozen=True, slots=True)
class AskInputs:
    """All that a model's answers depend on.

    Attributes:
        how: What is asked of it.
        asked: The model, and how it is asked.
        weights: What it was tuned to.
        labels: The possible answers.
        shown: The examples in the prompt.
        rendering: How the prompt is laid out.
        max_tokens: Longest answer.
        texts: What is to be answered.
        sampling: How answers are sampled.
        vote: The job whose vote says when enough are sampled.
    """

    how: Literal["write", "score", "sample"]
    asked: Asked
    weights: Artifact | None
    labels: tuple[str, ...] | None
    shown: tuple[Example, ...]
    rendering: Rendering
    max_tokens: int
    texts: tuple[str, ...]
    sampling: Sampling | None = None
    vote: Brief | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Asker:
    """A model asked in one way.

    Attributes:
        engine: The model.
        prompts: How its prompts are written.
        asked: What its answers depend on.
        weights: What it was tuned to; None: the base model.
        labels: The possible answers.
        shown: The examples in its prompt.
        max_tokens: Longest answer.
        rendering: How the prompt is laid out.
    """

    engine: Engine
    prompts: PromptFormat
    asked: Asked
    weights: Artifact | None
    labels: tuple[str, ...] | None
    shown: tuple[Example, ...]
    max_tokens: int
    rendering: Rendering = "usual"

    @property
    def nbytes(self) -> int:
        """Bytes of the weights: the base model's, and an adapter's beside it."""
        base = sum(file.stat().st_size for file in self.asked.model.path.glob("*.safetensors"))
        if self.weights is None:
            return base
        own = sum(file.stat().st_size for file in self.weights.path.glob("*.safetensors"))
        return own if (self.weights.path / "config.json").exists() else base + own

    def write(self, texts: Sequence[str], keep: Keep | None = None) -> Written:
        """Return the model's answer to each input, the likeliest token at each step."""
        return kept(keep, self._inputs("write", texts), partial(_write, self, keep))

    def stream(self, text: str) -> Iterator[str]:
        """Yield the model's answer to one input piece by piece; joined, they are what `write` returns.

        An engine that cannot say what it has written so far gives it all at once.
        """
        if isinstance(self.engine, Streams):
            yield from self.streamed(self.request(text))
        else:
            yield self.write([text]).texts[0]

    def streamed(self, request: GenerationRequest, told: ToldOfTokens | None = None) -> Iterator[str]:
        """Yield the answer to what `request` returned piece by piece, from an engine that is `Streams`.

        Args:
            request: What is asked.
            told: Called with its tokens, as `Streams.stream` does.
        """
        assert isinstance(self.engine, Streams)
        if self.fitting([request.prompt], self.max_tokens):
            yield from self.prompts.read_pieces(self.engine.stream(request, told))

    def score(self, texts: Sequence[str], keep: Keep | None = None) -> LabelScores:
        """Return how likely each label is after each input.

        Raises:
            ValueError: The task has no labels.
        """
        if not self.labels:
            raise ValueError("labels are scored, and the task has none")
        return kept(keep, self._inputs("score", texts), partial(_score, self, keep))

    def sample(self, texts: Sequence[str], sampling: Sampling, vote: Brief, keep: Keep | None = None) -> Samples:
        """Return as many samples of each answer as its vote needs, under the filters of the job it is for."""
        inputs = dataclasses.replace(self._inputs("sample", texts), sampling=sampling, vote=vote)
        return kept(keep, inputs, partial(_sample, self, keep))

    def prompt(self, text: str) -> Prompt:
        """Return the prompt that asks for the answer to one input."""
        return self._rendered(text).prompt

    def request(self, text: str, place: int = 0) -> GenerationRequest:
        """Return what the engine is asked for the answer to one input, by its place among the inputs."""
        return GenerationRequest(
            prompt=self.prompt(text),
            max_tokens=self.max_tokens,
            stop=self.stop,
            seed=seed_of(self.asked.seed, "write", place),
        )

    def requests(self, texts: Sequence[str]) -> tuple[list[GenerationRequest], list[int]]:
        """Return what the engine is asked for the answers to inputs, and which of these fit the model's context."""
        asked = [self.request(text, i) for i, text in enumerate(texts)]
        return asked, self.fitting([request.prompt for request in asked], self.max_tokens)

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings that end an answer."""
        return self._rendered("").stop

    def label_sizes(self) -> list[int]:
        """Return the tokens of each label as an answer, end token included."""
        return [size + 1 for size in self.engine.count_tokens([self.prompts.answer(x) for x in self.labels or ()])]

    def fitting(self, prompts: Sequence[Prompt], room: int) -> list[int]:
        """Return which prompts leave room for ``room`` more tokens in the model's context."""
        return [i for i, size in enumerate(self._sizes(prompts)) if size + room <= self.engine.context_length]

    def sizes(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens the prompt for each input has."""
        return self._sizes([self.prompt(text) for text in texts])

    def _sizes(self, prompts: Sequence[Prompt]) -> list[int]:
        sizes = self.engine.count_tokens([prompt.text for prompt in prompts])
        return [
            len(self.prompts.tokens(prompt)) if self.prompts.is_special(prompt) else size
            for prompt, size in zip(prompts, sizes, strict=True)
        ]

    def _rendered(self, text: str) -> Rendered:
        return RENDERINGS[self.rendering](self.prompts, self.asked.instruction, self.shown, text)

    def _inputs(self, how: Literal["write", "score", "sample"], texts: Sequence[str]) -> AskInputs:
        return AskInputs(
            how, self.asked, self.weights, self.labels, self.shown, self.rendering, self.max_tokens, tuple(texts)
        )


@runtime_checkable
class Asks(Protocol):
    """A System that asks a language model."""

    @property
    def asker(self) -> Asker:
        """The model, and how it is asked."""
        ...

    @property
    def room(self) -> int:
        """Tokens that a prompt leaves free for the answer."""
        ...


def open_asker(
    material: Material,
    tools: Tools,
    *,
    tuned: Tuned | None = None,
    shows: Shows = "examples",
) -> Asker:
    """Return the asker of a System.

    Args:
        material: What the System has.
        tools: Opens the model.
        tuned: Which tuned model to ask; None, or one that is not there: the base model.
        shows: Which examples its prompt shows; ``as trained``: those that a tuned model was trained with. The base
            model is then shown all that fit half of its context.
    """
    if material.asked is None:
        raise ValueError("this System asks a model: its line in the registry must name asked")
    weights = material.weights.get(tuned) if tuned else None
    engine, prompts = tools.open_model(weights), tools.prompts()
    shown: tuple[Example, ...] = ()
    if shows == "examples" or (shows == "as trained" and (weights is None or material.keeps_examples)):
        shown = fitting_demonstrations(material.examples, engine.count_tokens, engine.context_length // 2)
    longest = answer_length(material.labels, material.examples, material.asked.max_tokens, engine.count_tokens)
    return Asker(engine, prompts, material.asked, weights, material.labels, shown, longest)


def answer_length(
    labels: Sequence[str] | None,
    examples: Sequence[Example],
    max_tokens: int | None,
    count_tokens: Callable[[Sequence[str]], list[int]],
) -> int:
    """Return the most tokens an answer may have: as given, or from the labels or examples at hand."""
    if max_tokens is not None:
        return max_tokens
    longest = max(count_tokens(list(labels) if labels else [e.output for e in examples]))
    # A prompted model wraps its label into a few words; it is given the room to do so.
    return longest + 16 if labels else min(512, 2 * longest + 32)


def _write(asker: Asker, keep: Keep | None, inputs: AskInputs, work: Work | None) -> Written:
    asked, fitting = asker.requests(inputs.texts)
    jobs = [partial(first_texts, [asked[i] for i in part]) for part in _parts(fitting, _ANSWERS)]
    texts = [""] * len(inputs.texts)
    for i, text in zip(fitting, itertools.chain(*_walk(asker, keep, work, "answers", jobs)), strict=True):
        texts[i] = asker.prompts.read_answer(text)
    return Written(tuple(texts), len(texts) - len(fitting))


def _score(asker: Asker, keep: Keep | None, inputs: AskInputs, work: Work | None) -> LabelScores:
    continuations = tuple(asker.prompts.answer(label) for label in inputs.labels or ())
    asked = [ScoringRequest(asker.prompt(text), continuations) for text in inputs.texts]
    sizes = asker.label_sizes()
    fitting = asker.fitting([request.prompt for request in asked], max(sizes))
    jobs = [partial(logprobs, [asked[i] for i in part]) for part in _parts(fitting, _ANSWERS)]
    made = list(_walk(asker, keep, work, "labels", jobs))
    rows: list[tuple[float, ...]] = [()] * len(inputs.texts)
    for i, row in zip(fitting, (row for part in made for row in part["logprobs"]), strict=True):
        rows[i] = tuple(row)
    return LabelScores(tuple(rows), tuple(made[0]["tokens"]) if made else tuple(sizes))


def _sample(asker: Asker, keep: Keep | None, inputs: AskInputs, work: Work | None) -> Samples:
    sampling = inputs.sampling
    if sampling is None or inputs.vote is None:
        raise ValueError("sampling needs its settings, and what the vote is on")
    rule = vote_rule(inputs.vote, asker.prompts)
    asked = [
        GenerationRequest(
            prompt=asker.prompt(text),
            samples=sampling.samples,
            max_tokens=asker.max_tokens,
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            stop=asker.stop,
            seed=seed_of(asker.asked.seed, "sampled_majority", i),
        )
        for i, text in enumerate(inputs.texts)
    ]
    fitting = asker.fitting([request.prompt for request in asked], asker.max_tokens)
    jobs = [partial(sample_until_decided, [asked[i] for i in part], rule) for part in _parts(fitting, _SAMPLED)]
    rows: list[tuple[str, ...]] = [()] * len(inputs.texts)
    for i, texts in zip(fitting, itertools.chain(*_walk(asker, keep, work, "samples", jobs)), strict=True):
        rows[i] = tuple(asker.prompts.read_answer(text) for text in texts)
    return Samples(tuple(rows))


def _walk(asker: Asker, keep: Keep | None, work: Work | None, name: str, jobs: Sequence[Job]) -> Iterator[Any]:
    """Yield the jobs' results in order, each kept on file and told of where there is a place for it."""
    shard = unkept if work is None else work.shard
    before = asker.engine.stats.generated_tokens
    named = [(f"{name}-{k:05d}", job) for k, job in enumerate(jobs)]
    with contextlib.ExitStack() as stack:
        update = stack.enter_context(keep.reporter.track(name, len(jobs), "parts")) if keep else None
        for done, made in enumerate(in_shards(asker.engine, shard, named), start=1):
            if update:
                update(done, asker.engine.stats.generated_tokens - before)
            yield made
    if work is not None:
        work.add_cost(tokens=asker.engine.stats.generated_tokens - before)


def _parts(rows: Sequence[int], size: int) -> list[list[int]]:
    """Return rows in blocks with fixed borders, so that rows answered block by block are batched in the same way."""
    blocks: dict[int, list[int]] = {}
    for row in rows:
        blocks.setdefault(row // size, []).append(row)
    return list(blocks.values())
