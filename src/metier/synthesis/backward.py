"""Backward synthesis: the model is given an answer and writes an input for it.

A small model that answers badly may still write good inputs for a given answer: saying what a complaint about billing
looks like is easier than telling one from a delivery problem. In classification every label is given equally often;
otherwise the model first writes new answers like those of the examples. A conversation shows the examples backwards
(answer, then input) and asks for an input for the answer. What a small model writes beyond the form of the examples is
not waited for: where every example is one line, a line's end ends an input, and no input has more lines than the
longest example or is more than twice as long. `agreement` then drops the pairs that the model, read forwards, does not
believe.

Sources: back-translation (Sennrich et al. 2016, arXiv 1511.06709), data generated for given labels (ZeroGen, Ye et al.
2022, arXiv 2202.07922).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial

from metier.core.records import Candidate, Example
from metier.core.storage import seed_of
from metier.engines.base import Engine, GenerationRequest, Progress
from metier.engines.prompts import Prompt, PromptFormat, Turn
from metier.engines.shards import Job, Shard, in_shards, texts_and_ends
from metier.synthesis import filters
from metier.synthesis.brief import Brief
from metier.synthesis.checks import input_limits

_SAMPLES = 8  # inputs drawn from one prompt: the prompt is computed once, so further ones cost little
_SHARD = 64  # rows between two writes to disk
_MOST_SHOWN = 8  # examples in a backward prompt

_TextsAndEnds = list[tuple[list[str], list[bool]]]


def write_pairs(
    brief: Brief, engine: Engine, prompts: PromptFormat, shard: Shard, progress: Progress | None = None
) -> list[Candidate]:
    """Return raw pairs: an answer asked for, and the input the model wrote for it.

    Args:
        brief: The job; ``brief.settings`` says how many pairs, and how they are sampled.
        engine: Runs the model.
        prompts: Renders for that model.
        shard: Puts each part of the work on file, or brings it back from there.
        progress: Called with pairs written and tokens made.
    """
    answers = _answers(brief, engine, prompts, shard)
    size = max(1, _SHARD // max((count for _, count in answers), default=1))
    groups = [answers[i : i + size] for i in range(0, len(answers), size)]
    jobs: list[tuple[str, Job]] = [
        (f"inputs-{number:05d}", partial(texts_and_ends, _input_requests(brief, prompts, group, number)))
        for number, group in enumerate(groups)
    ]
    written: list[Candidate] = []
    before = engine.stats.generated_tokens
    most_lines = _most_lines([example.input for example in brief.examples])
    made: _TextsAndEnds
    for number, (group, made) in enumerate(zip(groups, in_shards(engine, shard, jobs), strict=True)):
        for place, ((answer, _), (texts, finished)) in enumerate(zip(group, made, strict=True)):
            for sample, (text, ended) in enumerate(zip(texts, finished, strict=True)):
                written.append(_pair(f"r{number}.{place}.{sample}", text, ended, answer, most_lines))
        if progress:
            progress(len(written), engine.stats.generated_tokens - before)
    return written


def input_prompt(brief: Brief, prompts: PromptFormat, answer: str | None, number: int) -> Prompt:
    """Return the prompt that asks for an input to an answer; prompts of one ``number`` show the same examples.

    Args:
        brief: The job.
        prompts: Renders for the model.
        answer: What the right answer to the input is to be; None: it does not matter.
        number: Which group of prompts this one is of.
    """

    def ask(output: str) -> str:
        return "Write a new input." if answer is None else f"Write a new input to which the right answer is: {output}"

    shown = _shown(brief, number)
    head = f"{_context(brief)}\n\n"
    turns = [Turn((head if i == 0 else "") + ask(d.output), d.input) for i, d in enumerate(shown)]
    return prompts.conversation(turns, ask(""), answer or "")


def ends_of(texts: Sequence[str], prompts: PromptFormat) -> tuple[str, ...]:
    """Return what ends a text like these: a line's end as well, where each of them is one line."""
    return (*prompts.stop, "\n") if _most_lines(texts) == 1 else prompts.stop


