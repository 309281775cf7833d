"""Backward synthesis: start from an answer, write an input for it, keep the pair if the model believes it forwards.

A small model that answers badly may still write good inputs for a given answer: saying what a complaint about billing
looks like is easier than telling one from a delivery problem. Three steps:

1. Answers. In classification, every label equally often. Otherwise the model writes new ones like those shown.
2. Inputs. A conversation shows the demonstrations backwards (answer, then input) and asks for an input for the answer.
3. Agreement. In classification each input is read twice: forwards (how likely is each label after it, under the
   few-shot prompt) and backwards (how likely is it under the prompt of each label). Both are calibrated over all
   inputs and added up; the label is the likeliest, and the surest ``keep_share`` is kept, equally many a label.
   In a free-text task the answer must be likelier after its own input than after others: the difference of
   log-likelihoods is the pair's pointwise mutual information, and the ``keep_share`` with the highest is kept.

Knows nothing about training. Sources of the parts: back-translation (Sennrich et al. 2016, arXiv 1511.06709), data
generated for given labels (ZeroGen, Ye et al. 2022, arXiv 2202.07922), noisy-channel prompting (Min et al. 2022,
arXiv 2108.04106), batch calibration (Zhou et al. 2024, arXiv 2309.17249).
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from metier.core.records import Candidate, Example
from metier.core.storage import seed_of
from metier.engines.base import Engine, GenerationRequest, Progress, ScoringRequest
from metier.engines.prompts import Prompt, PromptFormat, Turn, fitting_demonstrations
from metier.engines.shards import Job, Shard, in_shards, logprob_per_token, texts_and_ends
from metier.synthesis import filters
from metier.synthesis.inputs import raw_candidate
from metier.tasks.task import Task

_SAMPLES = 8  # inputs drawn from one prompt: the prompt is computed once, so this is nearly free speed
_SHARD = 64  # rows between two writes to disk
_OTHERS = 3  # other inputs that an answer is compared under, in a free-text task
_MOST_SHOWN = 8  # demonstrations in a backward prompt

Forwards = Callable[[str], Prompt]
"""From an input to the prompt that asks for its answer."""


def write_pairs(
    task: Task, engine: Engine, prompts: PromptFormat, shard: Shard, progress: Progress | None = None
) -> list[Candidate]:
    """Return raw pairs: an answer asked for, and the input the model wrote for it."""
    answers = _answers(task, engine, prompts, shard)
    size = max(1, _SHARD // max((count for _, count in answers), default=1))
    groups = [answers[i : i + size] for i in range(0, len(answers), size)]
    jobs: list[tuple[str, Job]] = []
    for number, group in enumerate(groups):
        asked = [
            GenerationRequest(
                prompt=_input_prompt(task, prompts, answer, number),
                samples=count,
                max_tokens=task.synthesis.input_max_tokens,
                temperature=task.synthesis.input_temperature,
                top_k=task.synthesis.input_top_k,
                stop=prompts.stop,
                seed=seed_of(task.seed, "backward-inputs", number, place),
            )
            for place, (answer, count) in enumerate(group)
        ]
        jobs.append((f"inputs-{number:05d}", partial(texts_and_ends, asked)))
    written: list[Candidate] = []
    before = engine.stats.generated_tokens
    for number, (group, made) in enumerate(zip(groups, in_shards(engine, shard, jobs), strict=True)):
        for place, ((answer, _), (texts, finished)) in enumerate(zip(group, made, strict=True)):
            for sample, (text, ended) in enumerate(zip(texts, finished, strict=True)):
                pair = raw_candidate(f"r{number}.{place}.{sample}", text, ended, answer)
                written.append(dataclasses.replace(pair, output=answer))
        if progress:
            progress(len(written), engine.stats.generated_tokens - before)
    return written


def agree(
    task: Task,
    engine: Engine,
    prompts: PromptFormat,
    candidates: Sequence[Candidate],
    shard: Shard,
    progress: Progress | None = None,
) -> list[Candidate]:
    """Return the candidates with those dropped that the model, read forwards, does not believe."""
    forwards = _forward(task, engine, prompts)
    candidates = _fitting(task, engine, forwards, candidates)
    open_ones = [c for c in candidates if c.kept]
    if not open_ones:
        return list(candidates)
    if task.labels:
        verdicts = _label_agreement(task, engine, prompts, forwards, open_ones, shard, progress)
    else:
        verdicts = _answer_agreement(task, engine, prompts, forwards, open_ones, shard, progress)
    return [verdicts.get(c.id, c) for c in candidates]


def _fitting(task: Task, engine: Engine, forwards: Forwards, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates with those dropped whose prompt and answer do not fit the model's context."""
    sizes = engine.count_tokens([forwards(c.input).text for c in candidates])
    answers = engine.count_tokens(sorted({*(c.output for c in candidates), *(task.labels or ())}))
    room = engine.context_length - max(answers, default=0) - 1
    return [
        filters.drop(c, "too_long", f"its prompt of {size} tokens does not fit the context of {engine.context_length}")
        if c.kept and size > room
        else c
        for c, size in zip(candidates, sizes, strict=True)
    ]


