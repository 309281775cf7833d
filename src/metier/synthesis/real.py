"""Real inputs without answers, as candidates: with labels `agreement` reads them, in free text the model answers them.

They have the length, manner and mix of topics that no model writes by itself. They go through no filter of what a model
writes, and `agreement` keeps the surest of them, as it does of what was written.

Source: self-training on real inputs, such as Schick and Schütze 2021 (arXiv 2001.07676), where a prompted model labels
them.
"""

from __future__ import annotations

from metier.core.records import REAL, Candidate
from metier.engines.base import Engine
from metier.engines.prompts import PromptFormat
from metier.engines.shards import Shard
from metier.synthesis.brief import Brief
from metier.synthesis.forwards import answered


def real_inputs(brief: Brief, engine: Engine, prompts: PromptFormat, shard: Shard) -> list[Candidate]:
    """Return the job's real inputs as candidates, in free text each with the model's answer.

    Args:
        brief: The job.
        engine: Runs the model.
        prompts: Renders for that model.
        shard: Puts each part of the work on file, or brings it back from there.
    """
    candidates = [Candidate(f"{REAL}{i}", text) for i, text in enumerate(brief.unlabelled)]
    if brief.labels or not candidates:
        return candidates
    return answered(brief, engine, prompts, candidates, shard, "real")
