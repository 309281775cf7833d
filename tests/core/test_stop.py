"""Ctrl-C and SIGTERM end a process once, whatever it is doing, and leave it the time to tidy up."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

START = """
import os, signal, sys, time, weakref
from metier.core.stop import Stopped, stoppable
"""
PLAIN = """
with stoppable() as arrived:
    try:
        os.kill(os.getpid(), signal.{name})
        time.sleep(60)
    except Stopped as stopped:
        print("told", stopped.exit_code, arrived == [signal.{name}])
"""
SWALLOWED = """
class Swallows:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass

with stoppable():
    try:
        Swallows()
        time.sleep(60)
    except Stopped:
        print("told in the end")
"""
TIDIES_UP = """
with stoppable():
    try:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            end = time.monotonic() + 2.5
            while time.monotonic() < end:
                try:
                    raise KeyError
                except KeyError:
                    time.sleep(0.1)
            print("tidied up")
    except Stopped:
        print("told")
"""
TWICE = """
with stoppable():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        print("not reached")
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", START + code], capture_output=True, text=True, check=False, timeout=50)


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_either_signal_is_raised_where_the_process_is(name: str, code: int) -> None:
    done = python(PLAIN.format(name=name))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"told {code} True\n", "")


def test_one_that_a_finaliser_swallowed_is_raised_again() -> None:
    done = python(SWALLOWED)
    assert (done.returncode, done.stdout) == (0, "told in the end\n")


def test_tidying_up_is_left_its_time() -> None:
    done = python(TIDIES_UP)
    assert (done.returncode, done.stdout) == (0, "tidied up\ntold\n")


def test_a_second_one_ends_it_at_once() -> None:
    done = python(TWICE)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "")
