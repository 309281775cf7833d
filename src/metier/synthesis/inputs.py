"""SELF-GUIDE's first half: the model writes new inputs for its task. Knows nothing about answers or training.

Source: Zhao et al. 2024, SELF-GUIDE (arXiv 2407.12874), section 3: rounds of prompts that show the demonstrations'
inputs as good ones and some inputs of earlier rounds as lesser ones; in classification a label drawn at random is
asked for, and thrown away afterwards. The wording is this project's own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

from metier.core.records import Candidate, Example
from metier.core.storage import seed_of
from metier.engines.base import Engine, GenerationRequest, Progress
from metier.engines.prompts import Prompt, PromptFormat, fitting_demonstrations
from metier.engines.shards import Shard
from metier.synthesis import filters
from metier.tasks.task import Task


def write_inputs(
    task: Task, engine: Engine, prompts: PromptFormat, shard: Shard, progress: Progress | None = None
) -> list[Candidate]:
    """Return raw inputs, one a prompt, in rounds; later rounds are shown some of the earlier inputs.

    Args:
        task: What to write inputs for; ``task.synthesis`` says how many and how.
        engine: Runs the model.
        prompts: Renders for that model.
        shard: Puts each round on file, or brings it back from there.
        progress: Called with inputs done and tokens made.
    """
    settings = task.synthesis
    rounds = -(-settings.inputs // settings.prompts_per_round)
    examples = [Example(e.input, e.output) for e in task.examples]
    shown = fitting_demonstrations(examples, engine.count_tokens, engine.context_length // 2)
    # What the length filter will drop need not be written to its end: most of what a small model writes too long is far
    # too long, and its round waits for it.
    limits = filters.length_limits([e.input for e in task.examples]) if settings.input_length_filter else None
    longest = None if limits is None else int(limits[1]) + 8  # white space that is stripped
    written: list[Candidate] = []
    tokens = 0
    for number in range(rounds):
        count = min(settings.prompts_per_round, settings.inputs - len(written))
        labels, asked = _round(task, prompts, [e.input for e in shown], written, number, count, longest)
        before = engine.stats.generated_tokens
        made = shard(f"inputs-{number:05d}", partial(_texts, engine, asked))
        tokens += engine.stats.generated_tokens - before
        for place, (label, (text, finished)) in enumerate(zip(labels, made, strict=True)):
            written.append(raw_candidate(f"r{number}.{place}", text, finished, label))
        if progress:
            progress(len(written), tokens)
    return written


def filter_inputs(task: Task, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the same candidates with the input filters' verdicts, in the paper's order.

    The order is: cut off (asked for more tokens than allowed), empty, length, noise, duplicates.
    """
    settings = task.synthesis
    shown = [e.input for e in task.examples]
    limits = filters.length_limits(shown) if settings.input_length_filter else None
    noise = filters.noise_phrases(task.examples, classification=task.labels is not None)
    seen = filters.SeenTexts(near=settings.near_duplicates)
    for text in shown:
        seen.check(text)
    out = []
    for candidate in candidates:
        checks: list[tuple[str, Callable[[str], str | None]]] = [("empty", filters.empty)]
        if limits is not None:
            checks.append(("length", lambda text: filters.length(text, limits)))
        if settings.noise_filter:
            checks.append(("noise", lambda text: filters.noise(text, noise)))
        checks.append(("duplicate", seen.check))
        out.append(filters.apply(candidate, checks, candidate.input))
    return out


def _round(
    task: Task,
    prompts: PromptFormat,
    shown: Sequence[str],
    written: Sequence[Candidate],
    number: int,
    count: int,
    longest: int | None,
) -> tuple[list[str | None], list[GenerationRequest]]:
    settings = task.synthesis
    # What is shown as "earlier" must at least be a whole text; the paper draws from all raw inputs.
    earlier = [c.input for c in written if c.input.strip() and c.kept]
    labels: list[str | None] = []
    asked = []
    for place in range(count):
        rng = random.Random(seed_of(task.seed, "inputs", number, place))
        label = rng.choice(task.labels) if task.labels and settings.pseudo_labels else None
        good = list(shown)
        rng.shuffle(good)
        most = min(settings.earlier_inputs, len(earlier))
        lesser = rng.sample(earlier, rng.randint(1, most)) if most else []
        labels.append(label)
        asked.append(
            GenerationRequest(
                prompt=_input_prompt(task.instruction, good, lesser, label, prompts),
                max_tokens=settings.input_max_tokens,
                temperature=settings.input_temperature,
                top_k=settings.input_top_k,
                stop=prompts.stop,
                seed=seed_of(task.seed, "inputs-sampling", number, place),
                max_chars=longest,
            )
        )
    return labels, asked


def _input_prompt(
    instruction: str, good: Sequence[str], lesser: Sequence[str], label: str | None, prompts: PromptFormat
) -> Prompt:
    ask = (
        "Write one new input for the task below. The new input must be of the same kind and form as the good "
        "inputs, but about something else. Write nothing but the new input, and do not solve the task.\n\n"
        f"Task: {instruction}\n\nGood inputs:\n"
    )
    parts = [f"- {text}" for text in good]
    if lesser:
        parts += ["", "Earlier inputs, of lower quality:", *(f"- {text}" for text in lesser)]
    if label is not None:
        parts += ["", f"The right answer to the new input must be: {label}"]
    return prompts.conversation((), ask, "\n".join([*parts, "", "New input:"]))


def _texts(engine: Engine, asked: Sequence[GenerationRequest]) -> list[tuple[str, bool]]:
    return [pair for g in engine.generate(asked) for pair in zip(g.texts, g.finished, strict=True)]


def raw_candidate(name: str, text: str, finished: bool, label: str | None) -> Candidate:
    """Return what a model wrote as a candidate; one that was cut off is dropped at once."""
    cleaned = text.strip().removeprefix("- ")
    if finished:
        return Candidate(id=name, input=cleaned, asked_label=label)
    return Candidate(
        id=name,
        input=cleaned,
        asked_label=label,
        dropped_by="cut_off",
        reason="longer than input_max_tokens, or than the length filter allows",
    )
