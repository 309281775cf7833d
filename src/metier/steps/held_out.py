"""A task's labelled rows that its model was not trained on: what a rule about its answers may be chosen by.

They are the rows that chose the epoch, and those that the mixture had no use for (beyond ``rows``).
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from metier.core import storage
from metier.core.records import Example
from metier.data.leakage import find_leaks
from metier.data.likeness import folded
from metier.data.mixture import Mixed
from metier.evaluation.measure import is_rewriting
from metier.steps.gather import TaskRows
from metier.steps.measures import measure_of
from metier.steps.train import Trained

MOST_ROWS = 200
"""As many are answered once more before the test: enough to choose by, and no longer than the test itself."""


def held_out_rows(rows: Mapping[str, TaskRows], name: str, mixed: Mixed, trained: Trained) -> tuple[Example, ...]:
    """Return labelled rows of a rewriting task that its model has not seen, and no test asks for; of others none.

    Of no row was an input or answer trained on, whatever task it was of, or nearly the input, and none is a test row,
    whatever ``evaluation.leakage`` says.

    Args:
        rows: Every task's rows.
        name: The task.
        mixed: The training set.
        trained: The model that answers the task.
    """
    own = rows[name]
    if not is_rewriting(measure_of(own.task)):
        return ()
    left_out = {folded(pair.input) for pair in trained.left_out}
    seen = [row.example for row in mixed.rows if folded(row.input) not in left_out]
    seen += [*own.examples, *(row for one in rows.values() for row in one.test)]
    texts = {folded(text) for row in seen for text in (row.input, *row.references)}
    unseen = [row for row in own.labelled if not texts & {folded(text) for text in (row.input, *row.references)}]
    random.Random(storage.seed_of(own.task.seed, "held-out-rows")).shuffle(unseen)
    drawn = unseen[:MOST_ROWS]
    if not drawn:
        return ()
    similarity = own.task.evaluation.leakage_similarity
    near = {
        leak.pair
        for leak in find_leaks([row.input for row in drawn], [row.input for row in seen], similarity=similarity)
    }
    return tuple(row for i, row in enumerate(drawn) if i not in near)
