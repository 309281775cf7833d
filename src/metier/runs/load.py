"""Reads a finished run's folder back, for comparison. Runs nothing."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from metier.core import storage
from metier.core.errors import UserError
from metier.evaluation.compare_runs import RunAnswers
from metier.systems.registry import SPECIALIST
from metier.report.facts import RunFacts


def load_runs(folders: Sequence[Path]) -> list[RunAnswers]:
    """Return what several runs answered, each named by its folder's last part where that tells them apart.

    Raises:
        UserError: One of the folders is no finished run's, or its test had no rows to compare.
    """
    runs = [load_run(folder) for folder in folders]
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        return runs
    return [dataclasses.replace(run, name=name) for run, name in zip(runs, names, strict=True)]


def load_run(folder: Path) -> RunAnswers:
    """Return what a run answered on its test rows.

    Raises:
        UserError: The folder is no finished run's, or its test had no rows to compare.
    """
    path = folder / "result.json"
    if not path.exists():
        raise UserError(f"{folder}: there is no finished run in it (no result.json)", hint="metier run makes one")
    try:
        facts = RunFacts.from_dict(storage.read_json(path))
    except (ValueError, TypeError, KeyError, json.JSONDecodeError) as error:
        raise UserError(
            f"{path}: not readable ({error})", hint="the same metier run command writes it again"
        ) from error
    if facts.evaluation_folder is None or not facts.systems:
        raise UserError(f"{folder}: this run had no test set", hint="name one with test: and run it again")
    stage = folder / Path(facts.evaluation_folder).name
    try:
        rows = storage.read_lines(stage / "rows.jsonl")
        predictions = storage.read_lines(stage / "predictions.jsonl")
    except OSError as error:
        raise UserError(f"{stage}: not readable ({error.strerror})") from error
    answers: dict[str, list[str]] = {}
    for row in predictions:
        answers.setdefault(row["system"], []).append(row["prediction"])
    others = {s.system: s.scores[facts.metric] for s in facts.systems if s.system in answers and s.gain}
    baseline = facts.baseline or max(others, key=lambda s: others[s], default=SPECIALIST)
    return RunAnswers(
        name=str(folder),
        task=facts.name,
        model=facts.model.name,
        metric=facts.metric,
        labels=facts.labels,
        baseline=baseline,
        training_pairs=facts.kept_pairs,
        inputs=tuple(row["input"] for row in rows),
        references=tuple(tuple(row["references"]) for row in rows),
        answers={system: tuple(texts) for system, texts in answers.items()},
    )
