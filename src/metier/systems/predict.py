"""Answers the test inputs with one system. Knows nothing about references or scores.

Two ways to ask a model: let it write the answer, or, where the answers are known, score each of them. The second
takes the model's format away and leaves what it knows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from metier.core.records import Example
from metier.core.storage import seed_of
from metier.engines.base import Engine, GenerationRequest, Progress, ScoringRequest
from metier.engines.prompts import Prompt, PromptFormat
from metier.engines.shards import Job, Shard, first_texts, in_shards, logprobs
from metier.tasks.task import Task

_SHARD = 128  # rows answered between two writes to disk
_CONTENT_FREE = ("N/A", "", "[MASK]")  # inputs that say nothing (Zhao et al. 2021, arXiv 2102.09690)


@dataclasses.dataclass(frozen=True, slots=True)
class Render:
    """One way to write a task's prompt.

    Attributes:
        prompt: From demonstrations and input to the prompt.
        stop: Strings that end an answer.
    """

    prompt: Callable[[Sequence[Example], str], Prompt]
    stop: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class LabelScores:
    """The label each row is given by its likelihood, as it comes and calibrated.

    Attributes:
        likeliest: By the mean log-likelihood of a label's tokens.
        calibrated: By the log-likelihood less that of the label after an input that says nothing.
        shares: How likely the calibrated choice is among the labels, 0 to 1.
    """

    likeliest: tuple[str, ...]
    calibrated: tuple[str, ...]
    shares: tuple[float, ...]


def answer_length(task: Task, engine: Engine) -> int:
    """Return the most tokens an answer may have: from the task, or from the labels or demonstrations at hand."""
    if task.evaluation.max_tokens is not None:
        return task.evaluation.max_tokens
    known = list(task.labels) if task.labels else [e.output for e in task.examples]
    longest = max(engine.count_tokens(known))
    # A prompted model wraps its label into a few words; it is given the room to do so.
    return longest + 16 if task.labels else min(512, 2 * longest + 32)


def fitting_rows(engine: Engine, prompts: Sequence[Prompt], room: int) -> list[int]:
    """Return which prompts leave room for ``room`` more tokens in the model's context.

    A row that does not fit is not cut: it is not asked, counts as not answered, and the run says how many there were.
    """
    sizes = engine.count_tokens([prompt.text for prompt in prompts])
    return [i for i, size in enumerate(sizes) if size + room <= engine.context_length]


def write_answers(
    task: Task,
    engine: Engine,
    prompts: PromptFormat,
    demonstrations: Sequence[Example],
    inputs: Sequence[str],
    shard: Shard,
    name: str,
    progress: Progress | None = None,
    *,
    render: Render | None = None,
) -> list[str]:
    """Return the model's answer to each input, the likeliest token at each step (temperature 0).

    An input that does not fit the context has the empty answer.

    Args:
        task: Says what to do.
        engine: The model.
        prompts: How its prompts are written.
        demonstrations: What the prompt shows.
        inputs: What to answer.
        shard: Keeps what is done on file.
        name: Names the shards.
        progress: Called with (rows done, tokens written).
        render: Another rendering of the prompt than that of training; its stop strings are added.
    """
    written = render or Render(partial(prompts.task, task.instruction), prompts.stop)
    most = answer_length(task, engine)
    asked = [
        GenerationRequest(
            prompt=written.prompt(demonstrations, text),
            max_tokens=most,
            stop=written.stop,
            seed=seed_of(task.seed, name, i),
        )
        for i, text in enumerate(inputs)
    ]
    fitting = fitting_rows(engine, [request.prompt for request in asked], most)
    jobs: list[tuple[str, Job]] = [
        (f"{name}-{begin // _SHARD:05d}", partial(first_texts, [asked[i] for i in fitting[begin : begin + _SHARD]]))
        for begin in range(0, len(fitting), _SHARD)
    ]
    answers: list[str] = []
    before = engine.stats.generated_tokens
    for made in in_shards(engine, shard, jobs):
        answers += made
        if progress:
            progress(len(answers), engine.stats.generated_tokens - before)
    by_row = dict(zip(fitting, answers, strict=True))
    return [prompts.read_answer(by_row.get(i, "")) for i in range(len(inputs))]


def tuned_answers(
    task: Task,
    engine: Engine,
    prompts: PromptFormat,
    demonstrations: Sequence[Example],
    inputs: Sequence[str],
    shard: Shard,
    name: str,
    progress: Progress | None = None,
) -> list[str]:
    """Return a tuned model's answers as the task wants them: written, or (rank classification) the likeliest label."""
    if task.labels and task.evaluation.answer_by == "likelihood":
        scored = score_labels(task, engine, prompts, demonstrations, inputs, shard, name, progress)
        return list(scored.likeliest)
    return write_answers(task, engine, prompts, demonstrations, inputs, shard, name, progress)


