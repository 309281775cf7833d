"""Which pairs of a free-text task the model, read forwards, believes, and with which answer.

An input was written for an answer, and the answer before there was an input: it is what answers of the task look like,
but often not what this input asks for. So the model answers every input once more, forwards, under the few-shot prompt.
The more the two answers are alike, the surer it is that the input asks for them; of the surest the pair takes the
second. Real inputs have no answer but that one. Theirs must be likelier after its own input than after others: the
difference of log-likelihoods is the pair's pointwise mutual information, and the pairs with the highest are kept. For
that, the inputs are put in an order by the seed, and each is read once, before its own answer and those of the next
ones: a prompt is longer than an answer, so that takes half the time of other inputs for each.

How many are kept is ``keep_share`` of both, each counted apart; the others are dropped by ``quota``, and by
``disagreement`` those whose answers have nothing in common, or gain nothing from their own input.

Source: agreement of both directions as in cycle consistency and round-trip filtering of synthetic questions (Alberti et
al. 2019, arXiv 1906.05416), with likeness in place of equality.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np

from metier.core.records import Candidate
from metier.core.storage import seed_of
from metier.data.likeness import alike
from metier.engines.base import Engine, Progress, ScoringRequest
from metier.engines.prompts import Prompt, PromptFormat
from metier.engines.shards import Job, Shard, in_shards, logprobs_per_token
from metier.synthesis import filters
from metier.synthesis.brief import Brief
from metier.synthesis.forwards import answered

_SHARD = 64  # rows between two writes to disk
_OTHERS = 3  # other inputs that an answer is compared under

_Matrix = list[list[float]]
Forwards = Callable[[str], Prompt]
"""From an input to the prompt that asks for its answer."""


def agree_on_answers(
    brief: Brief,
    engine: Engine,
    prompts: PromptFormat,
    written: Sequence[Candidate],
    shard: Shard,
    progress: Progress | None = None,
) -> dict[str, Candidate]:
    """Return pairs that the model wrote, by id, with its answers forwards; those most like the first answers stay."""
    again = answered(brief, engine, prompts, written, shard, "answers-forwards", progress)
    shares = {a.id: alike(b.output, a.output) for b, a in zip(written, again, strict=True) if a.kept}
    quota = math.ceil(brief.settings.keep_share * len(written))
    surest = set(sorted(shares, key=lambda key: -shares[key])[:quota])
    out = {}
    for before, after in zip(written, again, strict=True):
        if not after.kept:
            out[after.id] = after
            continue
        share = shares[after.id]
        marked = dataclasses.replace(after, share=share)
        if share == 0.0:
            marked = filters.drop(marked, "disagreement", f"written for {before.output!r}, which has nothing in common")
        elif after.id not in surest:
            reason = f"not among the {quota} surest: written for {before.output!r}, alike by {share:.2f}"
            marked = filters.drop(marked, "quota", reason)
        out[after.id] = marked
    return out


def gain_from_inputs(
    brief: Brief,
    engine: Engine,
    prompts: PromptFormat,
    forwards: Forwards,
    pairs: Sequence[Candidate],
    shard: Shard,
) -> dict[str, Candidate]:
    """Return pairs by id with what their answers gain from their inputs; those that gain too little are dropped."""
    drawn = list(range(len(pairs)))
    random.Random(seed_of(brief.seed, "agreement")).shuffle(drawn)
    likely = in_shards(engine, shard, _jobs(prompts, forwards, pairs, drawn))
    return _gaining(brief, pairs, _gains(likely, drawn))


def _jobs(
    prompts: PromptFormat, forwards: Forwards, pairs: Sequence[Candidate], drawn: Sequence[int]
) -> list[tuple[str, Job]]:
    """Return the jobs that score, after each input, its own answer and then those of the next ones in drawn order."""
    count = len(pairs)
    answers = [prompts.answer(c.output) for c in pairs]
    jobs: list[tuple[str, Job]] = []
    for number, begin in enumerate(range(0, count, _SHARD)):
        asked = [
            ScoringRequest(
                forwards(pairs[drawn[place]].input),
                tuple(answers[drawn[(place + step) % count]] for step in range(min(_OTHERS, count - 1) + 1)),
            )
            for place in range(begin, min(begin + _SHARD, count))
        ]
        jobs.append((f"answers-after-inputs-{number:05d}", partial(logprobs_per_token, asked)))
    return jobs


def _gains(likely: Iterable[_Matrix], drawn: Sequence[int]) -> list[float]:
    """Return for each pair what its answer gains, in nats a token, from its own input over other pairs' inputs."""
    read: _Matrix = []
    for made in likely:
        read += made
    table = np.array(read)  # [place in drawn order, its own answer and those of the next places]
    after_others = [np.roll(table[:, step], step) for step in range(1, table.shape[1])]
    in_order = table[:, 0] - (np.mean(after_others, axis=0) if after_others else 0.0)
    gains = np.empty(len(drawn))
    gains[np.array(drawn)] = in_order
    return [float(gain) for gain in gains]


def _gaining(brief: Brief, pairs: Sequence[Candidate], gains: Sequence[float]) -> dict[str, Candidate]:
    threshold = float(np.quantile(gains, 1 - brief.settings.keep_share)) if len(pairs) > 1 else -np.inf
    out = {}
    for c, gain in zip(pairs, gains, strict=True):
        marked = dataclasses.replace(c, share=gain)
        if gain <= 0:
            marked = filters.drop(
                marked, "disagreement", f"its input makes the answer no likelier ({gain:.2f} nats a token)"
            )
        elif gain < threshold:
            reason = f"not among the surest: its input makes the answer likelier by only {gain:.2f} nats a token"
            marked = filters.drop(marked, "quota", reason)
        out[c.id] = marked
    return out
