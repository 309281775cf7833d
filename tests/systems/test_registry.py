"""The registry's lines, and what each System may see."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from metier.core.codec import encode
from metier.core.records import Example, SystemKind
from metier.core.step import Artifact
from metier.core.storage import digest
from metier.systems import registry
from metier.systems.base import Material, Tuned
from metier.systems.registry import SYSTEMS, Entry
from metier.tasks.settings import BASELINES, SynthesisSettings
from tests.systems.scripted import EXAMPLES, LABELS, Scripted, make_asked, make_tools

PARTS = {field.name for field in dataclasses.fields(Material)}
SOURCES_OF = {"more_than_examples": ("labelled", "synthetic")}
"""Of a need that several parts can meet, these parts."""
EVERY: tuple[Tuned, ...] = get_args(Tuned)
ENTRIES = pytest.mark.parametrize("entry", SYSTEMS.values(), ids=SYSTEMS)


def whole(folder: Path) -> Material:
    """Material in which every part is there."""
    return Material(
        LABELS,
        asked=make_asked(folder),
        examples=EXAMPLES,
        labelled=EXAMPLES,
        synthetic=EXAMPLES,
        test_answers=("billing",),
        weights={tuned: Artifact(tuned, folder) for tuned in EVERY},
        unseen_wordings=("Which team?",),
        sampling=SynthesisSettings(),
        demonstration_tokens=1000,
        encoder=Artifact("encoder", folder),
        encoder_name="all-minilm-l6-v2",
        held_out=EXAMPLES,
        metric="sari",
    )


def needed(entry: Entry) -> tuple[str, ...]:
    """Return the parts of the material of which a System needs at least one."""
    return SOURCES_OF.get(entry.needs, (entry.needs,)) if entry.needs is not None else ()


CHANGES: dict[str, Any] = {
    "labels": ("billing", "other"),
    "examples": EXAMPLES[:1],
    "labelled": EXAMPLES[:1],
    "synthetic": (Example("other", "billing"),),
    "test_answers": ("delivery",),
    "keeps_examples": True,
    "answer_by": "writing",
    "label_prior": "synthetic",
    "unseen_wordings": ("Who?",),
    "sampling": SynthesisSettings(output_top_k=3),
    "demonstration_tokens": 7,
    "encoder": Artifact("another", Path()),
    "encoder_name": "another",
    "held_out": EXAMPLES[:1],
    "metric": "gleu",
    "asked": None,
    "weights": {},
}


def test_keys_and_titles_are_unique() -> None:
    assert len(SYSTEMS) == len(registry._ENTRIES), "a key stands twice"
    assert all(key == entry.key for key, entry in SYSTEMS.items())
    titles = [entry.title for entry in SYSTEMS.values()]
    assert len(set(titles)) == len(titles)


@ENTRIES
def test_every_system_can_be_imported_and_learns(entry: Entry) -> None:
    learn = importlib.import_module(f"metier.systems.{entry.module}").learn
    options = dict(entry.options) | ({"tuned": entry.tuned} if entry.tuned else {})
    inspect.signature(learn).bind("material", "tools", **options)


@ENTRIES
def test_every_line_names_what_there_is(entry: Entry) -> None:
    assert entry.uses <= PARTS - {"labels", "weights"}, "labels are always seen, weights by tuned"
    assert set(needed(entry)) <= entry.uses
    assert entry.kind in get_args(SystemKind) and entry.fits in get_args(registry.Fits)
    assert entry.tuned is None or entry.tuned in EVERY
    assert entry.family is None or entry.family in BASELINES


def test_every_baseline_that_a_task_may_name_is_some_systems_family() -> None:
    assert {entry.family for entry in SYSTEMS.values()} - {None} == set(BASELINES)


@ENTRIES
def test_a_system_sees_nothing_but_what_its_line_names(entry: Entry, tmp_path: Path) -> None:
    seen, nothing = entry.seen(whole(tmp_path)), Material(LABELS)
    for part in PARTS - entry.uses - {"labels", "weights"}:
        assert getattr(seen, part) == getattr(nothing, part), part
    for part in entry.uses:
        assert getattr(seen, part) == getattr(whole(tmp_path), part), part
    assert set(seen.weights) == ({entry.tuned} if entry.tuned else set())


@ENTRIES
def test_the_key_changes_with_what_is_seen_and_with_nothing_else(entry: Entry, tmp_path: Path) -> None:
    def key(material: Material) -> str:
        return digest(encode(entry.seen(material)))

    assert set(CHANGES) == PARTS, "a part of the material has no change to test it by"
    usual = key(whole(tmp_path))
    seen = {"labels"} | entry.uses | ({"weights"} if entry.tuned else set())
    changed = {part for part, to in CHANGES.items() if key(dataclasses.replace(whole(tmp_path), **{part: to})) != usual}
    assert changed == seen


def test_the_tests_answers_are_seen_by_the_constant_alone() -> None:
    assert [key for key, entry in SYSTEMS.items() if "test_answers" in entry.uses] == ["majority"]
    assert SYSTEMS["majority"].kind == "constant"


@ENTRIES
def test_a_tuned_model_that_is_not_there_leaves_its_systems_out(entry: Entry, tmp_path: Path) -> None:
    without = dataclasses.replace(whole(tmp_path), weights={})
    assert entry.has_what_it_needs(whole(tmp_path))
    assert entry.has_what_it_needs(without) == (entry.tuned is None)
    if entry.needs is not None:
        nothing: dict[str, Any] = dict.fromkeys(needed(entry), ())
        assert not entry.has_what_it_needs(dataclasses.replace(whole(tmp_path), **nothing))


def requests(folder: Path, keys: tuple[str, ...], change: Callable[[Material], Material] = lambda m: m) -> list[int]:
    """Return how many requests the model had after each of some Systems had learnt and answered."""
    engine, after = Scripted(), []
    for key in keys:
        tools = make_tools(folder, engine)
        SYSTEMS[key].learn(change(whole(folder)), tools).answer(["a", "b", "c"], tools.keep)
        after.append(engine.requests)
    return after


@pytest.mark.parametrize(
    ("keys", "after"),
    [
        # Three rows; the rendering is chosen by three scores for each of the two examples, and it is the usual one.
        (("few_shot", "few_shot_best"), [3, 9]),
        # The calibrated one asks for three inputs that say nothing besides.
        (("label_scoring", "label_scoring_calibrated"), [3, 6]),
        (("specialist_constrained", "specialist"), [3, 3]),
        (("zero_shot", "few_shot"), [3, 6]),
    ],
)
def test_systems_that_ask_the_same_share_what_was_asked(
    tmp_path: Path, keys: tuple[str, ...], after: list[int]
) -> None:
    assert requests(tmp_path, keys) == after


def test_a_specialist_that_writes_is_not_asked_twice(tmp_path: Path) -> None:
    def writes(material: Material) -> Material:
        return dataclasses.replace(material, answer_by="writing")

    assert requests(tmp_path, ("specialist_written", "specialist"), writes) == [3, 3]


def test_models_tuned_otherwise_do_not_share(tmp_path: Path) -> None:
    def writes(material: Material) -> Material:
        return dataclasses.replace(material, answer_by="writing")

    assert requests(tmp_path, ("tuned_on_examples", "trained_random", "specialist"), writes) == [3, 6, 9]


def test_what_shared_answers_took_counts_for_everyone_who_has_them(tmp_path: Path) -> None:
    engine = Scripted()
    first, second = make_tools(tmp_path, engine), make_tools(tmp_path, engine)
    for tools in (first, second):
        SYSTEMS["few_shot"].learn(whole(tmp_path), tools).answer(["a"], tools.keep)
    assert len(engine.generated) == 1 and first.keep.seconds == second.keep.seconds > 0


def test_what_is_only_a_bound_or_a_test_never_ships_by_itself() -> None:
    assert {key for key, entry in SYSTEMS.items() if not entry.ships} == {
        "majority",
        "copied_input",
        "specialist_unseen",
        "specialist_written",
        "specialist_constrained",
    }