def in_turns(
    wordings: Sequence[str], inputs: Sequence[str], ask: Callable[[int, str, Sequence[str]], Sequence[str]]
) -> list[str]:
    """Return the answers to all inputs where each is asked in one of several wordings, which take turns.

    Args:
        wordings: The instruction, said in several ways.
        inputs: What to answer.
        ask: From a wording, its place and the inputs whose turn it is, to their answers.
    """
    answers = [""] * len(inputs)
    for k, wording in enumerate(wordings):
        if part := inputs[k :: len(wordings)]:
            answers[k :: len(wordings)] = ask(k, wording, part)
    return answers


def score_labels(
    task: Task,
    engine: Engine,
    prompts: PromptFormat,
    demonstrations: Sequence[Example],
    inputs: Sequence[str],
    shard: Shard,
    name: str,
    progress: Progress | None = None,
) -> LabelScores:
    """Return the likeliest label of each input, and the likeliest once the model's taste for labels is taken off.

    As it comes: the mean over a label's tokens, so that a long label is at no disadvantage. Calibrated: from each
    label's log-likelihood, its mean over three inputs that say nothing is subtracted (the unconditional correction of
    Holtzman et al. 2021, arXiv 2104.08315, with the inputs of Zhao et al. 2021); a label's length cancels out. Neither
    sees other test rows or references.

    Raises:
        ValueError: The task has no labels.
    """
    if not task.labels:
        raise ValueError("score_labels needs a task with labels")
    continuations = tuple(prompts.answer(label) for label in task.labels)
    asked = [
        ScoringRequest(prompts.task(task.instruction, demonstrations, text), continuations)
        for text in (*_CONTENT_FREE, *inputs)
    ]
    longest = max(engine.count_tokens(continuations)) + 1
    fitting = fitting_rows(engine, [request.prompt for request in asked], longest)
    jobs: list[tuple[str, Job]] = [
        (f"{name}-{begin // _SHARD:05d}", partial(logprobs, [asked[i] for i in fitting[begin : begin + _SHARD]]))
        for begin in range(0, len(fitting), _SHARD)
    ]
    rows: list[list[float]] = []
    lengths: list[int] = []
    for made in in_shards(engine, shard, jobs):
        rows += made["logprobs"]
        lengths = made["tokens"]
        if progress:
            progress(max(0, len(rows) - len(_CONTENT_FREE)), 0)
    found = np.array(rows)  # [content-free and inputs, labels]
    prior = found[: len(_CONTENT_FREE)].mean(axis=0)
    found = found[len(_CONTENT_FREE) :]
    corrected = found - prior
    shares = np.exp(corrected - np.logaddexp.reduce(corrected, axis=1, keepdims=True)).max(axis=1)
    likeliest = [task.labels[i] for i in (found / np.array(lengths)).argmax(axis=1)]
    calibrated = [task.labels[i] for i in corrected.argmax(axis=1)]
    # The inputs that say nothing come first, and fit if anything does.
    place = {row - len(_CONTENT_FREE): k for k, row in enumerate(fitting[len(_CONTENT_FREE) :])}
    there = [place.get(i) for i in range(len(inputs))]
    return LabelScores(
        likeliest=tuple("" if k is None else likeliest[k] for k in there),
        calibrated=tuple("" if k is None else calibrated[k] for k in there),
        shares=tuple(0.0 if k is None else float(shares[k]) for k in there),
    )
