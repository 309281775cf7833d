"""Metier: turn a small open language model into an expert at one job, and prove it.

``metier.load(path)`` returns what a run ended with, as a model that answers. ``metier.MetierClassifier`` is a run as a
scikit-learn classifier.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metier.estimator import MetierClassifier
    from metier.runs.model import Model

__version__ = "0.1.0"
__all__ = ["MetierClassifier", "__version__", "load"]


def load(path: str | Path, task: str | None = None) -> Model:
    """Return a run's product as a model.

    ``model("text")`` and ``model(["…", "…"])`` return answers, ``model.classify(…)`` labels with probabilities,
    ``model.stream("text")`` an answer piece by piece, and ``model.rewrite("a text")`` a text rewritten sentence by
    sentence.

    Args:
        path: The folder of a finished run, or of a product.
        task: Of a run of several tasks, which.

    Raises:
        UserError: There is no product, or it is not whole.
        MetierError: Its base model is not there or is another one, or an extra is not installed.
    """
    from metier.runs.model import load as load_model

    return load_model(path, task)


def __getattr__(name: str) -> object:
    """Import the classifier when it is first used: scikit-learn takes its time."""
    if name != "MetierClassifier":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from metier.estimator import MetierClassifier

    return MetierClassifier


def __dir__() -> list[str]:
    return sorted(__all__)
