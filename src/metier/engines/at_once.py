"""Puts many questions to a server, several at once. Knows nothing about what they are."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Sequence
from typing import TypeVar

_Q = TypeVar("_Q")
_A = TypeVar("_A")


def at_once(asked: Sequence[_Q], ask: Callable[[_Q], _A], most: int, told: Callable[[int], None]) -> list[_A]:
    """Return the answers to questions, in their order.

    Args:
        asked: The questions.
        ask: Answers one; called in several threads.
        most: Questions under way at once.
        told: Called with how many are answered, whenever one is.
    """
    results: dict[int, _A] = {}
    pool = concurrent.futures.ThreadPoolExecutor(most)
    try:
        futures = {pool.submit(ask, one): i for i, one in enumerate(asked)}
        for future in concurrent.futures.as_completed(futures):
            results[futures[future]] = future.result()
            told(len(results))
    finally:
        # After a failure or Ctrl-C, requests that have not been sent are dropped.
        pool.shutdown(wait=True, cancel_futures=True)
    return [results[i] for i in range(len(asked))]
