"""Logistic regression on vectors of texts, with scikit-learn's defaults: the head of the classic Systems.

What is learnt is kept as plain numbers (safetensors) and the labels (JSON); answers are computed from them alone, so a
head that was saved answers as the one that was learnt.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from metier.core import storage
from metier.core.codec import decode, encode
from metier.core.errors import MetierError
from metier.core.records import Answers, Example
from metier.systems.base import Material

Source = Literal["examples", "labelled", "synthetic", "all"]
Floats = npt.NDArray[np.float64]
_NUMBERS, _LABELS = "head.safetensors", "head.json"


def pairs_of(material: Material, source: Source) -> Sequence[Example]:
    """Return the pairs to learn from; ``all`` are the examples, the labelled rows and the synthetic pairs together.

    Raises:
        MetierError: They hold fewer than two labels.
    """
    if source == "all":
        pairs: Sequence[Example] = (*material.examples, *material.labelled, *material.synthetic)
    else:
        pairs = getattr(material, source)
    if len({pair.output for pair in pairs}) < 2:
        raise MetierError("fewer than two labels to learn from")
    return pairs


@dataclasses.dataclass(frozen=True, slots=True)
class Classes:
    """The labels a head was learnt from, in the order of its rows, and all of the task's."""

    learnt: tuple[str, ...]
    labels: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Head:
    """A linear classifier: one row of weights a label that was learnt.

    Attributes:
        weights: ``[labels learnt, width]``; of two labels, one row, for the second.
        bias: ``[labels learnt]``, or of two labels, ``[1]``.
        classes: The labels.
    """

    weights: Floats
    bias: Floats
    classes: Classes

    @property
    def nbytes(self) -> int:
        """Bytes of the numbers."""
        return int(self.weights.nbytes + self.bias.nbytes)

    def answers(self, vectors: Any) -> Answers:
        """Return the likeliest label of each vector, with how likely each is.

        Args:
            vectors: ``[texts, width]``, dense or sparse.
        """
        scores: Floats = np.asarray(vectors @ self.weights.T) + self.bias
        if scores.shape[1] == 1:  # of two labels: the log-odds of the second
            scores = np.hstack([np.zeros_like(scores), scores])
        scores = scores - scores.max(axis=1, keepdims=True)
        shares = np.exp(scores)
        shares /= shares.sum(axis=1, keepdims=True)
        learnt = self.classes.learnt
        places = [learnt.index(label) if label in learnt else None for label in self.classes.labels]
        return Answers(
            tuple([learnt[place] for place in shares.argmax(axis=1).tolist()]),
            # Python's own rounding: numpy's may differ in the last digit from what is on file.
            tuple([tuple([0.0 if p is None else round(row[p], 6) for p in places]) for row in shares.tolist()]),
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """The task's labels."""
        return self.classes.labels

    def save(self, folder: Path) -> None:
        """Write the numbers and labels into a folder."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file({"weights": self.weights, "bias": self.bias}, folder / _NUMBERS)
        storage.write_json(folder / _LABELS, encode(self.classes))


def fit(vectors: Any, answers: Sequence[str], labels: Sequence[str]) -> Head:
    """Return a head learnt from vectors and their answers.

    Args:
        vectors: ``[texts, width]``, dense or sparse.
        answers: The texts' labels.
        labels: All possible labels.
    """
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=1000)
    model.fit(vectors, list(answers))
    classes = Classes(tuple(str(label) for label in model.classes_), tuple(labels))
    return Head(np.ascontiguousarray(model.coef_, np.float64), np.asarray(model.intercept_, np.float64), classes)


def load_head(folder: Path) -> Head:
    """Return what `Head.save` wrote."""
    from safetensors.numpy import load_file

    numbers = load_file(folder / _NUMBERS)
    return Head(numbers["weights"], numbers["bias"], decode(Classes, storage.read_json(folder / _LABELS)))
