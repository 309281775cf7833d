"""How many rows each task gives to a mixture, and how one task's rows are split.

By ratios, or by a temperature (Raffel et al. 2020, arXiv 1910.10683, section 3.5.2).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from metier.core.errors import UserError
from metier.core.records import Example
from metier.core.storage import seed_of
from metier.data.likeness import folded


def sizes(
    available: Sequence[int], *, ratios: Sequence[float] | None, temperature: float, total: int | None
) -> list[int]:
    """Return how many rows each task gives; no row is given twice.

    With ratios the mixture is as large as the scarcest task allows. With a temperature a task that has too few gives
    all it has, and the others share the rest.

    Raises:
        UserError: Ratios do not add up to 1, or the total leaves a task without a row.
    """
    if ratios is not None:
        if abs(sum(ratios) - 1) > 1e-6 or min(ratios) <= 0:
            raise UserError(
                f"the tasks' ratios are {', '.join(f'{r:g}' for r in ratios)}: they must be above 0 and add up to 1 "
                f"(they come to {sum(ratios):g})"
            )
        most = min(n / r for n, r in zip(available, ratios, strict=True))
        found = _rounded([min(most, total or most) * r for r in ratios])
    else:
        weights = [n ** (1 / temperature) for n in available]
        found = _shared(available, weights, min(total or sum(available), sum(available)))
    if min(found) < 1:
        raise UserError(
            f"rows: {total} are too few for {len(available)} tasks: one of them would have none",
            hint="raise rows, or make the ratios more even",
        )
    return found


def split_by_source(pairs: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Return pairs to train on and pairs to test on; pairs with the same input are on the same side.

    Args:
        pairs: All there are.
        share: Share of the inputs to test on.
        seed: Seeds the split.
    """
    sources = list(dict.fromkeys(folded(pair.input) for pair in pairs))
    random.Random(seed_of(seed, "split")).shuffle(sources)
    held_out = set(sources[: round(len(sources) * share)])
    train = [pair for pair in pairs if folded(pair.input) not in held_out]
    return train, [pair for pair in pairs if folded(pair.input) in held_out]


def _shared(available: Sequence[int], weights: Sequence[float], total: int) -> list[int]:
    """Share a total by weights; what a task cannot give, the others do."""
    found = [0.0] * len(available)
    open_ones = list(range(len(available)))
    left = float(total)
    while open_ones:
        whole = sum(weights[i] for i in open_ones)
        full = [i for i in open_ones if left * weights[i] / whole >= available[i]]
        if not full:
            for i in open_ones:
                found[i] = left * weights[i] / whole
            break
        for i in full:
            found[i] = float(available[i])
            left -= available[i]
        open_ones = [i for i in open_ones if i not in full]
    return _rounded(found)


def _rounded(shares: Sequence[float]) -> list[int]:
    """Return whole numbers with the same sum, the largest remainders rounded up."""
    low = [int(s + 1e-9) for s in shares]
    missing = int(sum(shares) + 1e-6) - sum(low)
    order = sorted(range(len(shares)), key=lambda i: (low[i] - shares[i], i))
    for i in order[:missing]:
        low[i] += 1
    return low
