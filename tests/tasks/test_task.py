from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from metier.tasks.settings import (
    EngineSettings,
    EvaluationSettings,
    SelectionSettings,
    Settings,
    SynthesisSettings,
    TrainingSettings,
)
from metier.tasks.task import Task

GOOD = {"name": "routing", "instruction": "Do it.", "examples": [{"input": "a", "output": "b"}]}


@pytest.mark.parametrize(
    ("settings", "changes", "told"),
    [
        (TrainingSettings(), {"epochs": -3}, "epochs"),
        (TrainingSettings(), {"epoch": 3}, "epoch"),
        (TrainingSettings(), {"method": "qlora"}, "method"),
        (SynthesisSettings(), {"agreement": 1.5}, "agreement"),
        (EvaluationSettings(), {"baselines": ("few_shots",)}, "baselines"),
        (SelectionSettings(), {"related": "clusters", "related_share": 0.5}, "related_share"),
    ],
)
def test_a_changed_setting_is_checked_like_one_of_a_file(
    settings: Settings, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValidationError, match=told):
        settings.but(**changes)
    # The reason for `but`: pydantic's own copy takes anything.
    assert settings.model_copy(update=changes) is not None


def test_a_change_leaves_the_rest_and_the_settings_as_they_were() -> None:
    before = TrainingSettings(epochs=2, learning_rate=0.1)
    after = before.but(epochs=5)
    assert (after.epochs, after.learning_rate, before.epochs) == (5, 0.1, 2)
    assert type(after) is TrainingSettings and before.but() == before


@given(st.integers(-5, 2000))
def test_what_but_takes_is_what_a_file_may_say(epochs: int) -> None:
    def taken(make: Any) -> bool:
        try:
            return bool(make().epochs == epochs)
        except ValidationError:
            return False

    assert taken(lambda: TrainingSettings().but(epochs=epochs)) == taken(lambda: TrainingSettings(epochs=epochs))
    assert taken(lambda: TrainingSettings().but(epochs=epochs)) == (1 <= epochs <= 1000)


def test_a_tasks_parts_are_checked_together() -> None:
    task = Task.model_validate(GOOD)
    assert task.but(training=task.training.but(epochs=7)).training.epochs == 7
    for changes, told in (
        ({"labels": ("x", "y")}, "'b' is not one of labels"),
        ({"metric": "macro_f1"}, "needs labels"),
        ({"train_use": "instead"}, "there is no train file"),
        ({"unseen_wordings": ("Do it.",)}, "is trained on"),
        ({"unlabelled": "inbox.txt", "train": "rows.jsonl", "train_use": "instead"}, "the model answers no inputs"),
        ({"unlabelled": "inbox.txt", "synthesis": {"method": "self-guide"}}, "inputs that the model writes"),
        ({"unlabelled": "inbox.txt", "synthesis": {"check_pairs": False}}, "nothing reads them"),
        (
            {"labels": ("b", "c"), "synthesis": {"check_pairs": False, "pseudo_labels": False}},
            "nothing says which label",
        ),
        ({"labels": ("a", "b"), "synthesis": {"method": "damage"}}, "rewrite their input, and these have no labels"),
        (
            {"examples": [{"input": "right", "output": " right"}], "synthesis": {"method": "damage"}},
            "an example whose answer is not its input",
        ),
    ):
        with pytest.raises(ValidationError, match=told):
            task.but(**changes)


def test_text_to_damage_is_used_without_reading_pairs_again() -> None:
    given = {"unlabelled": "clean.txt", "synthesis": {"method": "damage", "check_pairs": False}}
    assert Task.model_validate(GOOD | given).unlabelled == "clean.txt"


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        TrainingSettings().epochs = 5  # type: ignore[misc]


def test_of_the_engine_only_what_changes_answers_counts() -> None:
    speed = EngineSettings(
        url="http://elsewhere", key_env="K", concurrency=2, timeout=1, retries=0, memory_share=0.1, tensor_parallel=4
    )
    assert speed.of_results() == EngineSettings()
    other = EngineSettings(kind="openai", served_model="m", api="chat", dtype="float32", device="cpu")
    assert other.of_results() == other
