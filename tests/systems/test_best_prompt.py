from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from metier.core.records import Example
from metier.systems import best_prompt
from metier.systems.renderings import Rendering
from metier.systems.written import Writer
from tests.systems.scripted import EXAMPLES, Scripted, make_material, make_tools

THREE = (*EXAMPLES, Example("It cost too much.", "billing"))


def style_of(prompt: str) -> Rendering:
    """Tell the three renderings of a plain prompt apart."""
    if prompt.count("Name the team.") > 1:
        return "every turn"
    return "usual" if "Name the team.\n\nInput: " in prompt and prompt.endswith("\nOutput:") else "one turn"


@pytest.mark.parametrize("best", ["usual", "every turn"])
def test_the_rendering_is_taken_that_makes_the_examples_likeliest(tmp_path: Path, best: Rendering) -> None:
    engine = Scripted(likely=lambda prompt, answer: -1.0 if style_of(prompt) == best else -50.0)
    learned = best_prompt.learn(make_material(tmp_path, examples=THREE), make_tools(tmp_path, engine))
    assert isinstance(learned, Writer) and learned.asker.rendering == best
    learned.answer(["a new one"])
    assert style_of(engine.generated[-1].prompt.text) == best, "the answer is asked for in that rendering"
    assert learned.asker.shown == THREE, "and under all examples"


def test_every_example_is_scored_under_the_others_alone(tmp_path: Path) -> None:
    engine = Scripted()
    best_prompt.learn(make_material(tmp_path, examples=THREE), make_tools(tmp_path, engine))
    assert len(engine.scored) == 3 * len(THREE)
    for k, request in enumerate(engine.scored):
        left_out = THREE[k % 3]
        assert request.continuations == (f" {left_out.output}",)
        for other in THREE:
            assert request.prompt.text.count(other.input) == 1, "each once: shown, or asked about"
        assert f"{left_out.input}\nOutput: {left_out.output}" not in request.prompt.text
        assert f"{left_out.input}\n{left_out.output}" not in request.prompt.text, "its own answer is not shown"


def test_the_choice_is_made_once(tmp_path: Path) -> None:
    engine = Scripted()
    for _ in range(2):
        best_prompt.learn(make_material(tmp_path, examples=THREE), make_tools(tmp_path, engine))
    assert len(engine.scored) == 9


def test_one_example_leaves_nothing_to_choose_by(tmp_path: Path) -> None:
    engine = Scripted()
    learned = best_prompt.learn(make_material(tmp_path, examples=THREE[:1]), make_tools(tmp_path, engine))
    assert isinstance(learned, Writer) and learned.asker.rendering == "usual" and not engine.scored


def test_a_rendering_that_ends_otherwise_stops_there_too(tmp_path: Path) -> None:
    engine = Scripted()
    learned = best_prompt.learn(make_material(tmp_path, examples=THREE), make_tools(tmp_path, engine))
    assert isinstance(learned, Writer)
    stops = dataclasses.replace(learned.asker, rendering="one turn").stop
    assert "\nInput:" in stops and len(set(stops)) == len(stops)
