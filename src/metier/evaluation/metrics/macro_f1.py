"""Macro-F1: the unweighted mean over labels of each label's F1.

A rare label counts as much as a common one, so always answering the commonest scores low. Outputs are read as in label
match; one without a label counts as a miss for its reference's label and for no other label. Averaged over the labels
that occur among the references or the outputs, as scikit-learn's ``f1_score(average="macro")`` does; a label that is
never predicted has an F1 of 0. Range 0 to 100, higher is better. A row's own score is 0 or 100.
"""

from __future__ import annotations

import numpy as np

from metier.core.errors import MetierError
from metier.evaluation.metrics.exact_match import normaliser
from metier.evaluation.metrics.label_match import answered
from metier.evaluation.scored import Floats, Scored, Texts, added_up, ratio


def score(texts: Texts) -> Scored:
    """Return whether each row is right, and the corpus's macro-F1.

    Raises:
        MetierError: The task has no labels, or a reference is not one of them.
    """
    labels = texts.labels
    if not labels:
        raise MetierError("macro_f1 needs labels")
    form = normaliser(labels)
    places = {form(label): i for i, label in enumerate(labels)}
    stats = np.zeros((len(texts.predictions), 3 * len(labels)))  # right, predicted and wanted, by label
    for row, (prediction, references) in enumerate(zip(texts.predictions, texts.references, strict=True)):
        label = answered(prediction, labels)
        given = None if label is None else places[form(label)]
        wanted = [places.get(form(reference)) for reference in references]
        if None in wanted:
            raise MetierError(f"row {row + 1}: the reference {references[wanted.index(None)]!r} is not a label")
        right = given in wanted
        if given is not None:
            stats[row, len(labels) + given] = 1
            stats[row, given] = right
        stats[row, 2 * len(labels) + int((given if right else wanted[0]) or 0)] = 1
    rows = 100.0 * stats[:, : len(labels)].sum(axis=1)
    return added_up(stats, _macro_f1, rows=rows)


def _macro_f1(sums: Floats) -> Floats:
    right, given, wanted = np.split(sums, 3, axis=-1)
    f1 = ratio(2 * right, given + wanted)
    occurs = given + wanted > 0
    return 100.0 * ratio(f1.sum(axis=-1, where=occurs), occurs.sum(axis=-1))
