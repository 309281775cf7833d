"""Drops the pairs that the model itself, read forwards, does not believe.

In classification each input is read twice: forwards (how likely is each label after it, under the few-shot prompt) and
backwards (how likely is it under the prompt of each label). Both are calibrated over all inputs and added up; the label
is the likeliest, and of each label the most certain inputs are kept, equally many; real inputs without answers are
calibrated and counted apart from those that were written. In a free-text task the answer must be likelier after its own
input than after others: the difference of log-likelihoods is the pair's pointwise mutual information, and the pairs
with the highest are kept. The pairs are put in an order by the seed, and each input is read once, before its own answer
and those of the next ones: a prompt is longer than an answer, so that takes half the time of other inputs for each. How
many is ``keep_share`` in both: the others are dropped by ``quota``, and by ``disagreement`` only those whose answer
gains nothing from its own input.

Sources: noisy-channel prompting (Min et al. 2022, arXiv 2108.04106), batch calibration (Zhou et al. 2024, arXiv
2309.17249).
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from metier.core.records import Candidate
from metier.core.storage import seed_of
from metier.engines.base import Engine, Progress, ScoringRequest
from metier.engines.prompts import PromptFormat
from metier.engines.shards import Job, Shard, in_shards, logprobs_per_token
from metier.synthesis import filters
from metier.synthesis.backward import input_prompt
from metier.synthesis.brief import Brief
from metier.synthesis.forwards import Forwards, asked_forwards

_SHARD = 64  # rows between two writes to disk
_OTHERS = 3  # other inputs that an answer is compared under, in a free-text task
_ENOUGH = 20  # real inputs that can be calibrated by themselves

_Floats = npt.NDArray[np.float64]
_Matrix = list[list[float]]


def agree(
    brief: Brief,
    engine: Engine,
    prompts: PromptFormat,
    candidates: Sequence[Candidate],
    shard: Shard,
    progress: Progress | None = None,
) -> list[Candidate]:
    """Return the candidates with those dropped that the model, read forwards, does not believe."""
    forwards = asked_forwards(brief, engine, prompts)
    candidates = _fitting(brief, engine, forwards, candidates)
    open_ones = [c for c in candidates if c.kept]
    if not open_ones:
        return list(candidates)
    if brief.labels:
        both = readings(brief, engine, prompts, [c.input for c in open_ones], shard, progress)
        verdicts = _read_apart(brief, open_ones, both)
    else:
        drawn = list(range(len(open_ones)))
        random.Random(seed_of(brief.seed, "agreement")).shuffle(drawn)
        likely = in_shards(engine, shard, _answer_jobs(brief, prompts, forwards, open_ones, drawn))
        verdicts = _gaining(brief, open_ones, _gains(likely, drawn, progress))
    return [verdicts.get(c.id, c) for c in candidates]


def readings(
    brief: Brief,
    engine: Engine,
    prompts: PromptFormat,
    inputs: Sequence[str],
    shard: Shard,
    progress: Progress | None = None,
) -> tuple[_Floats, _Floats]:
    """Return how likely each label is after each input, and how likely each input is under the prompt of each label.

    Returns:
        The two readings as log-likelihoods, each ``[inputs, labels]``, as `evidence_of` takes them.
    """
    direct: _Matrix = []
    channel: _Matrix = []
    jobs = _label_jobs(brief, prompts, asked_forwards(brief, engine, prompts), inputs)
    made: list[_Matrix]
    for made in in_shards(engine, shard, jobs):
        by_input, by_label = made
        direct += by_input
        channel += [list(row) for row in zip(*by_label, strict=True)]
        if progress:
            progress(len(direct), 0)
    return np.array(direct), np.array(channel)


def evidence_of(direct: _Floats, channel: _Floats) -> _Floats:
    """Return both readings as one, ``[inputs, labels]``: log-probabilities, up to a number for each input.

    Args:
        direct: How likely each label is after each input, ``[inputs, labels]``.
        channel: How likely each input is under the prompt of each label, ``[inputs, labels]``.
    """
    return calibrated(direct) + calibrated(channel)


def calibrated(logprobs: _Floats) -> _Floats:
    """Return log-probabilities over labels, ``[inputs, labels]``, without the bias that all inputs share.

    Inputs were asked for equally often for every label, so over all of them no label should be likelier than another
    (batch calibration, Zhou et al. 2024). Of each input, the mean over its labels is 0.
    """
    of_each_input = logprobs - logprobs.mean(axis=1, keepdims=True)
    centred: _Floats = of_each_input - of_each_input.mean(axis=0)
    return centred


def _fitting(brief: Brief, engine: Engine, forwards: Forwards, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates with those dropped whose prompt and answer do not fit the model's context."""
    sizes = engine.count_tokens([forwards(c.input).text for c in candidates])
    answers = engine.count_tokens(sorted({*(c.output for c in candidates), *(brief.labels or ())}))
    room = engine.context_length - max(answers, default=0) - 1
    return [
        filters.drop(c, "too_long", f"its prompt of {size} tokens does not fit the context of {engine.context_length}")
        if c.kept and size > room
        else c
        for c, size in zip(candidates, sizes, strict=True)
    ]


