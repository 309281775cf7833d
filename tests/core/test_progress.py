"""What is told while long work goes on."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.core import progress
from metier.core.progress import Reporter


class Clock:
    """A clock that stands still until it is set."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that progress is told by."""
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_a_line_says_how_much_is_done_and_how_long_the_rest_takes(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Reporter().track("inputs", 40) as update:
        clock.now = 14.0
        update(9, 90)  # too early for a line
        clock.now = 20.0
        update(10, 100)
        clock.now = 80.0
        update(40, 400)
    assert capsys.readouterr().err.splitlines() == [
        "  inputs: 10/40 rows, 20 s, about 60 s left, 5 tokens/s",
        "  inputs: 40/40 rows, 80 s, 5 tokens/s",
    ]


def test_the_total_grows_where_more_is_done_than_was_foreseen(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter().track("inputs", 16) as update:
        clock.now = 2.0
        update(20, 0)
    assert capsys.readouterr().err == "  inputs: 20/20 rows, 2 s\n"


@pytest.mark.parametrize(
    ("done", "tokens", "told"),
    [
        (1, 30, "1 row, 30 s, 0.0 rows/s, 1 token/s"),
        (30, 10, "30 rows, 30 s, 1 row/s, 0.3 tokens/s"),
        (3000, 0, "3000 rows, 30 s, 100 rows/s"),
    ],
)
def test_amounts_go_with_their_nouns(
    clock: Clock, capsys: pytest.CaptureFixture[str], done: int, tokens: int, told: str
) -> None:
    with Reporter().track("pool", None) as update:
        clock.now = 30.0
        update(done, tokens)
    assert capsys.readouterr().err == f"  pool: {told}\n"


@given(st.lists(st.integers(0, 60), min_size=1, max_size=6).map(sorted), st.integers(1, 40))
def test_no_line_passes_its_total_and_only_unfinished_ones_have_time_left(done: list[int], total: int) -> None:
    for several in done:
        with pytest.MonkeyPatch.context() as patch:
            clock = Clock()
            printed: list[str] = []
            patch.setattr(progress, "time", clock)
            patch.setattr("builtins.print", lambda text, printed=printed, **_: printed.append(text))
            with Reporter().track("x", total) as update:
                clock.now = 99.0
                update(several, 0)
        (found,) = re.findall(r"(\d+)/(\d+)", printed[0])
        assert int(found[0]) == several <= int(found[1])
        assert ("left" in printed[0]) == (int(found[0]) < int(found[1]))


def test_a_text_may_be_said_once_and_the_quiet_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter()
    for text in ("one", "one", "two"):
        reporter.say_once(text)
    assert capsys.readouterr().err == "one\ntwo\n"
    quiet = Reporter(quiet=True)
    quiet.say_once("one")
    with quiet.track("inputs", 3) as update:
        update(3, 3)
    assert capsys.readouterr().err == ""
