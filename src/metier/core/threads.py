"""How the threads of a computation wait for one another."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

TURNS = 5_000  # of a loop, some tens of microseconds; docs/scale.md has what other numbers cost


def wait_briefly() -> None:
    """Let waiting threads go to sleep soon, unless the environment says how they wait; torch reads that when imported.

    As installed, OpenMP's threads turn in a loop for about a millisecond before they sleep. Where two runs share a
    machine, that keeps the core from the very thread that is waited for, and each step takes ten times as long.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        os.environ["GOMP_SPINCOUNT"] = str(TURNS)


def in_a_thread_that_ends(make: Callable[[], T]) -> T:
    """Call a function in a thread of its own and return what it returns.

    OpenMP keeps the helpers of every thread that has computed until that thread ends. While there are more of them than
    processors, none turns in its loop, and each small step has to wake them: in 8-bit integers a text takes twice as
    long. So where one thread is to compute from then on, what another does beforehand is done in one that ends.

    Raises:
        BaseException: What the function raises.
    """
    made: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            made.append(make())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]
