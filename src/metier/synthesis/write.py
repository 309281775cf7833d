"""Writes a job's training pairs from start to end: inputs, their filters, answers the model agrees on, balance.

Or, from real text, its damages, their filters, repairs that the model believes in, and some text left as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from metier.core.records import Candidate
from metier.engines.base import Engine, Progress
from metier.engines.prompts import PromptFormat
from metier.engines.shards import Shard
from metier.synthesis.agreement import agree
from metier.synthesis.backward import write_pairs
from metier.synthesis.brief import Brief
from metier.synthesis.checks import filter_inputs
from metier.synthesis.damage import SAMPLES, real_texts, repairable, with_unchanged, write_damaged
from metier.synthesis.inputs import write_inputs
from metier.synthesis.outputs import answer_inputs, balance, vote
from metier.synthesis.real import real_inputs

Track = Callable[[str, int, str], AbstractContextManager[Progress]]
"""From a title, a total and a unit to what shows progress while that much work is done (`Reporter.track`)."""


def synthesize(brief: Brief, engine: Engine, prompts: PromptFormat, shard: Shard, track: Track) -> list[Candidate]:
    """Return every pair that was written, each kept or dropped with the filter's name and reason.

    Args:
        brief: The job; ``brief.settings.method`` says how its data is written.
        engine: Runs the model.
        prompts: Renders for that model.
        shard: Puts each part of the work on file, or brings it back from there.
        track: Shows progress.
    """
    if brief.settings.method == "damage":
        return _damaged(brief, engine, prompts, shard, track)
    backward = brief.settings.method == "backward"
    with track("inputs", brief.settings.inputs, "rows") as update:
        if backward:
            written = filter_inputs(brief, write_pairs(brief, engine, prompts, shard, update))
            written = [*real_inputs(brief, engine, prompts, shard), *written]
        else:
            written = write_inputs(brief, engine, prompts, shard, update)
    open_ones = sum(candidate.kept for candidate in written)
    if backward and brief.settings.check_pairs:
        with track("agreement", open_ones, "rows") as update:
            judged = agree(brief, engine, prompts, written, shard, update)
    elif backward:
        judged = written
    else:
        with track("answers", open_ones, "inputs") as update:
            judged = vote(brief, answer_inputs(brief, engine, prompts, written, shard, update))
    return balance(brief, judged)


def _damaged(brief: Brief, engine: Engine, prompts: PromptFormat, shard: Shard, track: Track) -> list[Candidate]:
    with track("damages", len(real_texts(brief)) * SAMPLES, "rows") as update:
        written = write_damaged(brief, engine, prompts, shard, update)
    if brief.settings.check_pairs:
        with track("repairs", sum(candidate.kept for candidate in written), "rows") as update:
            written = repairable(brief, engine, prompts, written, shard, update)
    return with_unchanged(brief, written)
