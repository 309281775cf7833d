"""Chooses rows of a pool by any strategy, within a budget. Knows nothing about data files or runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from metier.core.errors import UserError
from metier.selection.kcenter import Budget
from metier.selection.material import Material
from metier.selection.strategies import (
    facility_location,
    k_center,
    length,
    less,
    likelihood,
    nearest,
    random,
    stratified,
)
from metier.tasks.settings import SelectionSettings, StrategyName

DEFAULT_SHARE = 0.005
_RELATED = 2.0  # times the budget: how much of a pool counts as the task's part
_RELATED_SHARE = 0.01  # the same, for a budget in tokens alone

STRATEGIES: dict[StrategyName, Callable[[Material], list[int]]] = {
    "k_center": k_center.choose,
    "random": random.choose,
    "stratified": stratified.choose,
    "nearest": nearest.choose,
    "nearest_mean": nearest.choose_by_mean,
    "facility_location": facility_location.choose,
    "length": length.choose,
    "perplexity": likelihood.choose_perplexity,
    "ifd": likelihood.choose_ifd,
    "less": less.choose,
}
IN_REGION = ("k_center", "facility_location", "perplexity", "ifd")


@dataclasses.dataclass(frozen=True, slots=True)
class Selected:
    """What was chosen.

    Attributes:
        rows: Places in the pool, in the order they were chosen.
        tokens: Their total number of tokens.
        region_rows: Rows of the task's part of the pool; None if the strategy does not use it.
        filled: How many rows come from outside that part, because it has too few.
    """

    rows: tuple[int, ...]
    tokens: int
    region_rows: int | None
    filled: int


def budget_of(settings: SelectionSettings, rows: int) -> Budget:
    """Return the budget that settings give for a pool of this many rows.

    Raises:
        UserError: The budget is larger than the pool, or given twice.
    """
    if settings.rows is not None and settings.share is not None:
        raise UserError("selection: share and rows are both set", hint="set only one of them")
    if settings.rows is not None:
        if settings.rows > rows:
            raise UserError(
                f"selection.rows={settings.rows}, but the pool has {rows} rows", hint="choose at most that many"
            )
        return Budget(settings.rows, settings.tokens)
    if settings.share is None and settings.tokens is not None:
        return Budget(None, settings.tokens)
    return Budget(max(1, round((settings.share or DEFAULT_SHARE) * rows)), settings.tokens)


def related_share_of(settings: SelectionSettings, rows: int) -> float:
    """Return the share of a pool of this many rows that counts as the task's.

    Raises:
        UserError: The budget is larger than the pool.
    """
    budget = budget_of(settings, rows).rows
    return settings.related_share or (min(1.0, _RELATED * budget / rows) if budget else _RELATED_SHARE)


def select(material: Material, strategy: StrategyName) -> Selected:
    """Choose rows by a strategy; if the task's region is smaller than the budget, random other rows are added.

    Raises:
        UserError: No row fits the budget.
    """
    chosen = STRATEGIES[strategy](material)
    filled = 0
    if strategy in IN_REGION:
        spent = int(material.tokens[chosen].sum()) if chosen else 0
        rows_left = None if material.budget.rows is None else material.budget.rows - len(chosen)
        cost_left = None if material.budget.cost is None else material.budget.cost - spent
        if rows_left != 0 and (cost_left is None or cost_left > 0) and len(chosen) < material.pool.rows:
            rest = dataclasses.replace(material, budget=Budget(rows_left, cost_left))
            taken = set(chosen)
            order = np.random.default_rng(material.seed).permutation(material.pool.rows).tolist()
            more = rest.within_budget(place for place in order if place not in taken)
            filled = len(more)
            chosen = [*chosen, *more]
    if not chosen:
        raise UserError(
            f"selection: no row fits a budget of {material.budget.cost} tokens", hint="raise selection.tokens"
        )
    region = len(material.region.rows) if strategy in IN_REGION else None
    return Selected(tuple(chosen), int(material.tokens[chosen].sum()), region, filled)
