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
from metier.core import storage
from metier.engines.prompts import Prompt
from metier.evaluation import diagnostics, need
from metier.evaluation.compare import metrics_of
from metier.systems.registry import SPECIALIST, SPECIALIST_SCORING, SPECIALIST_SCORING_CALIBRATED
from metier.steps.context import Context, tuned_folder
from metier.core.records import Candidate, Example, Interval, LossPoint, SystemScore
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
from metier.core.run_folder import Stage
from metier.tasks.task import Task

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
    selection: Stage | None,
    training: Stage,
    on_examples: Stage | None,
    baselines: Stage | None,
    evaluation: Stage | None,
    synthetic: Stage | None,
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
        selection: None where everything was taken.
        training: The training stage.
        on_examples: The model tuned on the examples alone, if there is one.
        baselines: None without a test set.
        evaluation: None without a test set.
        synthetic: The check on synthetic pairs held out; None without any.
        test_rows: Rows the systems were compared on.
        template: The specialist's prompt around an empty input.
        pairs: What was trained on, demonstrations not counted.
        answer_tokens: Longest answer in tokens.
        warnings: What the run warned of.
    """
    task = c.task
    candidates = _candidates(synthesis)
    rendered = storage.read_json(training.path / "rendered.json")
    compared = _comparison(c, baselines, evaluation)
    if baselines and evaluation:
        compared |= _need(c, synthesis, training, on_examples, baselines, evaluation, compared["systems"])
    if synthetic:
        compared["synthetic_scores"] = storage.read_json(synthetic.path / "synthetic.json")
        compared["synthetic_rows"] = synthetic.outcome["rows"]
    stages = (
        ("synthesis", synthesis),
        ("selection", selection),
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
        test_source=_test_source(task) if evaluation else None,
        test_rows=test_rows,
        funnel=(*_funnel(candidates), *_selection_steps(selection)),
        kept_pairs=len(pairs),
        label_counts=dict(sorted(Counter(p.output for p in pairs if p.output in (task.labels or ())).items())),
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


def _test_source(task: Task) -> str:
    return Path(task.test).name if task.test else "rows held out from training"


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


def _selection_steps(selection: Stage | None) -> tuple[FunnelStep, ...]:
    """Return what was chosen from, the part of it that counts as the task's, and what was chosen."""
    if selection is None:
        return ()
    found = selection.outcome
    steps = [FunnelStep("rows to choose from", found["pool_rows"])]
    if found["region_rows"] is not None:
        steps.append(FunnelStep("the task's part", found["region_rows"]))
    return (*steps, FunnelStep("chosen", found["rows"]))


def _sample(candidates: Sequence[Candidate], seed: int) -> tuple[Candidate, ...]:
    rng = random.Random(storage.seed_of(seed, "sample"))
    kept = [c for c in candidates if c.kept]
    dropped = [c for c in candidates if not c.kept]
    half = _SHOWN // 2
    return (*rng.sample(kept, min(half, len(kept))), *rng.sample(dropped, min(half, len(dropped))))


def _comparison(c: Context, baselines: Stage | None, evaluation: Stage | None) -> dict[str, Any]:
    if baselines is None or evaluation is None:
        return {}
    facts = storage.read_json(evaluation.path / "comparison.json")
    seconds = _seconds(baselines, evaluation)
    systems = tuple(
        SystemScore(**{**s, "gain": _interval(s["gain"]), "seconds": seconds.get(s["system"])})
        for s in facts["systems"]
    )
    rows = evaluation.read_records("predictions")
    before = [r for r in rows if r["system"] == facts["baseline"]]
    after = [r for r in rows if r["system"] == SPECIALIST]
    pairs = [
        BeforeAfter(a["input"], a["reference"], b["prediction"], a["prediction"], b["score"], a["score"])
        for a, b in zip(after, before, strict=True)
    ]
    places = list(range(len(pairs)))
    random.Random(0).shuffle(places)
    lost = sorted((p for p in pairs if p.score_after < 100), key=lambda p: p.score_after - p.score_before)
    split = facts["split"] or {}
    return {
        "systems": systems,
        "baseline": facts["baseline"] if facts["gain"] else None,
        "gain": _interval(facts["gain"]),
        "verdict": facts["verdict"],
        "detectable": facts["detectable"],
        "rows_needed": facts["rows_needed"],
        "ability": _interval(split.get("ability")),
        "format": _interval(split.get("format")),
        "seed_scores": {str(s["seed"]): s["score"] for s in facts["seeds"]},
        "seed_spread": facts["seed_spread"],
        "leaked_rows": len({leak["row"] for leak in evaluation.read_records("leakage")}),
        "clean_gain": _interval(facts["clean_gain"]),
        "predictions": tuple(pairs[i] for i in sorted(places[:_SHOWN])),
        "predictions_note": f"{min(_SHOWN, len(pairs))} of {len(pairs)} test rows, drawn at random",
        "worst": tuple(lost[:_SHOWN]),
        "evaluation_folder": evaluation.path.name,
        **_diagnostics(c, evaluation, after),
    }


