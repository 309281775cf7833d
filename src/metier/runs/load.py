"""Reads finished runs back from their folders: what was measured, and what was answered. Runs nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from metier.core import storage
from metier.core.codec import CodecError, decode
from metier.core.errors import MetierError, UserError
from metier.core.records import Example, Prediction, SystemAnswers
from metier.core.step import read_table
from metier.evaluation.compare_runs import RunAnswers
from metier.evaluation.measure import Measure
from metier.evaluation.over_tasks import TaskAnswers
from metier.report.facts import Judged, RunFacts
from metier.tasks.task import Task


@dataclasses.dataclass(frozen=True, slots=True)
class KnownAnswers:
    """The run's test rows, and what one of its Systems answered to them.

    Attributes:
        measure: How answers are judged.
        rows: The rows.
        answers: Its answers, in order.
    """

    measure: Measure
    rows: tuple[Example, ...]
    answers: tuple[str, ...]


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
    facts = load_facts(folder)
    judged = facts.judged
    if judged is None or judged.evaluation_folder is None or not judged.systems:
        raise UserError(f"{folder}: this run had no test set", hint="name one with test: and run it again")
    step = folder / Path(judged.evaluation_folder).name
    try:
        rows = [decode(Example, row) for row in read_table(step, "rows.jsonl")]
        predictions = [decode(Prediction, row) for row in read_table(step, "predictions.jsonl")]
    except OSError as error:
        raise UserError(f"{step}: cannot be read ({error.strerror})") from error
    except (CodecError, MetierError) as error:
        raise UserError(f"{step}: cannot be read ({error})") from error
    return RunAnswers(
        name=str(folder),
        model=facts.model.name,
        training_pairs=facts.data.pairs,
        task=TaskAnswers(facts.name, Measure(facts.metric, facts.labels), tuple(rows), _systems(judged, predictions)),
    )


def load_answers(folder: Path, system: str) -> KnownAnswers | None:
    """Return what a System answered in a task's run; None where the folder is no run's, or it had no test for it.

    Raises:
        UserError: Another version of Metier wrote the run.
    """
    if not (folder / "result.json").exists() or load_facts(folder).judged is None:
        return None
    found = load_run(folder)
    answers = next((s.texts for s in found.task.systems if s.system == system), None)
    return KnownAnswers(found.task.measure, found.task.rows, answers) if answers is not None else None


def task_of_run(folder: Path) -> Task:
    """Return the task of a run, with the settings it was run with.

    Args:
        folder: Of the run, or of one task of several; it has a ``task.json``.

    Raises:
        UserError: Another version of Metier wrote it.
    """
    path = folder / "task.json"
    try:
        return Task.model_validate(storage.read_json(path))
    except ValidationError as error:
        raise UserError(
            f"{path}: not a task as this version of Metier writes it ({error.error_count()} problems)"
        ) from error


def load_facts(folder: Path) -> RunFacts:
    """Return the facts of a finished run of one task.

    Raises:
        UserError: The folder is no finished run's, or another version of Metier wrote it.
    """
    path = folder / "result.json"
    if not path.exists():
        raise UserError(f"{folder}: there is no finished run in it (no result.json)", hint="metier run makes one")
    try:
        return decode(RunFacts, storage.read_json(path))
    except (ValueError, MetierError) as error:
        raise UserError(
            f"{path}: cannot be read ({error})", hint="the same metier run command writes it again"
        ) from error


def _systems(judged: Judged, predictions: Sequence[Prediction]) -> tuple[SystemAnswers, ...]:
    texts: dict[str, list[str]] = {}
    for row in predictions:
        texts.setdefault(row.system, []).append(row.prediction)
    return tuple(
        SystemAnswers(s.system, s.title, s.kind, tuple(texts[s.system])) for s in judged.systems if s.system in texts
    )
