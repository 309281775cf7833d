"""Damage: real text is the answer, and the model writes what it may have been rewritten from.

One side of every pair is then text that people wrote, and a model that rewrites badly may still damage well: making a
clear sentence clumsy is easier than making a clumsy one clear. A conversation shows the examples backwards (answer,
then input), those whose answer changes something, and asks for an input to a real text. What the model wrote is kept if
it changes about as much of the text as the examples do, and if its repair is likelier than its damage: read forwards,
the model must find the step from the damaged text to the real one likelier than the step back. Of the damages of one
text the surest stays. Beside them some texts stay as they are on both sides, so that the model learns to leave alone
what is right.

Sources: back-translation (Sennrich et al. 2016, arXiv 1511.06709), for correction the best of those compared by Kiyono
et al. 2019 (arXiv 1909.00502); errors that a language model writes, Luhtaru et al. 2024 (arXiv 2403.05493). That a
model's likelihoods tell which of two sentences is the broken one: Yasunaga et al. 2021 (arXiv 2109.06822).
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from functools import partial

from metier.core.records import Candidate, Example
from metier.core.storage import seed_of
from metier.data.likeness import edit_rate
from metier.engines.base import Engine, GenerationRequest, Progress, ScoringRequest
from metier.engines.prompts import PromptFormat
from metier.engines.shards import Job, Shard, in_shards, logprob_per_token, texts_and_ends
from metier.synthesis import filters
from metier.synthesis.backward import ends_of, input_prompt
from metier.synthesis.brief import Brief
from metier.synthesis.checks import damage_checks
from metier.synthesis.forwards import asked_forwards

SAMPLES = 8  # damages of one text: its prompt is computed once, so further ones cost little
_SHARD = 16  # texts between two writes to disk
_TEMPLATE = 64  # tokens left free for the marks of a chat template
_GROWTH = 2  # times its length in characters, after which a damaged text is of no use


def write_damaged(
    brief: Brief, engine: Engine, prompts: PromptFormat, shard: Shard, progress: Progress | None = None
) -> list[Candidate]:
    """Return the damages of the brief's real texts as pairs, those that are no damage dropped.

    Args:
        brief: The job, with the real texts.
        engine: Runs the model.
        prompts: Renders for that model.
        shard: Puts each part of the work on file, or brings it back from there.
        progress: Called with pairs written and tokens made.
    """
    backwards = dataclasses.replace(brief, examples=changing(brief.examples))
    clean_texts = real_texts(brief)
    groups = [clean_texts[begin : begin + _SHARD] for begin in range(0, len(clean_texts), _SHARD)]
    jobs: list[tuple[str, Job]] = [
        (f"inputs-{number:05d}", partial(texts_and_ends, _requests(backwards, prompts, group, number)))
        for number, group in enumerate(groups)
    ]
    checks = damage_checks(brief)
    before = engine.stats.generated_tokens
    written: list[Candidate] = []
    made: list[tuple[list[str], list[bool]]]
    for number, (group, made) in enumerate(zip(groups, in_shards(engine, shard, jobs), strict=True)):
        for place, (clean, (texts, ends)) in enumerate(zip(group, made, strict=True)):
            for sample, (text, ended) in enumerate(zip(texts, ends, strict=True)):
                pair = Candidate(f"r{number}.{place}.{sample}", text.strip(), output=clean, asked_label=clean)
                if not ended:
                    pair = filters.drop(pair, "cut_off", "longer than input_max_tokens, or than twice the text")
                written.append(filters.apply(pair, checks(clean), pair.input))
        if progress:
            progress(len(written), engine.stats.generated_tokens - before)
    return written


def repairable(
    brief: Brief,
    engine: Engine,
    prompts: PromptFormat,
    candidates: Sequence[Candidate],
    shard: Shard,
    progress: Progress | None = None,
) -> list[Candidate]:
    """Return the candidates with those dropped whose repair is not likelier than their damage; one of a text stays."""
    forwards = asked_forwards(brief, engine, prompts)
    open_ones = [c for c in candidates if c.kept]
    longest = [max(c.input, c.output, key=len) for c in open_ones]
    sizes = engine.count_tokens([forwards(text).text + text for text in longest])
    verdicts = {
        c.id: filters.drop(c, "too_long", "its prompt does not fit the model's context")
        for c, size in zip(open_ones, sizes, strict=True)
        if size + _TEMPLATE > engine.context_length
    }
    open_ones = [c for c in open_ones if c.id not in verdicts]
    jobs: list[tuple[str, Job]] = []
    for number, begin in enumerate(range(0, len(open_ones), _SHARD)):
        asked = []
        for c in open_ones[begin : begin + _SHARD]:
            for before, after in ((c.input, c.output), (c.output, c.input)):
                asked.append(ScoringRequest(forwards(before), (prompts.answer(after),)))
        jobs.append((f"repairs-{number:05d}", partial(logprob_per_token, asked)))
    gains: list[float] = []
    likely: list[float]
    for likely in in_shards(engine, shard, jobs):
        gains += [repair - damage for repair, damage in zip(likely[::2], likely[1::2], strict=True)]
        if progress:
            progress(len(gains), 0)
    verdicts |= _surest(open_ones, gains)
    return [verdicts.get(c.id, c) for c in candidates]


def with_unchanged(brief: Brief, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates with real texts that stay as they are, in the share that ``unchanged`` says.

    Texts of which no damage was kept come first: so each text is in one pair, as long as there are enough.
    """
    damaged = {c.output for c in candidates if c.kept}
    share = brief.settings.unchanged
    several = round(len(damaged) * share / (1 - share))
    texts = list(real_texts(brief))
    random.Random(seed_of(brief.seed, "unchanged")).shuffle(texts)
    texts.sort(key=lambda text: text in damaged)
    return [*candidates, *(Candidate(f"same.{i}", text, output=text) for i, text in enumerate(texts[:several]))]


