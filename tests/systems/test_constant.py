from __future__ import annotations

from pathlib import Path

from metier.systems import constant
from metier.systems.base import Material
from tests.systems.scripted import make_tools


def test_the_commonest_answer_of_the_test_is_given_to_every_input(tmp_path: Path) -> None:
    material = Material(("a", "b"), test_answers=("b", "a", "b"))
    learned = constant.learn(material, make_tools(tmp_path))
    assert learned.answer(["x", "", "y"]).texts == ("b", "b", "b")
    assert learned.nbytes == 1


def test_of_answers_as_common_the_first_is_taken(tmp_path: Path) -> None:
    material = Material(None, test_answers=("late", "early", "early", "late"))
    assert constant.learn(material, make_tools(tmp_path)).answer(["x"]).texts == ("late",)
