"""How the threads of a computation wait for one another. Set before torch is imported, which reads it then."""

from __future__ import annotations

import os

TURNS = 5_000  # of a loop, some tens of microseconds; docs/scale.md has what other numbers cost


def wait_briefly() -> None:
    """Let waiting threads go to sleep soon, unless the environment says how they wait.

    As installed, OpenMP's threads turn in a loop for about a millisecond before they sleep. Where two runs share a
    machine, that keeps the core from the very thread that is waited for, and each step takes ten times as long.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        os.environ["GOMP_SPINCOUNT"] = str(TURNS)
