"""What a strategy chooses from; expensive parts are made on first use. Knows nothing about any strategy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from functools import cached_property

import numpy as np
import numpy.typing as npt

from metier.engines.base import Engine
from metier.engines.prompts import PromptFormat
from metier.selection.cluster import Clusters, Region
from metier.selection.kcenter import Budget, Codes
from metier.selection.pool import Pool


@dataclasses.dataclass(frozen=True)
class Material:
    """A pool, a task, and a budget.

    Attributes:
        pool: What is chosen from.
        tokens: Tokens of every row, prompt and answer, ``[rows]``: its cost in a budget of tokens.
        budget: How much may be chosen.
        seed: Seeds random choices.
        make_codes: Encodes the pool, and the task's texts, as `kcenter.encode` gives them.
        make_clusters: Clusters the pool.
        make_region: Finds the task's part of it.
        open_engine: Opens the student.
        prompts: How its prompts are written.
        gradients: Gradients of rows and of the task's examples, projected (`less`).
    """

    pool: Pool
    tokens: npt.NDArray[np.int64]
    budget: Budget
    seed: int
    make_codes: Callable[[], tuple[Codes, Codes]]
    make_clusters: Callable[[], Clusters]
    make_region: Callable[[], Region]
    open_engine: Callable[[], tuple[Engine, PromptFormat]]
    gradients: Callable[[npt.NDArray[np.int64]], tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]

    @cached_property
    def codes(self) -> Codes:
        """The pool's encodings, ``[rows, width]``; memory-mapped."""
        return self.make_codes()[0]

    @cached_property
    def target_codes(self) -> Codes:
        """The encodings of the task's examples and inputs, ``[texts, width]``."""
        return self.make_codes()[1]

    @cached_property
    def clusters(self) -> Clusters:
        """The pool's clusters."""
        return self.make_clusters()

    @cached_property
    def region(self) -> Region:
        """The part of the pool that counts as the task's."""
        return self.make_region()

    def within_budget(self, order: Iterable[int]) -> list[int]:
        """Return the rows of an order that fit the budget, first come first served; others are skipped."""
        chosen: list[int] = []
        left = np.inf if self.budget.cost is None else self.budget.cost
        most = self.pool.rows if self.budget.rows is None else self.budget.rows
        for place in order:
            if len(chosen) == most:
                break
            if self.tokens[place] <= left:
                left -= int(self.tokens[place])
                chosen.append(int(place))
        return chosen
