from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from metier.labelling.ask import ask
from metier.labelling.draw import Question
from metier.labelling.sheet import Sheet

LABELS = ("billing", "delivery")
QUESTIONS = [Question(f"row {i}", "random") for i in range(3)]


class Typed:
    """A terminal in which something was typed already: keys one by one, and lines."""

    def __init__(self, typed: Sequence[str]) -> None:
        self.left = list(typed)
        self.shown: list[str] = []

    def show(self, text: str) -> None:
        self.shown.append(text)

    def key(self) -> str:
        return self.line()

    def line(self) -> str:
        if not self.left:
            raise EOFError
        return self.left.pop(0)


def asked(
    folder: Path, typed: Sequence[str], labels: Sequence[str] | None = LABELS, questions: Sequence[Question] = QUESTIONS
) -> tuple[dict[str, str], Typed]:
    """Ask, and return the answers that are on file, and the terminal."""
    path, terminal = folder / "answers.jsonl", Typed(typed)
    sheet = Sheet(path, labels)
    ask(sheet, questions, labels, terminal, lambda: f"{len(sheet.answered)} so far")
    return {question.input: answer for question, answer in Sheet(path, labels).answered}, terminal


@pytest.mark.parametrize(
    ("typed", "answers"),
    [
        ("121", {"row 0": "billing", "row 1": "delivery", "row 2": "billing"}),
        ("1s2", {"row 0": "billing", "row 2": "delivery"}),
        ("1b22q", {"row 0": "delivery", "row 1": "delivery"}),
        ("bbb1q", {"row 0": "billing"}),
        ("3x01q", {"row 0": "billing"}),
        ("12", {"row 0": "billing", "row 1": "delivery"}),  # and then the terminal is gone
        ("q", {}),
    ],
)
def test_every_label_has_a_key_and_one_can_skip_go_back_and_quit(
    tmp_path: Path, typed: str, answers: dict[str, str]
) -> None:
    found, terminal = asked(tmp_path, typed)
    assert found == answers and terminal.left == []


def test_the_same_again_asks_for_what_is_left(tmp_path: Path) -> None:
    asked(tmp_path, "s2q")
    found, terminal = asked(tmp_path, "11")
    assert found == {"row 0": "billing", "row 1": "delivery", "row 2": "billing"}
    assert "\n[1 of 3] 1 so far" in terminal.shown and "\n[3 of 3] 2 so far" in terminal.shown
    assert not any(text.startswith("\n[2 of") for text in terminal.shown)


def test_going_back_shows_what_was_answered(tmp_path: Path) -> None:
    _, terminal = asked(tmp_path, "2b1q")
    assert "answered: delivery" in terminal.shown


def test_more_labels_than_keys_are_numbers_on_a_line(tmp_path: Path) -> None:
    labels = tuple(f"team {i}" for i in range(1, 13))
    found, terminal = asked(tmp_path, ["12", "13", "²", "1", "q"], labels)
    assert found == {"row 0": "team 12", "row 1": "team 1"}
    assert "a number and Enter; s skip, b back, q quit" in terminal.shown


def test_free_text_is_a_line_and_an_empty_one_skips(tmp_path: Path) -> None:
    found, _ = asked(tmp_path, ["It came late. ", ":b", "It came.", "", "q"], None)
    assert found == {"row 0": "It came.", "row 2": "q"}
    assert asked(tmp_path, [":q"], None)[0] == found


def test_what_a_file_holds_cannot_steer_the_terminal(tmp_path: Path) -> None:
    text = "\x1b[2Jred\x07 " + "x" * 5000
    _, terminal = asked(tmp_path, "q", questions=[Question(text, "random")])
    (shown,) = [line for line in terminal.shown if "red" in line]
    assert "\x1b" not in shown and "\x07" not in shown and shown.endswith("more characters)")
