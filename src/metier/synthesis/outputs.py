"""SELF-GUIDE's second half: the model answers its own inputs, and the answers vote. Knows nothing about training.

Source: Zhao et al. 2024 (arXiv 2407.12874): 20 answers are sampled under the few-shot prompt of test time, filtered
(empty, length, noise), the first 10 that are left vote, and the most frequent exact string is taken if its share is
at least 0.3; in classification it is then mapped to the label it contains, and the classes are balanced.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

from metier.engines.base import Engine, GenerationRequest, Progress
from metier.engines.plain import sampled_texts
from metier.labels import last_label
from metier.prompts import PromptFormat, fitting_demonstrations
from metier.records import Candidate, Example
from metier.storage import seed_of
from metier.synthesis import filters
from metier.synthesis.inputs import Shard
from metier.task import Task

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
    answered: dict[str, tuple[str, ...]] = {}
    tokens = 0
    for begin in range(0, len(open_ones), _SHARD):
        part = open_ones[begin : begin + _SHARD]
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
        before = engine.stats.generated_tokens
        made = shard(
            f"outputs-{begin // _SHARD:05d}",
            partial(sampled_texts, engine, asked),
        )
        tokens += engine.stats.generated_tokens - before
        for c, texts in zip(part, made, strict=True):
            answered[c.id] = tuple(prompts.read_answer(text) for text in texts)
        if progress:
            progress(begin + len(part), tokens)
    return [dataclasses.replace(c, answers=answered[c.id]) if c.kept else c for c in candidates]


def vote(task: Task, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates with the answer that won its vote, or dropped where none did."""
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
