"""The answering steps with a scripted engine, and what their keys depend on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from metier.core.records import Example
from metier.core.step import Artifact
from metier.data.mixture import MixedRow
from metier.steps import answer
from metier.steps.answer import FIRST, LAST, answer_all, answers_of, is_wanted, material_of
from metier.systems.registry import SYSTEMS
from metier.tasks.task import Task
from tests.steps.made import alone, changed, make_rows, make_task, pairs_of, said
from tests.systems.scripted import Scripted, input_of

TEST = pairs_of("test", 4)
FEW = {"baselines": ("few_shot", "zero_shot"), "timed_rows": 0}


def task(**evaluation: Any) -> Task:
    return make_task(evaluation=FEW | evaluation)


def key(folder: Path, given: Task, system: str = "few_shot", **material: Any) -> str:
    """Return the key of a System's step for a task."""
    c, _ = alone(folder, given)
    rows = make_rows(given, test=TEST)
    weights: dict[Any, Artifact] = {"task": Artifact("tuned", folder)}
    had = dataclasses.replace(material_of(c, rows, (), weights), **material)
    return answer.answer(c, rows, had, SYSTEMS[system]).key


@pytest.mark.parametrize(
    ("section", "changes", "system"),
    [
        ("evaluation", {"max_tokens": 5}, "few_shot"),
        ("evaluation", {"max_tokens": 5}, "zero_shot"),
        ("prompt", {"style": "plain"}, "few_shot"),
        ("engine", {"dtype": "float32"}, "few_shot"),
        ("engine", {"kind": "openai"}, "few_shot"),
        ("engine", {"served_model": "another"}, "few_shot"),
        ("evaluation", {"answer_by": "writing"}, "specialist"),
        ("evaluation", {"label_prior": "none"}, "specialist"),
    ],
)
def test_a_key_changes_with_what_changes_answers(
    tmp_path: Path, section: str, changes: dict[str, Any], system: str
) -> None:
    assert key(tmp_path, changed(task(), section, **changes), system) != key(tmp_path, task(), system)


def test_a_key_changes_with_the_examples_that_are_shown(tmp_path: Path) -> None:
    other = task().but(examples=[*task().examples[:1], {"input": "Where is it?", "output": "delivery"}])
    assert key(tmp_path, other) != key(tmp_path, task())


def test_a_key_changes_with_the_weights_the_instruction_the_seed_and_the_rows(tmp_path: Path) -> None:
    usual = key(tmp_path, task(), "specialist")
    assert key(tmp_path, task(), "specialist", weights={"task": Artifact("otherwise", tmp_path)}) != usual
    assert key(tmp_path, task().but(instruction="Do it."), "specialist") != usual
    assert key(tmp_path, task().but(seed=1), "specialist") != usual
    c, _ = alone(tmp_path, task())
    fewer = make_rows(task(), test=TEST, tested=TEST[:2])
    material = material_of(c, fewer, (), {"task": Artifact("tuned", tmp_path)})
    assert answer.answer(c, fewer, material, SYSTEMS["specialist"]).key != usual


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        ("engine", {"url": "http://elsewhere/v1"}),
        ("engine", {"concurrency": 3}),
        ("engine", {"timeout": 3}),
        ("engine", {"retries": 1}),
        ("engine", {"key_env": "OTHER"}),
        ("engine", {"memory_share": 0.5}),
        ("engine", {"tensor_parallel": 2}),
        ("launch", {"workers": 4}),
        ("evaluation", {"resamples": 200}),
        ("evaluation", {"timed_rows": 2}),
        ("prices", {"machine_hour": 1.0}),
        ("training", {"epochs": 9}),
        ("synthesis", {"inputs": 9}),
    ],
)
def test_a_key_does_not_change_with_what_changes_no_answer(
    tmp_path: Path, section: str, changes: dict[str, Any]
) -> None:
    assert key(tmp_path, changed(task(), section, **changes)) == key(tmp_path, task())


def test_the_tests_answers_change_the_constants_key_alone(tmp_path: Path) -> None:
    def keys(test: tuple[Example, ...]) -> dict[str, str]:
        c, _ = alone(tmp_path, task())
        rows = make_rows(task(), test=test)
        return {d.name: d.key for d in answer_all(c, rows, material_of(c, rows, (), {}), FIRST)[0]}

    before = keys(TEST)
    after = keys(tuple(Example(row.input, "billing") for row in TEST))
    assert before.keys() == after.keys() == {"answers-majority", "answers-zero_shot", "answers-few_shot"}
    assert {name for name in before if before[name] != after[name]} == {"answers-majority"}