def _diagnostics(c: Context, evaluation: Stage, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    labels = c.task.labels
    if not labels:
        return {}
    references, predictions = [r["reference"] for r in rows], [r["prediction"] for r in rows]
    sure = storage.read_json(evaluation.path / "confidence.json")
    bins, error = diagnostics.reliability(
        [s["share"] for s in sure],
        [s["label"] == reference for s, reference in zip(sure, references, strict=True)],
    )
    return {
        "confusion": diagnostics.confusion(labels, references, predictions),
        "label_facts": diagnostics.label_facts(labels, references, predictions),
        "reliability": bins,
        "ece": error,
    }


def _need(
    c: Context,
    synthesis: Stage | None,
    training: Stage,
    on_examples: Stage | None,
    baselines: Stage,
    evaluation: Stage,
    systems: Sequence[SystemScore],
) -> dict[str, Any]:
    writing = float(synthesis.cost.get("seconds", 0.0)) if synthesis else 0.0
    parts = baselines.cost.get("parts", {})
    tuning = {SPECIALIST: writing + float(training.cost.get("seconds", 0.0))}
    sizes = {}
    model = sum(f.stat().st_size for f in c.files.path.glob("*.safetensors"))
    tuned = tuned_folder(training)
    own = sum(f.stat().st_size for f in tuned.glob("*.safetensors"))
    for s in systems:
        if s.kind == "classic":
            learnt = float(parts.get(f"learning {s.system}", 0.0))
            tuning[s.system] = learnt + (writing if s.system.endswith("_synthetic") else 0.0)
            sizes[s.system] = int(baselines.cost.get("memory", {}).get(s.system, 0))
        elif s.kind == "specialist":
            tuning[s.system] = tuning[SPECIALIST]
            sizes[s.system] = own if c.task.training.method == "full" else model + own
        elif s.kind != "constant":
            sizes[s.system] = model
        if s.system == "self_icl":
            tuning[s.system] = writing
    if on_examples is not None:
        tuning["tuned_on_examples"] = float(on_examples.cost.get("seconds", 0.0))
    measured = need.Measured(
        seconds=_seconds(baselines, evaluation),
        latencies={**baselines.cost.get("latencies", {}), **evaluation.cost.get("latencies", {})},
        tuning=tuning,
        sizes=sizes,
        rows=evaluation.outcome["rows"],
        prompt_tokens=baselines.outcome["prompt_tokens"],
        answer_tokens=baselines.outcome["answer_tokens"],
    )
    table = need.need_rows(systems, metrics_of(c.task)[0], measured, c.task.prices)
    return {"need": tuple(table), "need_words": tuple(need.need_in_words(table, measured, c.task.prices))}


def _seconds(baselines: Stage, evaluation: Stage) -> dict[str, float]:
    """Return the seconds of answering all rows, by system."""
    parts = {**baselines.cost.get("parts", {}), **evaluation.cost.get("parts", {})}
    for name, same in (
        ("label_scoring", "label_scoring_calibrated"),
        (SPECIALIST_SCORING, SPECIALIST_SCORING_CALIBRATED),
    ):
        if name in parts:
            parts[same] = parts[name]
    return parts


def _interval(data: dict[str, float] | None) -> Interval | None:
    return Interval(**data) if data else None