def _answers(task: Task, engine: Engine, prompts: PromptFormat, shard: Shard) -> list[tuple[str, int]]:
    """Return the answers to write inputs for, and how many inputs to draw for each."""
    wanted = task.synthesis.inputs
    if task.labels:
        # Every label equally often: the agreement step relies on it.
        each = -(-wanted // len(task.labels))
        samples = min(_SAMPLES, each)
        return [(label, samples) for _ in range(-(-each // samples)) for label in task.labels]
    prompts_needed = -(-wanted // _SAMPLES)
    asked = [
        GenerationRequest(
            prompt=_answer_prompt(task, prompts, number),
            samples=_SAMPLES,
            max_tokens=task.synthesis.output_max_tokens,
            temperature=task.synthesis.input_temperature,
            top_k=task.synthesis.input_top_k,
            stop=prompts.stop,
            seed=seed_of(task.seed, "backward-answers", number),
        )
        for number in range(prompts_needed)
    ]
    made = shard("answers", partial(texts_and_ends, asked, engine))
    seen = filters.SeenTexts(near=task.synthesis.near_duplicates)
    for example in task.examples:
        seen.check(example.output)
    texts = [t.strip() for group, ended in made for t, whole in zip(group, ended, strict=True) if whole]
    return [(text, 1) for text in texts if filters.empty(text) is None and seen.check(text) is None]


def _shown(task: Task, number: int) -> list[Example]:
    """Return the demonstrations one prompt shows, in an order of its own: many orders make for varied inputs."""
    examples = [Example(e.input, e.output) for e in task.examples]
    return random.Random(seed_of(task.seed, "backward-order", number)).sample(examples, min(len(examples), _MOST_SHOWN))


def _input_prompt(task: Task, prompts: PromptFormat, answer: str, number: int) -> Prompt:
    def ask(output: str) -> str:
        return f"Write a new input to which the right answer is: {output}"

    shown = _shown(task, number)
    head = f"{_context(task)}\n\n"
    turns = [Turn((head if i == 0 else "") + ask(d.output), d.input) for i, d in enumerate(shown)]
    return prompts.conversation(turns, ask(""), answer)


def _answer_prompt(task: Task, prompts: PromptFormat, number: int) -> Prompt:
    ask = "Write one more answer of the kind this task calls for, about something else."
    shown = _shown(task, number)
    head = f"{_context(task)}\n\n"
    turns = [Turn((head if i == 0 else "") + ask, d.output) for i, d in enumerate(shown)]
    return prompts.conversation(turns, ask, "")


def _context(task: Task) -> str:
    return f"We are collecting examples for this task: {task.instruction}"


def _forward(task: Task, engine: Engine, prompts: PromptFormat) -> Forwards:
    """Return what writes the few-shot prompt of an input; which demonstrations fit is counted once."""
    examples = [Example(e.input, e.output) for e in task.examples]
    shown = fitting_demonstrations(examples, engine.count_tokens, engine.context_length // 2)
    return partial(prompts.task, task.instruction, shown)


def _label_agreement(
    task: Task,
    engine: Engine,
    prompts: PromptFormat,
    forwards: Forwards,
    open_ones: list[Candidate],
    shard: Shard,
    progress: Progress | None,
) -> dict[str, Candidate]:
    """Label each input by two readings of it, and keep the surest for each label."""
    labels = task.labels or ()
    jobs: list[tuple[str, Job]] = []
    for begin in range(0, len(open_ones), _SHARD):
        texts = tuple(c.input for c in open_ones[begin : begin + _SHARD])
        number = begin // _SHARD
        direct_asked = [
            ScoringRequest(forwards(text), tuple(prompts.answer(label) for label in labels)) for text in texts
        ]
        backwards = [ScoringRequest(_input_prompt(task, prompts, label, number), texts) for label in labels]
        jobs.append((f"agreement-{number:05d}", partial(_both_ways, direct_asked, backwards)))
    direct: list[list[float]] = []
    channel: list[list[float]] = []
    for made in in_shards(engine, shard, jobs):
        direct += made[0]
        channel += [list(row) for row in zip(*made[1], strict=True)]
        if progress:
            progress(len(direct), 0)
    evidence = _calibrated(np.array(direct)) + _calibrated(np.array(channel))
    shares = np.exp(evidence - np.logaddexp.reduce(evidence, axis=1, keepdims=True))
    best = shares.argmax(axis=1)
    surest = shares.max(axis=1)
    quota = math.ceil(task.synthesis.keep_share * len(open_ones) / len(labels))
    kept = {i for k in range(len(labels)) for i in sorted(np.flatnonzero(best == k), key=lambda i: -surest[i])[:quota]}
    out = {}
    for i, c in enumerate(open_ones):
        read = labels[int(best[i])]
        marked = dataclasses.replace(c, output=read, share=float(surest[i]))
        if i not in kept:
            marked = filters.drop(
                marked,
                "disagreement",
                f"written for {c.asked_label!r}, read as {read!r} with {surest[i]:.2f}",
            )
        out[c.id] = marked
    return out


def _calibrated(logprobs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return log-probabilities over labels, ``[inputs, labels]``, without the taste for a label common to all inputs.

    Inputs were asked for equally often for every label, so over all of them no label should be likelier than another
    (batch calibration, Zhou et al. 2024).
    """
    normalised = logprobs - np.logaddexp.reduce(logprobs, axis=1, keepdims=True)
    centred: npt.NDArray[np.float64] = normalised - normalised.mean(axis=0)
    return centred


def _answer_agreement(
    task: Task,
    engine: Engine,
    prompts: PromptFormat,
    forwards: Forwards,
    open_ones: list[Candidate],
    shard: Shard,
    progress: Progress | None,
) -> dict[str, Candidate]:
    """Keep the pairs whose answer gains most from its own input over other candidates' inputs, per token."""
    count = len(open_ones)
    others = min(_OTHERS, count - 1)
    jobs: list[tuple[str, Job]] = []
    for begin in range(0, count, _SHARD):
        asked = []
        for i in range(begin, min(begin + _SHARD, count)):
            rng = random.Random(seed_of(task.seed, "agreement", open_ones[i].id))
            rivals = rng.sample([j for j in range(count) if j != i], others)
            answer = (prompts.answer(open_ones[i].output),)
            asked += [ScoringRequest(forwards(open_ones[j].input), answer) for j in [i, *rivals]]
        jobs.append((f"agreement-{begin // _SHARD:05d}", partial(logprob_per_token, asked)))
    gains: list[float] = []
    for made in in_shards(engine, shard, jobs):
        for first in range(0, len(made), others + 1):
            own, *rest = made[first : first + others + 1]
            gains.append(own - (sum(rest) / len(rest) if rest else 0.0))
        if progress:
            progress(len(gains), 0)
    threshold = float(np.quantile(gains, 1 - task.synthesis.keep_share)) if count > 1 else -np.inf
    out = {}
    for c, gain in zip(open_ones, gains, strict=True):
        marked = dataclasses.replace(c, share=gain)
        if gain < threshold or gain <= 0:
            marked = filters.drop(
                marked, "disagreement", f"its input makes the answer likelier by only {gain:.2f} nats a token"
            )
        out[c.id] = marked
    return out


def _both_ways(
    forwards: Sequence[ScoringRequest], backwards: Sequence[ScoringRequest], engine: Engine
) -> list[list[list[float]]]:
    return [[list(s.logprobs) for s in engine.score(asked)] for asked in (forwards, backwards)]