def test_the_material_is_what_a_task_and_its_mixture_have(tmp_path: Path) -> None:
    c, _ = alone(tmp_path, task())
    rows = make_rows(task(), test=TEST, tested=TEST[1:3])
    mixed = [
        MixedRow("routing", origin, "Do routing.", origin, "billing", 3)
        for origin in ("example", "labelled", "synthetic", "pool", "generic")
    ]
    found = material_of(c, rows, mixed, {})
    assert found.labelled == (Example("labelled", "billing"),), "what was trained on, not what was read"
    assert found.synthetic == (Example("synthetic", "billing"),)
    assert found.examples == rows.examples and len(found.examples) == 2
    assert found.test_answers == tuple(row.output for row in TEST[1:3]), "of the rows that are compared"
    assert found.asked is not None and found.asked.model.key == "digest of the model"


def test_every_system_of_a_kind_answers_and_those_that_cannot_say_why(tmp_path: Path) -> None:
    given = make_task(
        evaluation={"baselines": ("few_shot", "label_scoring", "self_icl", "tfidf"), "timed_rows": 2},
        train="rows.jsonl",
    )
    engine = Scripted(write=lambda prompt, sample: " delivery" if "thing 7" in input_of(prompt) else " billing")
    c, _ = alone(tmp_path, given, engine)
    rows = make_rows(given, test=TEST)
    one_label = [MixedRow("routing", "labelled", "", f"row {i}", "billing", 3) for i in range(3)]
    material = material_of(c, rows, one_label, {})
    done, missing = answer_all(c, rows, material, FIRST)
    assert [d.name for d in done] == [
        "answers-majority",
        "answers-few_shot",
        "answers-label_scoring",
        "answers-label_scoring_calibrated",
    ]
    assert [(m.system, m.kind, m.why) for m in missing] == [("self_icl", "prompted", "there are no synthetic pairs")]
    assert done[1].value.answers.texts == ("billing", "delivery", "billing", "billing")
    late, missing = answer_all(c, rows, material, LAST)
    assert [d.name for d in late] == ["answers-tfidf_examples"]
    (one,) = missing
    assert (one.system, one.kind, one.why) == ("tfidf_train", "classic", "fewer than two labels to learn from")
    assert "few-shot" in said(c)


def test_what_a_step_took_is_told_with_its_answers(tmp_path: Path) -> None:
    c, _ = alone(tmp_path, task(timed_rows=3))
    rows = make_rows(task(timed_rows=3), test=TEST)
    done = answer.answer(c, rows, material_of(c, rows, (), {}), SYSTEMS["few_shot"])
    told = answers_of(done, learning_seconds=100.0)
    assert (told.system, told.title, told.kind) == ("few_shot", "prompted, few-shot", "prompted")
    assert told.learning_seconds >= 100 and told.seconds is not None and told.seconds > 0
    assert len(told.latencies) == 3, "as many rows as are timed"
    again = answer.answer(c, rows, material_of(c, rows, (), {}), SYSTEMS["few_shot"])
    assert again.before and answers_of(again, 100.0) == told


@pytest.mark.parametrize(
    ("changes", "key", "wanted"),
    [
        ({}, "majority", True),
        ({"labels": None}, "majority", False),
        ({}, "copied_input", False),
        ({"labels": None}, "copied_input", True),
        ({"labels": None}, "harper", False),
        ({"labels": None, "metric": "gleu"}, "harper", True),
        ({"labels": None, "metric": "sari"}, "harper", False),
        ({"labels": None, "metric": "sari"}, "replacements", True),
        ({"labels": None}, "replacements", False),
        ({}, "specialist_unseen", False),
        ({"unseen_wordings": ["Which?"]}, "specialist_unseen", True),
        ({"evaluation": {"baselines": ["tfidf"]}}, "few_shot", False),
        ({"evaluation": {"baselines": ["tfidf"]}}, "tfidf_train", True),
        ({"evaluation": {"baselines": ["tfidf"]}}, "specialist", True),
    ],
)
def test_which_systems_fit_a_task(changes: dict[str, Any], key: str, wanted: bool) -> None:
    assert is_wanted(SYSTEMS[key], make_task(**changes)) is wanted


def test_several_tasks_answer_in_folders_of_their_own(tmp_path: Path) -> None:
    c, _ = alone(tmp_path, task())
    rows = make_rows(task(), test=TEST)
    done = answer.answer(dataclasses.replace(c, alone=False), rows, material_of(c, rows, (), {}), SYSTEMS["few_shot"])
    assert done.path.parent == c.run.folder / "tasks" / "routing"