def real_texts(brief: Brief) -> tuple[str, ...]:
    """Return the texts that are damaged: those of the brief, as many as ``inputs`` says at most."""
    return brief.unlabelled[: brief.settings.inputs]


def changing(examples: Sequence[Example]) -> tuple[Example, ...]:
    """Return the examples whose answer is not their input."""
    return tuple(e for e in examples if edit_rate(e.input, e.output) > 0)


def _requests(brief: Brief, prompts: PromptFormat, texts: Sequence[str], number: int) -> list[GenerationRequest]:
    settings = brief.settings
    stop = ends_of([example.input for example in brief.examples], prompts)
    return [
        GenerationRequest(
            prompt=input_prompt(brief, prompts, text, number),
            samples=SAMPLES,
            max_tokens=settings.input_max_tokens,
            temperature=settings.input_temperature,
            top_k=settings.input_top_k,
            stop=stop,
            seed=seed_of(brief.seed, "damage", number, place),
            max_chars=_GROWTH * len(text),
        )
        for place, text in enumerate(texts)
    ]


def _surest(open_ones: Sequence[Candidate], gains: Sequence[float]) -> dict[str, Candidate]:
    """Return the candidates by id with what their repair gains; of each text only the surest stays."""
    best: dict[str, float] = {}
    for c, gain in zip(open_ones, gains, strict=True):
        best[c.output] = max(gain, best.get(c.output, gain))
    found, kept = {}, set[str]()
    for c, gain in zip(open_ones, gains, strict=True):
        marked = dataclasses.replace(c, share=gain)
        if gain <= 0:
            reason = f"from it to the text is no likelier than back ({gain:.2f} nats a token)"
            marked = filters.drop(marked, "no_repair", reason)
        elif gain < best[c.output] or c.output in kept:
            marked = filters.drop(marked, "quota", "another damage of the same text is surer")
        else:
            kept.add(c.output)
        found[c.id] = marked
    return found
