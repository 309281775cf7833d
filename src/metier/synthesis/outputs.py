"""SELF-GUIDE's second half: the model answers its own inputs, and the answers vote.

Source: Zhao et al. 2024 (arXiv 2407.12874), and the authors' code: 20 answers are sampled under the few-shot prompt of
test time, filtered (empty, length, noise), 10 vote, and the most frequent exact string is taken if its share is at
least 0.3, the shortest of several; in classification it is then mapped to the label it contains, and the classes are
balanced. What differs from the authors' code, and why:

- The conversation is in the model's own chat template (in Metier's layout for a base model), since the authors' is
  Vicuna's, and the instruction opens its first turn instead of having one of its own.
- The first 10 answers that pass the filters vote, and none is sampled once the vote is decided (`votes.py`). The
  authors' engine samples all 20 and keeps the 10 likeliest, of which those vote that pass. The likeliest are the most
  alike, so a few more inputs reach the share there; here an undisputed answer takes 6 samples.
- The label is the one that occurs last, as a whole word and regardless of case (`data/labels.py`). The authors take the
  first in their list that is any part of the answer: "entails" for "not_entails", "1" for "10".
- Punctuation alone counts as empty, and a phrase that the examples use is not noise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial

from metier.core.records import Candidate
from metier.core.storage import seed_of
from metier.data.labels import last_label
from metier.engines.base import Engine, GenerationRequest, Progress
from metier.engines.prompts import PromptFormat, fitting_demonstrations
from metier.engines.shards import Job, Shard, in_shards
from metier.synthesis import filters
from metier.synthesis.brief import Brief
from metier.synthesis.checks import answer_checks
from metier.synthesis.votes import VoteRule, sample_until_decided

_SHARD = 32  # inputs answered between two writes to disk
_TEMPLATE = 256  # tokens left free for the marks of a chat template


def answer_inputs(
    brief: Brief,
    engine: Engine,
    prompts: PromptFormat,
    candidates: Sequence[Candidate],
    shard: Shard,
    progress: Progress | None = None,
) -> list[Candidate]:
    """Return the candidates with the answers that were sampled for each one that is still kept."""
    open_ones = [c for c in candidates if c.kept]
    rule = vote_rule(brief, prompts)
    shards = [open_ones[begin : begin + _SHARD] for begin in range(0, len(open_ones), _SHARD)]
    asked = _requests(brief, engine, prompts, open_ones)
    jobs: list[tuple[str, Job]] = [
        (f"outputs-{number:05d}", partial(sample_until_decided, asked[begin : begin + _SHARD], rule))
        for number, begin in enumerate(range(0, len(asked), _SHARD))
    ]
    answered: dict[str, tuple[str, ...]] = {}
    before = engine.stats.generated_tokens
    made: list[list[str]]
    for part, made in zip(shards, in_shards(engine, shard, jobs), strict=True):
        for c, texts in zip(part, made, strict=True):
            answered[c.id] = tuple(prompts.read_answer(text) for text in texts)
        if progress:
            progress(len(answered), engine.stats.generated_tokens - before)
    return [dataclasses.replace(c, answers=answered[c.id]) if c.kept else c for c in candidates]


def vote(
    brief: Brief, candidates: Sequence[Candidate], *, agreement: float | None = None, keep: int | None = None
) -> list[Candidate]:
    """Return the candidates with the answer that won its vote, or dropped where none did.

    Args:
        brief: The job; its filters say which answers take part, its labels what they are mapped to.
        candidates: With their sampled ``answers``.
        agreement: Least share of the answers that must agree; None: as the brief's settings say.
        keep: How many answers that pass the filters take part, the first ones; None: as the brief's settings say.
    """
    agreement, keep = _of_settings(brief, agreement, keep)
    checks = answer_checks(brief)

    def passing(answers: Sequence[str]) -> list[str]:
        return [a for a in answers if all(check(a) is None for check in checks)][:keep]

    return [_voted(c, passing(c.answers), agreement, brief.labels) if c.kept else c for c in candidates]


def vote_rule(
    brief: Brief, prompts: PromptFormat, *, agreement: float | None = None, keep: int | None = None
) -> VoteRule:
    """Return what a vote on a job's answers needs, for `sample_until_decided`; arguments as in `vote`."""
    agreement, keep = _of_settings(brief, agreement, keep)
    checks = answer_checks(brief)
    return VoteRule(keep, agreement, prompts.read_answer, lambda text: all(check(text) is None for check in checks))


def balance(brief: Brief, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates with every class down-sampled to the rarest (classification with ``balance`` only)."""
    kept = [c for c in candidates if c.kept]
    if not brief.labels or not brief.settings.balance or not kept:
        return list(candidates)
    chosen = {kept[i].id for i in filters.balance([c.output for c in kept], seed_of(brief.seed, "balance"))}
    return [
        filters.drop(c, "balance", f"more {c.output!r} than the rarest class") if c.kept and c.id not in chosen else c
        for c in candidates
    ]


def _requests(
    brief: Brief, engine: Engine, prompts: PromptFormat, open_ones: Sequence[Candidate]
) -> list[GenerationRequest]:
    settings = brief.settings
    longest = max(engine.count_tokens([c.input for c in open_ones]), default=0)
    room = engine.context_length - settings.output_max_tokens - longest - _TEMPLATE
    room -= engine.count_tokens([brief.instruction])[0]
    shown = fitting_demonstrations(brief.examples, engine.count_tokens, room)
    return [
        GenerationRequest(
            prompt=prompts.task(brief.instruction, shown, c.input),
            samples=settings.output_samples,
            max_tokens=settings.output_max_tokens,
            temperature=settings.output_temperature,
            top_k=settings.output_top_k,
            stop=prompts.stop,
            seed=seed_of(brief.seed, "outputs", c.id),
        )
        for c in open_ones
    ]


def _of_settings(brief: Brief, agreement: float | None, keep: int | None) -> tuple[float, int]:
    settings = brief.settings
    return (
        settings.agreement if agreement is None else agreement,
        settings.output_keep if keep is None else keep,
    )


def _voted(candidate: Candidate, passed: Sequence[str], agreement: float, labels: Sequence[str] | None) -> Candidate:
    """Return a candidate as the vote of the answers that passed the filters leaves it."""
    if not passed:
        return filters.drop(candidate, "no_answer", f"none of {len(candidate.answers)} answers passed the filters")
    winner, share = filters.majority_vote(passed, agreement)
    candidate = dataclasses.replace(candidate, share=share)
    if winner is None:
        reason = f"the commonest answer has a share of {share:.2f} < {agreement}"
        return filters.drop(candidate, "disagreement", reason)
    output = last_label(winner, labels) if labels else winner
    if output is None:
        return filters.drop(candidate, "no_label", f"the answer {winner[:80]!r} holds no label")
    return dataclasses.replace(candidate, output=output)
