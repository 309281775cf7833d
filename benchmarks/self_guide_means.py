"""The means of SELF-GUIDE's table: over tasks, with intervals over tasks and rows, and what synthesis recovers.

Tasks are in four groups, as the authors have them: those that settings were chosen on and those held out, each with
labels and without. Of each group, for every System and metric: its mean score; the tuned model's mean gain over
few-shot prompting and over the best row of the untuned model; and *label recovery*, the part of what as many real
labels give beyond the best untuned row that the model's own data gives: (specialist - best untuned) / (gold - best
untuned).
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metier.core.codec import encode
from metier.evaluation.measure import score_texts
from metier.evaluation.over_tasks import TaskAnswers
from metier.evaluation.scored import Scored
from metier.evaluation.statistics import mean_over_tasks
from metier.runs.load import load_run
from metier.systems.registry import SPECIALIST, SYSTEMS

GROUPS: Mapping[str, tuple[str, ...]] = {
    "tuning, labels": ("task190", "task199", "task200", "task738", "task937", "task1385", "task1386"),
    "tuning, free text": ("task036", "task039", "task121", "task1195"),
    "held out, labels": ("task329", "task346", "task1516", "task1529", "task1612", "task1615"),
    "held out, free text": ("task281", "task1345", "task1562", "task1622"),
}
_METRICS = {"labels": ("exact_match", "label_match"), "free text": ("rouge_l", "char_lcs_f1")}

Scores = Mapping[str, Mapping[str, Scored]]
"""By System and metric."""


def means(folder: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Return the means by model, group and recipe.

    Args:
        folder: Where the runs are.
        keys: The finished ones, as MODEL/RECIPE/TASK.
    """
    scored = {key: _scores(load_run(folder / key).task) for key in keys}
    recipes = dict.fromkeys(key.split("/")[1] for key in keys)
    found: dict[str, Any] = {}
    for model in dict.fromkeys(key.split("/")[0] for key in keys):
        for group, tasks in GROUPS.items():
            own = {recipe: _runs(scored, f"{model}/{recipe}", tasks) for recipe in recipes}
            for metric in _METRICS[group.split(", ")[1]]:
                told = {
                    recipe: _mean(runs, own.get("gold", {}), metric)
                    for recipe, runs in own.items()
                    if runs and recipe != "gold"
                }
                found.setdefault(model, {}).setdefault(group, {})[metric] = told
    return found


def _runs(scored: Mapping[str, Scores], under: str, tasks: Sequence[str]) -> dict[str, Scores]:
    return {task: scored[f"{under}/{task}"] for task in tasks if f"{under}/{task}" in scored}


def _mean(runs: Mapping[str, Scores], gold: Mapping[str, Scores], metric: str) -> dict[str, Any]:
    """Return what one recipe comes to on a group's tasks by one metric."""
    every = [key for key in SYSTEMS if all(key in run for run in runs.values())]
    systems = {key: [run[key][metric] for run in runs.values()] for key in every}
    scores = {key: round(statistics.mean(one.corpus for one in some), 2) for key, some in systems.items()}
    ours = systems[SPECIALIST]
    untuned = [key for key in systems if SYSTEMS[key].kind == "prompted"]
    best = max(untuned, key=lambda key: scores[key])
    told: dict[str, Any] = {
        "tasks": sorted(runs),
        "scores": scores,
        "over_few_shot": encode(mean_over_tasks(list(zip(ours, systems["few_shot"], strict=True)))),
        "best_untuned": best,
        "over_best_untuned": encode(mean_over_tasks(list(zip(ours, systems[best], strict=True)))),
    }
    if both := [task for task in runs if task in gold]:
        real = [gold[task][SPECIALIST][metric] for task in both]
        own, base = ([runs[task][key][metric] for task in both] for key in (SPECIALIST, best))
        had = statistics.mean(one.corpus for one in real)
        told["gold"] = {
            "tasks": sorted(both),
            "score": round(had, 2),
            "over_specialist": encode(mean_over_tasks(list(zip(real, own, strict=True)))),
            "label_recovery": _recovery(*(statistics.mean(one.corpus for one in some) for some in (own, base, real))),
        }
    return told


def _recovery(specialist: float, untuned: float, gold: float) -> float | None:
    """Return label recovery; None where real labels gave nothing that could be recovered."""
    return round((specialist - untuned) / (gold - untuned), 3) if gold > untuned else None


def _scores(task: TaskAnswers) -> dict[str, dict[str, Scored]]:
    return {system.system: dict(score_texts(task.measure, task.rows, system.texts)) for system in task.systems}
