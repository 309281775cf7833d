"""Answers the test inputs with one system. Knows nothing about references or scores.

Two ways to ask a model: let it write the answer, or, where the answers are known, score each of them. The second
takes the model's format away and leaves what it knows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from metier.engines.base import Engine, GenerationRequest, Progress, ScoringRequest
from metier.prompts import PromptFormat
from metier.records import Example
from metier.storage import seed_of
from metier.task import Task

Shard = Callable[[str, Callable[[], Any]], Any]
_SHARD = 128  # rows answered between two writes to disk
_CONTENT_FREE = ("N/A", "", "[MASK]")  # inputs that say nothing (Zhao et al. 2021, arXiv 2102.09690)


@dataclasses.dataclass(frozen=True, slots=True)
class LabelScores:
    """The label each row is given by its likelihood, as it comes and calibrated."""

    likeliest: tuple[str, ...]
    calibrated: tuple[str, ...]


def answer_length(task: Task, engine: Engine) -> int:
    """Return the most tokens an answer may have: from the task, or from the labels or demonstrations at hand."""
    if task.evaluation.max_tokens is not None:
        return task.evaluation.max_tokens
    known = list(task.labels) if task.labels else [e.output for e in task.examples]
    longest = max(engine.count_tokens(known))
    # A prompted model wraps its label into a few words; it is given the room to do so.
    return longest + 16 if task.labels else min(512, 2 * longest + 32)


def write_answers(
    task: Task,
    engine: Engine,
    prompts: PromptFormat,
    demonstrations: Sequence[Example],
    inputs: Sequence[str],
    shard: Shard,
    name: str,
    progress: Progress | None = None,
) -> list[str]:
    """Return the model's answer to each input, the likeliest token at each step (temperature 0)."""
    most = answer_length(task, engine)
    answers: list[str] = []
    tokens = 0
    for begin in range(0, len(inputs), _SHARD):
        asked = [
            GenerationRequest(
                prompt=prompts.task(task.instruction, demonstrations, text),
                max_tokens=most,
                stop=prompts.stop,
                seed=seed_of(task.seed, name, begin + i),
            )
            for i, text in enumerate(inputs[begin : begin + _SHARD])
        ]
        before = engine.stats.generated_tokens
        answers += shard(f"{name}-{begin // _SHARD:05d}", partial(_written, engine, asked))
        tokens += engine.stats.generated_tokens - before
        if progress:
            progress(len(answers), tokens)
    return [prompts.read_answer(text) for text in answers]


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

    Calibrated: from each label's log-likelihood, its mean over three inputs that say nothing is subtracted
    (contextual calibration, Zhao et al. 2021). Both see neither other test rows nor references.

    Raises:
        ValueError: The task has no labels.
    """
    if not task.labels:
        raise ValueError("score_labels needs a task with labels")
    continuations = tuple(prompts.answer(label) for label in task.labels)
    rows: list[list[float]] = []
    texts = [*_CONTENT_FREE, *inputs]
    for begin in range(0, len(texts), _SHARD):
        asked = [
            ScoringRequest(prompts.task(task.instruction, demonstrations, text), continuations)
            for text in texts[begin : begin + _SHARD]
        ]
        rows += shard(
            f"{name}-{begin // _SHARD:05d}",
            partial(_scored, engine, asked),
        )
        if progress:
            progress(max(0, len(rows) - len(_CONTENT_FREE)), 0)
    logprobs = np.array(rows)  # [content-free and inputs, labels]
    prior = logprobs[: len(_CONTENT_FREE)].mean(axis=0)
    logprobs = logprobs[len(_CONTENT_FREE) :]
    return LabelScores(
        likeliest=tuple(task.labels[i] for i in logprobs.argmax(axis=1)),
        calibrated=tuple(task.labels[i] for i in (logprobs - prior).argmax(axis=1)),
    )


def _written(engine: Engine, asked: Sequence[GenerationRequest]) -> list[str]:
    return [g.texts[0] for g in engine.generate(asked)]


def _scored(engine: Engine, asked: Sequence[ScoringRequest]) -> list[list[float]]:
    return [list(s.logprobs) for s in engine.score(asked)]
