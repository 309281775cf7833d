"""Takes rows for several texts in turn, so that one text with many rows around it does not use up the whole budget."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt


def in_turn(alike: npt.NDArray[np.float32]) -> Iterator[int]:
    """Yield every row once: the first text's most similar one, the second's that is still free, and so on, in rounds.

    Source: retrieval for instruction data, Ivison et al. 2023 (arXiv 2212.00196).

    Args:
        alike: The similarity of each text to every row, ``[texts, rows]``.
    """
    texts, rows = alike.shape
    orders = np.argsort(-alike, axis=1, kind="stable")
    taken = np.zeros(rows, bool)
    at = [0] * texts
    for turn in range(rows):
        text = turn % texts
        while taken[orders[text, at[text]]]:
            at[text] += 1
        place = int(orders[text, at[text]])
        taken[place] = True
        yield place
