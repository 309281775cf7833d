"""Metier: turn a small open language model into an expert at one job, and prove it.

``metier.load(path)`` returns what a run ended with, as a model that answers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metier.runs.model import Model

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(path: str | Path, task: str | None = None) -> Model:
    """Return a run's product as a model: ``model("text")``, ``model(["…", "…"])``, ``model.classify(…)``.

    Args:
        path: The folder of a finished run, or of a product.
        task: Of a run of several tasks, which.

    Raises:
        UserError: There is no product, or it is not whole.
        MetierError: Its base model is not there or is another one, or an extra is not installed.
    """
    from metier.runs.model import load as load_model

    return load_model(path, task)
