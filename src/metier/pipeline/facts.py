"""Gathers what a finished run has on file into the facts that the report, the card and the table are made of."""

from __future__ import annotations

import os
import platform
import random
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

import metier
from metier import storage
from metier.engines.base import Prompt
from metier.evaluation.compare import SPECIALIST, TITLES, metrics_of
from metier.pipeline.stages import Context
from metier.records import Candidate, Example, Interval, LossPoint, SystemScore
from metier.report.facts import (
    BeforeAfter,
    FunnelStep,
    MachineFacts,
    ModelFacts,
    PromptTemplate,
    RenderedExample,
    RunFacts,
    StageCost,
)
from metier.runs import Stage

_ORDER = (
    "cut_off",
    "empty",
    "length",
    "noise",
    "copied",
    "duplicate",
    "no_answer",
    "disagreement",
    "no_label",
    "balance",
)
_SHOWN = 20
_PACKAGES = ("torch", "transformers", "trl", "peft")


def gather(
    c: Context,
    *,
    synthesis: Stage | None,
    training: Stage,
    baselines: Stage | None,
    evaluation: Stage | None,
    test_rows: int,
    template: Prompt,
    pairs: Sequence[Example],
    answer_tokens: int,
    warnings: Sequence[str],
) -> RunFacts:
    """Return the facts of a run whose stages are done.

    Args:
        c: The run's context.
        synthesis: None where nothing was synthesised.
        training: The training stage.
        baselines: None without a test set.
        evaluation: None without a test set.
        test_rows: Rows the systems were compared on.
        template: The specialist's prompt around an empty input.
        pairs: What was trained on, demonstrations not counted.
        answer_tokens: Longest answer in tokens.
        warnings: What the run warned of.
    """
    task = c.task
    candidates = _candidates(synthesis)
    rendered = storage.read_json(training.path / "rendered.json")
    compared = _comparison(baselines, evaluation)
    stages = (
        ("synthesis", synthesis),
        ("training", training),
        ("baselines", baselines),
        ("evaluation", evaluation),
    )
    return RunFacts(
        name=task.name,
        run_folder=str(c.run.folder),
        instruction=task.instruction,
        labels=task.labels,
        metrics=metrics_of(task),
        model=ModelFacts(c.files.name, c.files.source, c.files.licence),
        recipe=task.recipe,
        tuning=task.training.method,
        seed=task.seed,
        metier_version=metier.__version__,
        machine=machine(),
        test_source=Path(task.test).name if task.test and evaluation else None,
        test_rows=test_rows,
        funnel=_funnel(candidates),
        kept_pairs=len(pairs),
        label_counts=dict(sorted(Counter(p.output for p in pairs).items())) if task.labels else {},
        loss=tuple(LossPoint(**point) for point in storage.read_json(training.path / "loss.json")),
        chosen_epoch=training.outcome["epoch"],
        synthetic=_sample(candidates, task.seed),
        stages=tuple(
            StageCost(
                name,
                stage.cost.get("seconds", 0.0),
                stage.cost.get("tokens"),
                stage.cost.get("peak_memory_bytes"),
            )
            for name, stage in stages
            if stage is not None
        ),
        rendered_example=RenderedExample(rendered["prompt"], rendered["answer"]),
        prompt=PromptTemplate(
            template.text[: template.shared],
            template.text[template.shared :],
            c.bench.prompts.stop,
            answer_tokens,
        ),
        settings=task.model_dump(mode="json"),
        warnings=tuple(warnings),
        **compared,
    )


def machine() -> MachineFacts:
    """Return what this machine is."""
    accelerator = None
    import torch

    if torch.cuda.is_available():
        accelerator = torch.cuda.get_device_name()
    return MachineFacts(
        cpu=_cpu_name(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        accelerator=accelerator,
        versions={"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
    )


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _candidates(synthesis: Stage | None) -> list[Candidate]:
    if synthesis is None:
        return []
    return [Candidate(**{**row, "answers": tuple(row["answers"])}) for row in synthesis.read_records("candidates")]


def _funnel(candidates: Sequence[Candidate]) -> tuple[FunnelStep, ...]:
    if not candidates:
        return ()
    dropped = Counter(c.dropped_by for c in candidates if c.dropped_by)
    steps = [FunnelStep("written", len(candidates))]
    left = len(candidates)
    for name in [*_ORDER, *(n for n in dropped if n not in _ORDER)]:
        if dropped[name]:
            left -= dropped[name]
            steps.append(FunnelStep(name, left, {name: dropped[name]}))
    return tuple(steps)


def _sample(candidates: Sequence[Candidate], seed: int) -> tuple[Candidate, ...]:
    rng = random.Random(storage.seed_of(seed, "sample"))
    kept = [c for c in candidates if c.kept]
    dropped = [c for c in candidates if not c.kept]
    half = _SHOWN // 2
    return (*rng.sample(kept, min(half, len(kept))), *rng.sample(dropped, min(half, len(dropped))))


def _comparison(baselines: Stage | None, evaluation: Stage | None) -> dict[str, Any]:
    if baselines is None or evaluation is None:
        return {}
    facts = storage.read_json(evaluation.path / "comparison.json")
    seconds = {**baselines.cost.get("parts", {}), **evaluation.cost.get("parts", {})}
    systems = tuple(
        SystemScore(
            system=s["system"],
            title=TITLES[s["system"]],
            scores=s["scores"],
            gain=Interval(**s["gain"]) if s["gain"] else None,
            seconds=seconds.get(s["system"].removesuffix("_calibrated")),
        )
        for s in facts["systems"]
    )
    rows = evaluation.read_records("predictions")
    before = [r for r in rows if r["system"] == facts["baseline"]]
    after = [r for r in rows if r["system"] == SPECIALIST]
    places = list(range(len(after)))
    random.Random(0).shuffle(places)
    return {
        "systems": systems,
        "baseline": facts["baseline"] if facts["gain"] else None,
        "gain": Interval(**facts["gain"]) if facts["gain"] else None,
        "verdict": facts["verdict"],
        "detectable": facts["detectable"],
        "predictions": tuple(
            BeforeAfter(
                after[i]["input"],
                after[i]["reference"],
                before[i]["prediction"],
                after[i]["prediction"],
                before[i]["score"],
                after[i]["score"],
            )
            for i in sorted(places[:_SHOWN])
        ),
        "predictions_note": f"{min(_SHOWN, len(after))} of {len(after)} test rows, drawn at random",
    }
