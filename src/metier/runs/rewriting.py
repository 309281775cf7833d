"""Rewrites a text with the specialist of a finished run: finds it, opens it, and puts the text together again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pydantic import ValidationError

from metier.core import storage
from metier.core.errors import UserError
from metier.core.progress import Reporter
from metier.models.locate import resolve_model
from metier.rewriting.pieces import pieces
from metier.rewriting.rewrite import Rewritten, rewrite
from metier.runs.mark import read_mark
from metier.steps.slot import Slot, running
from metier.tasks.task import Task

_RUNS = Path("runs")


@dataclasses.dataclass(frozen=True, slots=True)
class Specialist:
    """A tuned model that can be asked to do one task.

    Attributes:
        task: What it does, and how it is run.
        tuned: The folder of the adapter, or of the whole model.
        recommended: Whether its run showed it to be better than its base.
    """

    task: Task
    tuned: Path
    recommended: bool


def find_specialist(name: str, run: Path | None) -> Specialist:
    """Return the specialist for a task from a run's folder, or from the newest run in ``runs/`` that has one.

    Raises:
        UserError: There is none.
    """
    folders = [run] if run else sorted(_RUNS.glob("*/"), key=lambda folder: folder.stat().st_mtime, reverse=True)
    known: set[str] = set()
    for folder in folders:
        marks = sorted(folder.glob("training*/*/metier.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in marks:
            tasks = read_mark(path).tasks
            known |= set(tasks)
            if name in tasks and path.parent.parent.suffix != ".partial":
                inside = folder / "tasks" / name / "task.json"
                task = _task(inside if inside.exists() else folder / "task.json")
                if task.labels:
                    raise UserError(f"{name} answers with labels ({', '.join(task.labels)}): it rewrites nothing")
                return Specialist(task, path.parent, tasks[name].recommended == "specialist")
    where = str(run) if run else f"{_RUNS}/"
    raise UserError(
        f"{where}: there is no model for the task {name!r}",
        hint=f"there are: {', '.join(sorted(known))}" if known else "metier run writing data=FILE makes one",
    )


def rewrite_text(
    specialist: Specialist, text: str, by: str, reporter: Reporter, slot: Slot
) -> tuple[str, list[Rewritten]]:
    """Return a text rewritten, and what became of each of its sentences.

    Args:
        specialist: Who rewrites.
        text: Plain text or Markdown.
        by: ``sentence`` or ``paragraph``.
        reporter: Where progress goes.
        slot: Opens the model, and holds it between several texts.
    """
    parts = pieces(text, by=by)
    prose = [part.text for part in parts if part.prose]
    if not prose:
        return text, []
    engine = slot.open(specialist.tuned)
    with reporter.track(specialist.task.name, len(set(prose)), f"{by}s") as update:
        made = rewrite(prose, specialist.task.instruction, engine, slot.prompts, update)
    turn = iter(made)
    return "".join(next(turn).after if part.prose else part.text for part in parts), made


def open_slot(specialist: Specialist) -> Slot:
    """Return what opens and holds the specialist's model."""
    task = specialist.task
    return Slot(running(task), resolve_model(task.model, trust_remote_code=task.engine.trust_remote_code))


def _task(path: Path) -> Task:
    try:
        return Task.model_validate(storage.read_json(path))
    except ValidationError as error:
        raise UserError(
            f"{path}: not a task as this version of Metier writes it ({error.error_count()} problems)"
        ) from error
