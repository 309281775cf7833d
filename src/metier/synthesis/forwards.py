"""The model's own answers to inputs, under the few-shot prompt: the likeliest, written out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial

from metier.core.records import Candidate
from metier.core.storage import seed_of
from metier.engines.base import Engine, GenerationRequest, Progress
from metier.engines.prompts import Prompt, PromptFormat, fitting_demonstrations
from metier.engines.shards import Job, Shard, in_shards, texts_and_ends
from metier.synthesis import filters
from metier.synthesis.brief import Brief

_SHARD = 64  # rows between two writes to disk
_TEMPLATE = 64  # tokens left free for the marks of a chat template

_Answer = tuple[str, bool]
"""What the model wrote, and whether it came to its end."""


def answered(
    brief: Brief,
    engine: Engine,
    prompts: PromptFormat,
    candidates: Sequence[Candidate],
    shard: Shard,
    name: str,
    progress: Progress | None = None,
) -> list[Candidate]:
    """Return candidates with the model's answers as their outputs; one without a whole answer is dropped.

    Args:
        brief: The job, in free text.
        engine: Runs the model.
        prompts: Renders for that model.
        candidates: Inputs.
        shard: Puts each part of the work on file, or brings it back from there.
        name: What these parts are called.
        progress: Called with inputs answered and tokens made.
    """
    shown = fitting_demonstrations(brief.examples, engine.count_tokens, engine.context_length // 2)
    asked = [prompts.task(brief.instruction, shown, candidate.input) for candidate in candidates]
    room = engine.context_length - brief.settings.output_max_tokens - _TEMPLATE
    sizes = engine.count_tokens([prompt.text for prompt in asked])
    there = [i for i, size in enumerate(sizes) if size <= room]
    parts = [there[begin : begin + _SHARD] for begin in range(0, len(there), _SHARD)]
    jobs: list[tuple[str, Job]] = [
        (f"{name}-{number:05d}", partial(texts_and_ends, _requests(brief, prompts, asked, part)))
        for number, part in enumerate(parts)
    ]
    before = engine.stats.generated_tokens
    answers: dict[int, _Answer] = {}
    made: list[tuple[list[str], list[bool]]]
    for part, made in zip(parts, in_shards(engine, shard, jobs), strict=True):
        answers |= {i: (texts[0], ends[0]) for i, (texts, ends) in zip(part, made, strict=True)}
        if progress:
            progress(len(answers), engine.stats.generated_tokens - before)
    return [_answered(prompts, candidate, answers.get(i)) for i, candidate in enumerate(candidates)]


def _requests(
    brief: Brief, prompts: PromptFormat, asked: Sequence[Prompt], some: Sequence[int]
) -> list[GenerationRequest]:
    return [
        GenerationRequest(
            prompt=asked[i],
            max_tokens=brief.settings.output_max_tokens,
            stop=prompts.stop,
            seed=seed_of(brief.seed, "answers-forwards", i),
        )
        for i in some
    ]


def _answered(prompts: PromptFormat, candidate: Candidate, answer: _Answer | None) -> Candidate:
    if answer is None:
        return filters.drop(candidate, "too_long", "its prompt does not fit the model's context")
    text, ended = prompts.read_answer(answer[0]), answer[1]
    pair = dataclasses.replace(candidate, output=text)
    if not ended:
        return filters.drop(pair, "cut_off", "its answer is longer than output_max_tokens")
    reason = filters.empty(text)
    return pair if reason is None else filters.drop(pair, "no_answer", reason)
