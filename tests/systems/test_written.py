from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from metier.core.step import Artifact
from metier.systems import copied, written
from metier.systems.asker import open_asker
from metier.systems.base import Learned, Material, Tools
from tests.systems.scripted import EXAMPLES, Opened, Scripted, input_of, make_material, make_tools


def test_zero_shot_shows_nothing_and_few_shot_shows_the_examples(tmp_path: Path) -> None:
    engine = Scripted(write=lambda prompt, sample: f" {input_of(prompt).upper()} ")
    tools = make_tools(tmp_path, engine)
    for shows in (False, True):
        learned = written.learn(make_material(tmp_path), tools, shows_examples=shows)
        assert learned.answer(["a", "b"], tools.keep).texts == ("A", "B"), "spaces around an answer are no part of it"
    zero, few = engine.generated[0].prompt.text, engine.generated[2].prompt.text
    assert zero.startswith("Name the team.") and few.startswith("Name the team.")
    for example in EXAMPLES:
        assert example.input not in zero
        assert f"Input: {example.input}\nOutput: {example.output}\n" in few
    assert engine.generated[0].temperature == 0, "the likeliest token each time"


def test_a_row_longer_than_the_context_is_not_asked_and_is_counted(tmp_path: Path) -> None:
    engine = Scripted(context_length=600)
    tools = make_tools(tmp_path, engine)
    found = written.learn(make_material(tmp_path), tools).answer(["short", "x" * 600, "also short"], tools.keep)
    assert found.texts == ("billing", "", "billing") and found.unasked == 1
    assert engine.asked_about == ["short", "also short"]


def test_the_longest_row_that_fits_is_asked(tmp_path: Path) -> None:
    def unasked(length: int) -> int:
        engine = Scripted(context_length=400)
        return written.learn(material, make_tools(tmp_path, engine)).answer(["x" * length]).unasked

    material = dataclasses.replace(make_material(tmp_path), examples=EXAMPLES[:1])
    asker = written.Writer(open_asker(material, make_tools(tmp_path, Scripted(context_length=400)))).asker
    room = 400 - asker.max_tokens - len(asker.prompt("").text)
    assert room > 0 and (unasked(room), unasked(room + 1)) == (0, 1), "a prompt and its answer may fill the context"


def test_examples_that_do_not_fit_half_of_the_context_are_not_shown(tmp_path: Path) -> None:
    engine = Scripted(context_length=2 * (16 + len(EXAMPLES[0].input) + 1 + len(EXAMPLES[0].output)))
    asker = open_asker(make_material(tmp_path), make_tools(tmp_path, engine))
    assert asker.shown == EXAMPLES[:1]


def test_the_longest_answer_is_as_given_or_from_what_is_at_hand(tmp_path: Path) -> None:
    def longest(material: Material) -> int:
        return open_asker(material, make_tools(tmp_path)).max_tokens

    usual = make_material(tmp_path)
    assert usual.asked is not None
    assert longest(usual) == len("delivery") + 16
    assert longest(dataclasses.replace(usual, labels=None)) == 2 * len("delivery") + 32
    assert longest(dataclasses.replace(usual, asked=dataclasses.replace(usual.asked, max_tokens=7))) == 7


@pytest.mark.parametrize(("keeps", "shown"), [(False, ()), (True, EXAMPLES)])
def test_a_tuned_model_is_shown_what_it_was_trained_with(
    tmp_path: Path, keeps: bool, shown: tuple[object, ...]
) -> None:
    opened = Opened()
    tools = make_tools(tmp_path, opened=opened)
    material = make_material(tmp_path, weights={"task": Artifact("tuned", tmp_path)}, keeps_examples=keeps)
    learned = written.learn(material, tools, tuned="task")
    assert isinstance(learned, written.Writer) and learned.asker.shown == shown
    assert opened == ["tuned"]


def test_where_the_tuned_model_is_not_there_the_base_model_is_asked_with_the_examples(tmp_path: Path) -> None:
    opened = Opened()
    learned = written.learn(make_material(tmp_path), make_tools(tmp_path, opened=opened), tuned="task")
    assert isinstance(learned, written.Writer) and learned.asker.shown == EXAMPLES
    assert opened == [None]


def test_what_was_asked_is_asked_once_and_the_rest_of_a_killed_run_alone(tmp_path: Path) -> None:
    engine, rows = Scripted(), [f"row {i}" for i in range(300)]

    def learned(tools: Tools) -> Learned:
        return written.learn(make_material(tmp_path), tools)

    def stops(prompt: str, sample: int) -> str:
        if input_of(prompt) == "row 200":
            raise KeyboardInterrupt
        return " billing"

    stopped = make_tools(tmp_path, Scripted(write=stops))
    with pytest.raises(KeyboardInterrupt):
        learned(stopped).answer(rows, stopped.keep)
    for _ in range(2):
        tools = make_tools(tmp_path, engine)
        assert learned(tools).answer(rows, tools.keep).texts == ("billing",) * 300
    assert engine.asked_about == rows[128:], "the first 128 were on file, and nothing is asked twice"


def test_without_a_place_for_it_nothing_is_kept(tmp_path: Path) -> None:
    engine = Scripted()
    learned = written.learn(make_material(tmp_path), make_tools(tmp_path / "run", engine))
    for _ in range(2):
        learned.answer(["a"])
    assert len(engine.generated) == 2 and not (tmp_path / "run").exists()


def test_the_bytes_are_those_of_the_weights(tmp_path: Path) -> None:
    def size(folder: str, files: dict[str, int], tuned: bool) -> int:
        path = tmp_path / folder
        path.mkdir()
        for name, several in files.items():
            (path / name).write_bytes(b"x" * several)
        material = make_material(tmp_path / "base", weights={"task": Artifact("tuned", path)} if tuned else {})
        return written.learn(material, make_tools(tmp_path), tuned="task").nbytes

    assert size("base", {"model.safetensors": 100, "tokenizer.json": 5}, tuned=False) == 100
    assert size("adapter", {"adapter_model.safetensors": 7}, tuned=True) == 107, "an adapter lies beside the base model"
    assert size("whole", {"model.safetensors": 90, "config.json": 2}, tuned=True) == 90, "whole weights take its place"


def test_a_copy_is_the_input(tmp_path: Path) -> None:
    learned = copied.learn(Material(None), make_tools(tmp_path))
    assert learned.answer(["as it  was", ""]).texts == ("as it  was", "") and learned.nbytes == 0
