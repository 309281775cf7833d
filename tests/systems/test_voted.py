from __future__ import annotations

from pathlib import Path

import pytest

from metier.systems import voted
from metier.systems.base import Material
from metier.tasks.settings import SynthesisSettings
from tests.systems.scripted import Scripted, input_of, make_material, make_tools

SETTINGS = SynthesisSettings(output_temperature=0.3, output_top_k=7, agreement=0.9)


def material(folder: Path, **changes: object) -> Material:
    return make_material(folder, sampling=SETTINGS, **changes)


def test_the_commonest_answer_wins_and_no_row_is_given_up_for_want_of_agreement(tmp_path: Path) -> None:
    def write(prompt: str, sample: int) -> str:
        return f" {('billing', 'delivery', 'delivery')[sample % 3]}"

    engine = Scripted(write=write)
    tools = make_tools(tmp_path, engine)
    found = voted.learn(material(tmp_path), tools).answer(["a"], tools.keep)
    assert found.texts == ("delivery",), "seven of ten are less than the 0.9 that synthesis asks for"
    assert {(r.temperature, r.top_k) for r in engine.generated} == {(0.3, 7)}
    assert sum(r.samples for r in engine.generated) <= 10


def test_an_answer_is_mapped_to_the_label_it_holds(tmp_path: Path) -> None:
    engine = Scripted(write=lambda prompt, sample: " It is for the delivery team.")
    assert voted.learn(material(tmp_path), make_tools(tmp_path, engine)).answer(["a"]).texts == ("delivery",)


def test_a_row_with_no_answer_that_passes_has_the_empty_one(tmp_path: Path) -> None:
    engine = Scripted(write=lambda prompt, sample: " billing" if input_of(prompt) == "a" else " ")
    found = voted.learn(material(tmp_path), make_tools(tmp_path, engine)).answer(["a", "b"])
    assert found.texts == ("billing", "") and found.unasked == 0


def test_a_unanimous_vote_takes_six_samples(tmp_path: Path) -> None:
    engine = Scripted()
    voted.learn(material(tmp_path), make_tools(tmp_path, engine)).answer(["a"])
    assert [r.samples for r in engine.generated] == [6], "four more could not turn it"


def test_a_row_that_does_not_fit_is_counted(tmp_path: Path) -> None:
    tools = make_tools(tmp_path, Scripted(context_length=600))
    found = voted.learn(material(tmp_path), tools).answer(["a", "x" * 600], tools.keep)
    assert found.texts == ("billing", "") and found.unasked == 1


def test_another_vote_does_not_take_over_samples_that_were_enough_for_the_first(tmp_path: Path) -> None:
    def write(prompt: str, sample: int) -> str:
        return " Sure, billing" if sample < 6 else " delivery"

    def answered(folder: Path, noise_filter: bool) -> tuple[str, ...]:
        tools = make_tools(folder, Scripted(write=write))
        given = make_material(tmp_path, sampling=SETTINGS.but(noise_filter=noise_filter))
        return voted.learn(given, tools).answer(["a"], tools.keep).texts

    assert answered(tmp_path / "one", noise_filter=False) == ("billing",), "six alike decide the vote"
    assert answered(tmp_path / "two", noise_filter=True) == ("delivery",), "six take no part, and more are asked for"
    assert answered(tmp_path / "one", noise_filter=True) == ("delivery",), "also where the first vote was before"


def test_how_to_sample_must_be_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="how to sample"):
        voted.learn(make_material(tmp_path), make_tools(tmp_path))
