"""SELF-GUIDE's second half: the model answers its own inputs, and the answers vote. Knows nothing about training.

Source: Zhao et al. 2024 (arXiv 2407.12874): 20 answers are sampled under the few-shot prompt of test time, filtered
(empty, length, noise), the first 10 that are left vote, and the most frequent exact string is taken if its share is
at least 0.3; in classification it is then mapped to the label it contains, and the classes are balanced.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

from metier.core.records import Candidate, Example
from metier.core.storage import seed_of
from metier.data.labels import last_label
from metier.engines.base import Engine, GenerationRequest, Progress
from metier.engines.prompts import PromptFormat, fitting_demonstrations
from metier.engines.shards import Job, Shard, in_shards
from metier.synthesis import filters
from metier.synthesis.votes import VoteRule, sample_until_decided
from metier.tasks.task import Task

_SHARD = 32  # inputs answered between two writes to disk


def answer_inputs(
    task: Task,
    engine: Engine,
    prompts: PromptFormat,
    candidates: Sequence[Candidate],
    shard: Shard,
    progress: Progress | None = None,
) -> list[Candidate]:
    """Return the candidates with the answers that were sampled for each one that is still kept."""
    settings = task.synthesis
    open_ones = [c for c in candidates if c.kept]
    examples = [Example(e.input, e.output) for e in task.examples]
    longest = max(engine.count_tokens([c.input for c in open_ones]), default=0)
    room = engine.context_length - settings.output_max_tokens - longest - 256
    shown = fitting_demonstrations(examples, engine.count_tokens, room - engine.count_tokens([task.instruction])[0])
    rule = vote_rule(task, prompts, agreement=settings.agreement, keep=settings.output_keep)
    shards = [open_ones[begin : begin + _SHARD] for begin in range(0, len(open_ones), _SHARD)]
    jobs: list[tuple[str, Job]] = []
    for number, part in enumerate(shards):
        asked = [
            GenerationRequest(
                prompt=prompts.task(task.instruction, shown, c.input),
                samples=settings.output_samples,
                max_tokens=settings.output_max_tokens,
                temperature=settings.output_temperature,
                top_k=settings.output_top_k,
                stop=prompts.stop,
                seed=seed_of(task.seed, "outputs", c.id),
            )
            for c in part
        ]
        jobs.append((f"outputs-{number:05d}", partial(sample_until_decided, asked, rule)))
    answered: dict[str, tuple[str, ...]] = {}
    before = engine.stats.generated_tokens
    for part, made in zip(shards, in_shards(engine, shard, jobs), strict=True):
        for c, texts in zip(part, made, strict=True):
            answered[c.id] = tuple(prompts.read_answer(text) for text in texts)
        if progress:
            progress(len(answered), engine.stats.generated_tokens - before)
    return [dataclasses.replace(c, answers=answered[c.id]) if c.kept else c for c in candidates]


def vote(task: Task, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates with the answer that won its vote, or dropped where none did."""
    checks = _checks(task)
    return [_voted(task, c, checks) if c.kept else c for c in candidates]


def balance(task: Task, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates with every class down-sampled to the rarest (classification with ``balance`` only)."""
    kept = [c for c in candidates if c.kept]
    if not task.labels or not task.synthesis.balance or not kept:
        return list(candidates)
    chosen = {kept[i].id for i in filters.balance([c.output for c in kept], seed_of(task.seed, "balance"))}
    return [
        filters.drop(c, "balance", f"more {c.output!r} than the rarest class") if c.kept and c.id not in chosen else c
        for c in candidates
    ]


def vote_rule(task: Task, prompts: PromptFormat, *, agreement: float, keep: int) -> VoteRule:
    """Return what a vote on a task's answers needs, for `sample_until_decided`."""
    checks = _checks(task)
    return VoteRule(keep, agreement, prompts.read_answer, lambda text: all(check(text) is None for check in checks))


def _checks(task: Task) -> list[Callable[[str], str | None]]:
    """Return the output filters, in the paper's order."""
    settings = task.synthesis
    noise = filters.noise_phrases(task.examples, classification=task.labels is not None)
    limits = None
    if settings.output_length_filter and task.labels is None:
        limits = filters.length_limits([e.output for e in task.examples])
    checks: list[Callable[[str], str | None]] = [filters.empty]
    if limits is not None:
        checks.append(lambda text: filters.length(text, limits))
    if settings.noise_filter:
        checks.append(lambda text: filters.noise(text, noise))
    return checks


def _voted(task: Task, candidate: Candidate, checks: Sequence[Callable[[str], str | None]]) -> Candidate:
    settings = task.synthesis
    passed = [a for a in candidate.answers if all(check(a) is None for check in checks)]
    if not passed:
        return filters.drop(candidate, "no_answer", f"none of {len(candidate.answers)} answers passed the filters")
    winner, share = filters.majority_vote(passed[: settings.output_keep], settings.agreement)
    if winner is None:
        dropped = filters.drop(
            candidate,
            "disagreement",
            f"the commonest answer has a share of {share:.2f} < {settings.agreement}",
        )
        return dataclasses.replace(dropped, share=share)
    output: str | None = winner
    if task.labels:
        output = last_label(winner, task.labels)
    if output is None:
        dropped = filters.drop(candidate, "no_label", f"the answer {winner[:80]!r} holds no label")
        return dataclasses.replace(dropped, share=share)
    return dataclasses.replace(candidate, output=output, share=share)
