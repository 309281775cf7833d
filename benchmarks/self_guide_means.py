"""The means of SELF-GUIDE's table: over tasks, with intervals over tasks and rows, and what synthesis recovers.

Tasks are in four groups, as the authors have them: those that settings were chosen on and those held out, each with
labels and without. Of each group, for every System and metric: its mean score; the tuned model's mean gain over
few-shot prompting and over the best row of the untuned model; and *label recovery*, the part of what as many real
labels give beyond the best untuned row that the model's own data gives: (specialist - best untuned) / (gold - best
untuned). A recipe that is neither of these two is a variant, and its tuned model is compared with that of ``backward``.

    python benchmarks/self_guide_means.py [RESULTS]     # the means again, from the result files alone
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metier.core import storage
from metier.core.codec import encode
from metier.evaluation.measure import score_texts
from metier.evaluation.over_tasks import TaskAnswers
from metier.evaluation.scored import Scored, mean_of
from metier.evaluation.statistics import mean_over_tasks
from metier.systems.registry import SPECIALIST, SYSTEMS
from row_scores import read, written

GROUPS: Mapping[str, tuple[str, ...]] = {
    "tuning, labels": ("task190", "task199", "task200", "task738", "task937", "task1385", "task1386"),
    "tuning, free text": ("task036", "task039", "task121", "task1195"),
    "held out, labels": ("task329", "task346", "task1516", "task1529", "task1612", "task1615"),
    "held out, free text": ("task281", "task1345", "task1562", "task1622"),
}
_METRICS = {"labels": ("exact_match", "label_match"), "free text": ("rouge_l", "char_lcs_f1")}

Scores = Mapping[str, Mapping[str, Scored]]
"""By System and metric."""


def write_means(results: Path) -> None:
    """Write RESULTS/means.json from the result files beside it."""
    storage.write_json(results / "means.json", means(results))


def means(results: Path) -> dict[str, Any]:
    """Return the means by model, group, metric and recipe of the runs that came to an end.

    Args:
        results: A folder of MODEL/RECIPE/TASK.json.
    """
    told = {str(path.relative_to(results).with_suffix("")): storage.read_json(path) for path in results.glob("*/*/*")}
    scored = {key: _scores(one["row_scores"]) for key, one in sorted(told.items()) if "error" not in one}
    recipes = dict.fromkeys(key.split("/")[1] for key in scored)
    found: dict[str, Any] = {}
    for model in dict.fromkeys(key.split("/")[0] for key in scored):
        for group, tasks in GROUPS.items():
            own = {recipe: _runs(scored, f"{model}/{recipe}", tasks) for recipe in recipes}
            for metric in _METRICS[group.split(", ")[1]]:
                done = {recipe: _mean(runs, own, metric) for recipe, runs in own.items() if runs and recipe != "gold"}
                found.setdefault(model, {}).setdefault(group, {})[metric] = done
    return found


def row_scores(task: TaskAnswers) -> dict[str, dict[str, str]]:
    """Return each row's score by System and metric, as numbers with spaces between: what means can be made of."""
    metrics = _METRICS["labels" if task.measure.labels else "free text"]
    found: dict[str, dict[str, str]] = {}
    for system in task.systems:
        scored = score_texts(task.measure, task.rows, system.texts)
        found[system.system] = {metric: written(scored[metric].rows) for metric in metrics}
    return found


def _runs(scored: Mapping[str, Scores], under: str, tasks: Sequence[str]) -> dict[str, Scores]:
    return {task: scored[f"{under}/{task}"] for task in tasks if f"{under}/{task}" in scored}


def _mean(runs: Mapping[str, Scores], of_recipe: Mapping[str, Mapping[str, Scores]], metric: str) -> dict[str, Any]:
    """Return what one recipe comes to on a group's tasks by one metric, beside the others."""
    gold, backward = (of_recipe.get(recipe, {}) for recipe in ("gold", "backward"))
    runs = {task: {**_untuned(backward.get(task, {})), **run} for task, run in runs.items()}
    every = [key for key in SYSTEMS if all(key in run for run in runs.values())]
    systems = {key: [run[key][metric] for run in runs.values()] for key in every}
    scores = {key: round(_corpus(some), 2) for key, some in systems.items()}
    best = max((key for key in systems if SYSTEMS[key].kind == "prompted"), key=lambda key: scores[key])

    def gain(after: Sequence[Scored], before: Sequence[Scored]) -> object:
        return encode(mean_over_tasks(list(zip(after, before, strict=True))))

    def both(others: Mapping[str, Scores]) -> tuple[list[str], list[Scored], list[Scored]]:
        tasks = [task for task in runs if task in others]
        ours, theirs = ([some[task][SPECIALIST][metric] for task in tasks] for some in (runs, others))
        return tasks, ours, theirs

    ours = systems[SPECIALIST]
    told: dict[str, Any] = {
        "tasks": sorted(runs),
        "scores": scores,
        "over_few_shot": gain(ours, systems["few_shot"]),
        "best_untuned": best,
        "over_best_untuned": gain(ours, systems[best]),
    }
    tasks, own, real = both(gold)
    if tasks:
        base = [runs[task][best][metric] for task in tasks]
        recovery = _recovery(_corpus(own), _corpus(base), _corpus(real))
        told["gold"] = {"tasks": sorted(tasks), "score": round(_corpus(real), 2), "over_specialist": gain(real, own)}
        told["gold"] |= {"over_best_untuned": gain(real, base), "label_recovery": recovery}
    tasks, own, default = both(backward)
    if tasks and own[0] is not default[0]:
        told["over_backward"] = {"tasks": sorted(tasks), "gain": gain(own, default)}
    return told


def _untuned(run: Scores) -> Scores:
    """Return what does not depend on what a model was tuned on: a variant need not ask for it again."""
    return {key: scored for key, scored in run.items() if SYSTEMS[key].kind == "prompted"}


def _corpus(some: Sequence[Scored]) -> float:
    return statistics.mean(one.corpus for one in some)


def _recovery(specialist: float, untuned: float, gold: float) -> float | None:
    """Return label recovery; None where real labels gave nothing that could be recovered."""
    return round((specialist - untuned) / (gold - untuned), 3) if gold > untuned else None


def _scores(rows: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, Scored]]:
    return {
        system: {metric: mean_of(read(text)) for metric, text in by_metric.items()}
        for system, by_metric in rows.items()
    }


if __name__ == "__main__":
    write_means(Path(sys.argv[1] if len(sys.argv) > 1 else "benchmarks/results/self_guide_tasks"))