def _label_jobs(
    brief: Brief, prompts: PromptFormat, forwards: Forwards, inputs: Sequence[str]
) -> list[tuple[str, Job]]:
    """Return the jobs that read inputs both ways: every label after an input, and an input after every label."""
    labels = brief.labels or ()
    answers = tuple(prompts.answer(label) for label in labels)
    jobs: list[tuple[str, Job]] = []
    for number, begin in enumerate(range(0, len(inputs), _SHARD)):
        texts = tuple(inputs[begin : begin + _SHARD])
        direct = [ScoringRequest(forwards(text), answers) for text in texts]
        channel = [ScoringRequest(input_prompt(brief, prompts, label, number), texts) for label in labels]
        jobs.append((f"agreement-{number:05d}", partial(_both_ways, direct, channel)))
    return jobs


def _both_ways(direct: Sequence[ScoringRequest], channel: Sequence[ScoringRequest], engine: Engine) -> list[_Matrix]:
    return [[list(s.logprobs) for s in engine.score(asked)] for asked in (direct, channel)]


def _read_apart(brief: Brief, open_ones: Sequence[Candidate], both: tuple[_Floats, _Floats]) -> dict[str, Candidate]:
    """Return the verdicts on inputs that were written and on real ones, whose labels may be of other shares."""
    real = np.array([c.real for c in open_ones])
    groups = [~real, real] if real.sum() >= _ENOUGH else [np.full(len(open_ones), True)]
    verdicts: dict[str, Candidate] = {}
    for rows in groups:
        some = [c for c, inside in zip(open_ones, rows, strict=True) if inside]
        if some:
            verdicts |= _read_as(brief, some, evidence_of(*(reading[rows] for reading in both)))
    return verdicts


def _read_as(brief: Brief, open_ones: Sequence[Candidate], evidence: _Floats) -> dict[str, Candidate]:
    """Return the candidates by id with their likeliest label; the less certain ones of each label are dropped."""
    labels = brief.labels or ()
    shares = np.exp(evidence - np.logaddexp.reduce(evidence, axis=1, keepdims=True))
    best = shares.argmax(axis=1)
    certain = shares.max(axis=1)
    quota = math.ceil(brief.settings.keep_share * len(open_ones) / len(labels))
    kept = {i for k in range(len(labels)) for i in sorted(np.flatnonzero(best == k), key=lambda i: -certain[i])[:quota]}
    out = {}
    for i, c in enumerate(open_ones):
        read = labels[int(best[i])]
        marked = dataclasses.replace(c, output=read, share=float(certain[i]))
        if i not in kept:
            reason = f"not among the {quota} surest of {read!r}: {_origin(c)}, read with {certain[i]:.2f}"
            marked = filters.drop(marked, "quota", reason)
        out[c.id] = marked
    return out


def _origin(c: Candidate) -> str:
    if c.real:
        return "a real input"
    return "written for no label" if c.asked_label is None else f"written for {c.asked_label!r}"


def _answer_jobs(
    brief: Brief, prompts: PromptFormat, forwards: Forwards, open_ones: Sequence[Candidate], drawn: Sequence[int]
) -> list[tuple[str, Job]]:
    """Return the jobs that score, after each input, its own answer and then those of the next ones in drawn order."""
    count = len(open_ones)
    answers = [prompts.answer(c.output) for c in open_ones]
    jobs: list[tuple[str, Job]] = []
    for number, begin in enumerate(range(0, count, _SHARD)):
        asked = [
            ScoringRequest(
                forwards(open_ones[drawn[place]].input),
                tuple(answers[drawn[(place + step) % count]] for step in range(min(_OTHERS, count - 1) + 1)),
            )
            for place in range(begin, min(begin + _SHARD, count))
        ]
        jobs.append((f"answers-after-inputs-{number:05d}", partial(logprobs_per_token, asked)))
    return jobs


def _gains(likely: Iterable[_Matrix], drawn: Sequence[int], progress: Progress | None) -> list[float]:
    """Return for each pair what its answer gains, in nats a token, from its own input over other pairs' inputs."""
    read: _Matrix = []
    for made in likely:
        read += made
        if progress:
            progress(len(read), 0)
    table = np.array(read)  # [place in drawn order, its own answer and those of the next places]
    after_others = [np.roll(table[:, step], step) for step in range(1, table.shape[1])]
    in_order = table[:, 0] - (np.mean(after_others, axis=0) if after_others else 0.0)
    gains = np.empty(len(drawn))
    gains[np.array(drawn)] = in_order
    return [float(gain) for gain in gains]


def _gaining(brief: Brief, open_ones: Sequence[Candidate], gains: Sequence[float]) -> dict[str, Candidate]:
    """Return the candidates by id with their gain; those that gain too little are dropped."""
    threshold = float(np.quantile(gains, 1 - brief.settings.keep_share)) if len(open_ones) > 1 else -np.inf
    out = {}
    for c, gain in zip(open_ones, gains, strict=True):
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
