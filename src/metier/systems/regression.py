"""Logistic regression on vectors of texts, with scikit-learn's defaults: the head of the classic Systems."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

from metier.core.errors import MetierError
from metier.core.records import Answers, Example
from metier.systems.base import Keep, Material

Source = Literal["examples", "labelled", "synthetic"]
Vectors = Callable[[Sequence[str]], Any]
"""From texts to their vectors, ``[texts, width]``, dense or sparse."""


def pairs_of(material: Material, source: Source) -> Sequence[Example]:
    """Return the pairs to learn from.

    Raises:
        MetierError: They hold fewer than two labels.
    """
    pairs: Sequence[Example] = getattr(material, source)
    if len({pair.output for pair in pairs}) < 2:
        raise MetierError("fewer than two labels to learn from")
    return pairs


def fit(vectors_of: Vectors, vectors: Any, answers: Sequence[str], labels: Sequence[str], nbytes: int) -> Regression:
    """Return a regression from vectors to answers.

    Args:
        vectors_of: How further texts become vectors.
        vectors: Those of the texts to learn from.
        answers: Their labels.
        labels: All possible labels.
        nbytes: What makes the vectors takes in memory.
    """
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=1000)
    model.fit(vectors, list(answers))
    return Regression(vectors_of, model, tuple(labels), int(model.coef_.nbytes) + nbytes)


@dataclasses.dataclass(frozen=True, slots=True)
class Regression:
    """Answers with the likeliest label."""

    vectors_of: Vectors
    model: Any
    labels: tuple[str, ...]
    nbytes: int

    def answer(self, inputs: Sequence[str], keep: Keep | None = None) -> Answers:
        """Return an answer to each input, with how likely each label is, in order."""
        known = [str(label) for label in self.model.classes_]
        shares = self.model.predict_proba(self.vectors_of(inputs))  # [inputs, labels that were learnt from]
        places = [known.index(label) if label in known else None for label in self.labels]
        return Answers(
            tuple(known[int(row.argmax())] for row in shares),
            tuple(tuple(0.0 if p is None else round(float(row[p]), 6) for p in places) for row in shares),
        )
