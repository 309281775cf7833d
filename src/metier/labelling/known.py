"""What a finished run knows already: the rows that it was tested on, and those that it was trained on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from metier.core import storage
from metier.runs.load import KnownAnswers, load_answers, task_of_run
from metier.systems.product_record import Product
from metier.tasks.settings import EvaluationSettings


@dataclasses.dataclass(frozen=True, slots=True)
class KnownRun:
    """A task's run, as far as it matters to who is asked about new rows.

    Attributes:
        folder: The task's folder in the run; the product's own where that lies alone.
        seed: The run's.
        encoder: The name of its sentence encoder.
        tested: The test rows and the product's answers; None where there are none here.
        trained_on: Inputs that were trained on.
    """

    folder: Path
    seed: int
    encoder: str
    tested: KnownAnswers | None
    trained_on: tuple[str, ...]

    @property
    def inputs(self) -> list[str]:
        """Every input whose answer the run knows."""
        tested = [row.input for row in self.tested.rows] if self.tested is not None else []
        return [*tested, *self.trained_on]


def known_run(product_folder: Path, product: Product) -> KnownRun:
    """Return what is known of the run that a product is in.

    Args:
        product_folder: The product's folder.
        product: What is said of it.

    Raises:
        UserError: Another version of Metier wrote the run.
    """
    owner = product_folder.parent
    if not (owner / "task.json").exists():
        return KnownRun(product_folder, 0, EvaluationSettings().encoder, None, ())
    task = task_of_run(owner)
    root = owner.parent.parent if owner.parent.name == "tasks" else owner
    rows = [row for path in sorted(root.glob("mixture-*/rows.jsonl")) for row in storage.read_lines(path)]
    return KnownRun(
        owner,
        task.seed,
        task.evaluation.encoder,
        load_answers(owner, product.system),
        tuple(row["input"] for row in rows if row["task"] == product.task),
    )
