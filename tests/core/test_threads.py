"""How threads wait, and work that is done in one that ends."""

from __future__ import annotations

import os
import threading

import pytest

from metier.core.errors import UserError
from metier.core.threads import TURNS, in_a_thread_that_ends, wait_briefly


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, {"GOMP_SPINCOUNT": str(TURNS)}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
        ({"GOMP_SPINCOUNT": "5"}, {"GOMP_SPINCOUNT": "5"}),
    ],
)
def test_what_the_environment_says_holds(
    given: dict[str, str], found: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    wait_briefly()
    assert {name: os.environ[name] for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT") if name in os.environ} == found


def test_a_function_is_called_in_a_thread_that_has_ended() -> None:
    assert in_a_thread_that_ends(threading.current_thread).is_alive() is False


def test_what_it_raises_is_raised_here() -> None:
    def fail() -> None:
        raise UserError("no such file")

    with pytest.raises(UserError, match="no such file"):
        in_a_thread_that_ends(fail)
