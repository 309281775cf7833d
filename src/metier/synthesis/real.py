"""Real inputs without answers, as candidates: with labels `agreement` reads them, in free text the model answers them.

They have the length, manner and mix of topics that no model writes by itself. They go through no filter of what a model
writes, and `agreement` keeps the surest of them, as it does of what was written.

Source: self-training on real inputs, such as Schick and Schütze 2021 (arXiv 2001.07676), where a prompted model labels
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from metier.core.records import REAL, Candidate
from metier.core.storage import seed_of
from metier.engines.base import Engine, GenerationRequest
from metier.engines.prompts import Prompt, PromptFormat
from metier.engines.shards import Job, Shard, in_shards, texts_and_ends
from metier.synthesis import filters
from metier.synthesis.brief import Brief
from metier.synthesis.forwards import asked_forwards

_SHARD = 64  # rows between two writes to disk
_TEMPLATE = 64  # tokens left free for the marks of a chat template


def real_inputs(brief: Brief, engine: Engine, prompts: PromptFormat, shard: Shard) -> list[Candidate]:
    """Return the job's real inputs as candidates, in free text each with the model's answer.

    Args:
        brief: The job.
        engine: Runs the model.
        prompts: Renders for that model.
        shard: Puts each part of the work on file, or brings it back from there.
    """
    candidates = [Candidate(f"{REAL}{i}", text) for i, text in enumerate(brief.unlabelled)]
    if brief.labels or not candidates:
        return candidates
    forwards = asked_forwards(brief, engine, prompts)
    asked = [forwards(text) for text in brief.unlabelled]
    longest = brief.settings.output_max_tokens
    room = engine.context_length - longest - _TEMPLATE
    sizes = engine.count_tokens([prompt.text for prompt in asked])
    there = [i for i, size in enumerate(sizes) if size <= room]
    jobs: list[tuple[str, Job]] = [
        (f"real-{number:05d}", partial(texts_and_ends, _requests(brief, prompts, asked, there[begin : begin + _SHARD])))
        for number, begin in enumerate(range(0, len(there), _SHARD))
    ]
    answers: dict[int, tuple[str, bool]] = {}
    made: list[tuple[list[str], list[bool]]]
    for number, made in enumerate(in_shards(engine, shard, jobs)):
        part = there[number * _SHARD : (number + 1) * _SHARD]
        answers |= {i: (texts[0], ends[0]) for i, (texts, ends) in zip(part, made, strict=True)}
    return [_answered(prompts, candidate, answers.get(i)) for i, candidate in enumerate(candidates)]


def _requests(
    brief: Brief, prompts: PromptFormat, asked: Sequence[Prompt], some: Sequence[int]
) -> list[GenerationRequest]:
    return [
        GenerationRequest(
            prompt=asked[i],
            max_tokens=brief.settings.output_max_tokens,
            stop=prompts.stop,
            seed=seed_of(brief.seed, "real-answers", i),
        )
        for i in some
    ]


def _answered(prompts: PromptFormat, candidate: Candidate, answer: tuple[str, bool] | None) -> Candidate:
    if answer is None:
        return filters.drop(candidate, "too_long", "its prompt does not fit the model's context")
    text, ended = prompts.read_answer(answer[0]), answer[1]
    pair = Candidate(candidate.id, candidate.input, output=text)
    if not ended:
        return filters.drop(pair, "cut_off", "its answer is longer than output_max_tokens")
    reason = filters.empty(text)
    return pair if reason is None else filters.drop(pair, "no_answer", reason)
