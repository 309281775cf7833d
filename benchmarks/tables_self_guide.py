"""Tables of SELF-GUIDE's tasks: every System on every task, and the means over groups of tasks.

They come from the files of ``benchmarks/results/self_guide_tasks``: one a run, and ``means.json``.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from tables_format import ROOT, Record, gain, number, read, table
from tables_runs import COLUMNS, SPECIALIST

RESULTS = ROOT / "benchmarks" / "results" / "self_guide_tasks"
_SYSTEMS = {"zero_shot": "zero-shot", **{key: COLUMNS[key] for key in COLUMNS if key not in ("majority", SPECIALIST)}}
_METRICS = {
    "exact_match": "exact match",
    "label_match": "label_match",
    "rouge_l": "ROUGE-L",
    "char_lcs_f1": "char_lcs_f1",
}
_PROMPTED = ("zero_shot", "few_shot", "few_shot_best", "sampled_majority", "self_icl")
_UNTUNED = (*_PROMPTED, "label_scoring", "label_scoring_calibrated")


def tasks(model: str, results: Path = RESULTS) -> str:
    """Return a line for each of a model's tasks: every System's score, the tuned model's gain, and real labels' score.

    Args:
        model: Its name.
        results: Where the result files are.
    """
    rows: list[tuple[str, ...]] = []
    for path in sorted((results / model / "backward").glob("*.json"), key=lambda path: int(path.stem[4:])):
        run, gold = _read(path), _read(results / model / "gold" / path.name)
        blank = len(_SYSTEMS) + 5
        if "error" in run:
            rows.append((path.stem, run["error"].split("; ")[0], *[""] * blank))
            continue
        constant = "majority" if _score(run, "majority") is not None else "copied_input"
        untuned = max((key for key in _UNTUNED if _score(run, key) is not None), key=lambda key: _score(run, key) or 0)
        scores = [number(_score(run, key)) for key in (constant, *_SYSTEMS, SPECIALIST)]
        rows.append(
            (
                path.stem,
                str(run["counts"]["pairs_by_origin"].get("synthetic", 0)),
                *scores,
                number(_score(gold, SPECIALIST)) if gold else "",
                gain(run["systems"][untuned]["specialist_gain"]),
                f"{sum(run['seconds'].values()):.0f}",
            )
        )
    titles = ("constant or copied", *_SYSTEMS.values(), SPECIALIST, "on real labels")
    return table(("task", "pairs", *titles, "specialist over the best untuned row", "seconds"), rows)


def means(results: Path = RESULTS) -> str:
    """Return what each model comes to in the mean over each group of tasks, and its label recovery."""
    rows = []
    for model, groups in _read(results / "means.json").items():
        for group, metrics in groups.items():
            for metric, recipes in metrics.items():
                if (run := recipes.get("backward")) is None:
                    continue
                gold = run.get("gold", {})
                scores = [run["scores"].get(key) for key in ("few_shot", run["best_untuned"], "tuned_on_examples")]
                every = (*scores, run["scores"][SPECIALIST], gold.get("score"))
                gains = (gain(run["over_few_shot"]), gain(run["over_best_untuned"]))
                recovered = gold.get("label_recovery")
                told = "" if recovered is None else f"{100 * recovered:.0f}%"
                count = str(len(run["tasks"]))
                rows.append((model, group, _METRICS[metric], count, *map(number, every), *gains, told))
    scored = ("few-shot", "best untuned", "tuned on examples", SPECIALIST, "on real labels")
    over = ("specialist over few-shot", "over the best untuned", "label recovery")
    return table(("model", "group", "metric", "tasks", *scored, *over), rows, text_columns=3)


def variants(results: Path = RESULTS) -> str:
    """Return what the tuned model scores by each variant of the recipe, task by task, after what it scores without."""
    rows = []
    for model, groups in _read(results / "means.json").items():
        for group, metrics in groups.items():
            for metric, recipes in metrics.items():
                for name, run in recipes.items():
                    if name == "backward":
                        continue
                    told = ", ".join(
                        f"{task.removeprefix('task')}: {_mean_score(results / model / 'backward', task, metric)} → "
                        f"{_mean_score(results / model / name, task, metric)}"
                        for task in run["tasks"]
                    )
                    rows.append((model, name, group, _METRICS[metric], told, gain(run["over_backward"]["gain"])))
    return table(("model", "variant", "group", "metric", "without it → with it", "difference"), rows, text_columns=5)


def readings() -> str:
    """Return how well each model tells labels forwards, backwards and both ways: of all inputs, and of those kept."""
    ways = ("forwards", "backwards", "added up", "one spread", "by correlation")
    rows = []
    for model, tasks in read("readings")["models"].items():
        every = {**tasks, "mean": _mean_of(list(tasks.values()), ways)}
        for name, one in every.items():
            cells = (f"{number(one[way]['all'], 0)}, {number(one[way]['kept'], 0)}" for way in ways)
            correlation = number(one["correlation"], 2) if "correlation" in one else ""
            chance = number(100 / one["labels"], 0) if "labels" in one else ""
            rows.append((model, name, chance, correlation, *cells))
    return table(("model", "task", "chance", "correlation", *ways), rows, text_columns=2)


def _mean_of(some: Sequence[Record], ways: Sequence[str]) -> Record:
    return {way: {part: statistics.mean(one[way][part] for one in some) for part in ("all", "kept")} for way in ways}


def _mean_score(folder: Path, task: str, metric: str) -> str:
    """Return the tuned model's score of a metric that is a mean over rows."""
    rows = _read(folder / f"{task}.json")["row_scores"][SPECIALIST][metric].split()
    return number(statistics.mean(map(float, rows)))


def _read(path: Path) -> Record:
    """Return what a result file holds; nothing where there is none yet."""
    found: Record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def _score(run: Record, system: str) -> float | None:
    score: float | None = run["systems"].get(system, {}).get("scores", {}).get(run["metric"])
    return score
