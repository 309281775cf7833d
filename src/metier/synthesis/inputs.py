"""SELF-GUIDE's first half: the model writes new inputs for its task, and filters drop those of no use.

Source: Zhao et al. 2024, SELF-GUIDE (arXiv 2407.12874), section 3: rounds of prompts that show the examples' inputs as
good ones and some inputs of earlier rounds as lesser ones; in classification a label drawn at random is asked for, and
thrown away afterwards. The wording is this project's own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

from metier.core.records import Candidate
from metier.core.storage import seed_of
from metier.engines.base import Engine, GenerationRequest, Progress
from metier.engines.prompts import Prompt, PromptFormat, fitting_demonstrations
from metier.engines.shards import Shard
from metier.synthesis import filters
from metier.synthesis.brief import Brief

_Round = tuple[list[str | None], list[GenerationRequest]]  # the labels asked for, and the requests


def write_inputs(
    brief: Brief, engine: Engine, prompts: PromptFormat, shard: Shard, progress: Progress | None = None
) -> list[Candidate]:
    """Return raw inputs, one a prompt, in rounds; later rounds are shown some of the earlier inputs.

    Args:
        brief: The job; ``brief.settings`` says how many inputs to write, and how.
        engine: Runs the model.
        prompts: Renders for that model.
        shard: Puts each round on file, or brings it back from there.
        progress: Called with inputs done and tokens made.
    """
    settings = brief.settings
    fitting = fitting_demonstrations(brief.examples, engine.count_tokens, engine.context_length // 2)
    shown = [e.input for e in fitting]
    written: list[Candidate] = []
    tokens = 0
    for number in range(-(-settings.inputs // settings.prompts_per_round)):
        labels, asked = _round(brief, prompts, shown, written, number)
        before = engine.stats.generated_tokens
        made: list[tuple[str, bool]] = shard(f"inputs-{number:05d}", partial(_texts, engine, asked))
        tokens += engine.stats.generated_tokens - before
        for place, (label, (text, finished)) in enumerate(zip(labels, made, strict=True)):
            written.append(raw_candidate(f"r{number}.{place}", text, finished, label))
        if progress:
            progress(len(written), tokens)
    return written


def filter_inputs(brief: Brief, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the same candidates with the input filters' verdicts, in the paper's order.

    The order is: cut off (asked for more tokens than allowed), empty, length, noise, duplicates.
    """
    shown = [e.input for e in brief.examples]
    limits = _length_limits(brief)
    noise = filters.noise_phrases(brief.examples, classification=brief.labels is not None)
    seen = filters.SeenTexts(near=brief.settings.near_duplicates)
    for text in shown:
        seen.check(text)
    checks: list[tuple[str, Callable[[str], str | None]]] = [("empty", filters.empty)]
    if limits is not None:
        checks.append(("length", lambda text: filters.length(text, limits)))
    if brief.settings.noise_filter:
        checks.append(("noise", lambda text: filters.noise(text, noise)))
    checks.append(("duplicate", seen.check))
    return [filters.apply(candidate, checks, candidate.input) for candidate in candidates]


def raw_candidate(name: str, text: str, finished: bool, label: str | None) -> Candidate:
    """Return what a model wrote as a candidate; one that was cut off is dropped at once."""
    candidate = Candidate(id=name, input=text.strip().removeprefix("- "), asked_label=label)
    if finished:
        return candidate
    return filters.drop(candidate, "cut_off", "longer than input_max_tokens, or than the length filter allows")


def _length_limits(brief: Brief) -> tuple[float, float] | None:
    if not brief.settings.input_length_filter:
        return None
    return filters.length_limits([e.input for e in brief.examples])


def _round(
    brief: Brief, prompts: PromptFormat, shown: Sequence[str], written: Sequence[Candidate], number: int
) -> _Round:
    """Return what one round asks for, having written so much."""
    settings = brief.settings
    # What is shown as "earlier" must at least be a whole text; the paper draws from all raw inputs.
    earlier = [c.input for c in written if c.input.strip() and c.kept]
    # What the length filter will drop need not be written to its end: most of what a small model writes too long is far
    # too long, and its round waits for it.
    limits = _length_limits(brief)
    longest = None if limits is None else int(limits[1]) + 8  # white space that is stripped
    labels: list[str | None] = []
    asked = []
    for place in range(min(settings.prompts_per_round, settings.inputs - len(written))):
        rng = random.Random(seed_of(brief.seed, "inputs", number, place))
        label = rng.choice(brief.labels) if brief.labels and settings.pseudo_labels else None
        good = list(shown)
        rng.shuffle(good)
        most = min(settings.earlier_inputs, len(earlier))
        lesser = rng.sample(earlier, rng.randint(1, most)) if most else []
        labels.append(label)
        asked.append(
            GenerationRequest(
                prompt=_input_prompt(brief.instruction, good, lesser, label, prompts),
                max_tokens=settings.input_max_tokens,
                temperature=settings.input_temperature,
                top_k=settings.input_top_k,
                stop=prompts.stop,
                seed=seed_of(brief.seed, "inputs-sampling", number, place),
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