def _input_requests(
    brief: Brief, prompts: PromptFormat, group: list[tuple[str | None, int]], number: int
) -> list[GenerationRequest]:
    settings = brief.settings
    limits = input_limits(brief)
    longest = None if limits is None else int(limits[1])
    stop = ends_of([example.input for example in brief.examples], prompts)
    return [
        GenerationRequest(
            prompt=input_prompt(brief, prompts, answer, number),
            samples=count,
            max_tokens=settings.input_max_tokens,
            temperature=settings.input_temperature,
            top_k=settings.input_top_k,
            stop=stop,
            seed=seed_of(brief.seed, "backward-inputs", number, place),
            max_chars=longest,
        )
        for place, (answer, count) in enumerate(group)
    ]


def _pair(name: str, text: str, finished: bool, answer: str | None, most_lines: int) -> Candidate:
    """Return what a model wrote, as far as inputs go on, as a candidate; one that was cut off is dropped at once."""
    written = text.strip().removeprefix("- ").split("\n")
    pair = Candidate(name, "\n".join(written[:most_lines]).strip(), output=answer or "", asked_label=answer)
    return (
        pair
        if finished or len(written) > most_lines
        else filters.drop(pair, "cut_off", "longer than input_max_tokens, or than the length filter allows")
    )


def _most_lines(texts: Sequence[str]) -> int:
    return max(text.strip().count("\n") for text in texts) + 1


def _answers(brief: Brief, engine: Engine, prompts: PromptFormat, shard: Shard) -> list[tuple[str | None, int]]:
    """Return the answers to write inputs for, and how many inputs to draw for each."""
    settings = brief.settings
    if brief.labels:
        # Every label equally often: the agreement step relies on it.
        each = -(-settings.inputs // len(brief.labels))
        samples = min(_SAMPLES, each)
        labels: tuple[str | None, ...] = brief.labels
        if not settings.pseudo_labels:
            labels = (None,) * len(brief.labels)
        return [(label, samples) for _ in range(-(-each // samples)) for label in labels]
    stop = ends_of([example.output for example in brief.examples], prompts)
    asked = [
        GenerationRequest(
            prompt=_answer_prompt(brief, prompts, number),
            samples=_SAMPLES,
            max_tokens=settings.output_max_tokens,
            temperature=settings.input_temperature,
            top_k=settings.input_top_k,
            stop=stop,
            seed=seed_of(brief.seed, "backward-answers", number),
        )
        for number in range(-(-settings.inputs // _SAMPLES))
    ]
    made: _TextsAndEnds = shard("answers", partial(texts_and_ends, asked, engine))
    seen = filters.SeenTexts(near=settings.near_duplicates)
    for example in brief.examples:
        seen.check(example.output)
    texts = [t.strip() for group, ended in made for t, whole in zip(group, ended, strict=True) if whole]
    return [(text, 1) for text in texts if filters.empty(text) is None and seen.check(text) is None]


def _answer_prompt(brief: Brief, prompts: PromptFormat, number: int) -> Prompt:
    ask = "Write one more answer of the kind this task calls for, about something else."
    shown = _shown(brief, number)
    head = f"{_context(brief)}\n\n"
    turns = [Turn((head if i == 0 else "") + ask, d.output) for i, d in enumerate(shown)]
    return prompts.conversation(turns, ask, "")


def _shown(brief: Brief, number: int) -> list[Example]:
    """Return the examples one prompt shows, in an order of its own: many orders make for varied inputs."""
    shown = min(len(brief.examples), _MOST_SHOWN)
    return random.Random(seed_of(brief.seed, "backward-order", number)).sample(brief.examples, shown)


def _context(brief: Brief) -> str:
    return f"We are collecting examples for this task: {brief.instruction}"
