"""How pairs are split and what a training step's key depends on; tuning itself is tested with the trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.core.records import Example
from metier.core.step import Work
from metier.data.mixture import MixedRow
from metier.steps import train as step
from metier.steps.train import EXAMPLE_EPOCHS, Trained, TrainingInputs, split_holdout, train, train_on_examples
from metier.tasks.settings import TrainingSettings
from metier.tasks.task import Task
from tests.steps.made import alone, changed, make_rows, make_task

ROWS = (
    MixedRow("routing", "example", "Do routing.", "I was charged twice.", "billing", 9),
    MixedRow("routing", "labelled", "Do routing.", "one", "billing", 9),
    MixedRow("routing", "synthetic", "Which team?", "two", "delivery", 9),
)


@pytest.fixture
def tuned(monkeypatch: pytest.MonkeyPatch) -> list[TrainingInputs]:
    """What the model was to be tuned with; nothing is tuned."""
    seen: list[TrainingInputs] = []

    def note(c: object, name: str, inputs: TrainingInputs, work: Work) -> Trained:
        seen.append(inputs)
        return Trained("adapter", len(inputs.pairs), 0, 0, 1, 0.1, 5, (), "asked", "answered")

    monkeypatch.setattr(step, "_train", note)
    return seen


def numbered(several: int) -> list[Example]:
    return [Example(str(i), "done") for i in range(several)]


@given(several=st.integers(0, 300), share=st.floats(0, 0.9), most=st.integers(1, 100), seed=st.integers(0, 9))
def test_a_split_leaves_nothing_out_and_holds_out_its_share(several: int, share: float, most: int, seed: int) -> None:
    settings, pairs = TrainingSettings(holdout_share=share, holdout_max=most), numbered(several)
    kept, held_out = split_holdout(pairs, settings, seed)
    assert sorted([*kept, *held_out], key=lambda pair: int(pair.input)) == pairs
    assert len(held_out) == min(round(several * share), most)
    assert split_holdout(pairs, settings, seed) == (kept, held_out)


@given(seed=st.integers(0, 99), answers=st.integers(1, 12))
def test_answers_to_the_same_input_are_on_the_same_side(seed: int, answers: int) -> None:
    pairs = [
        Example(pair.input if k % 2 else f" {pair.input}", str(k)) for pair in numbered(30) for k in range(answers)
    ]
    kept, held_out = split_holdout(pairs, TrainingSettings(holdout_share=0.2, holdout_max=40), seed)
    assert not {pair.input.strip() for pair in kept} & {pair.input.strip() for pair in held_out}
    assert len(kept) + len(held_out) == len(pairs) and 0 < len(held_out) <= min(40, 6 * answers)


def test_another_seed_holds_out_others() -> None:
    settings = TrainingSettings()
    assert split_holdout(numbered(100), settings, 0) != split_holdout(numbered(100), settings, 1)


def test_examples_are_never_held_out_and_every_row_keeps_its_wording(
    tmp_path: Path, tuned: list[TrainingInputs]
) -> None:
    done = train(alone(tmp_path, make_task())[0], make_task(), ROWS)
    (inputs,) = tuned
    assert inputs.own == (Example("I was charged twice.", "billing", instruction="Do routing."),)
    assert [pair.instruction for pair in inputs.pairs] == ["Do routing.", "Which team?"]
    assert inputs.shown == () and inputs.start is None
    assert step.weights_of(done).path == done.path / "adapter"


def test_where_examples_stay_in_the_prompt_rows_are_asked_with_them(
    tmp_path: Path, tuned: list[TrainingInputs]
) -> None:
    task = changed(make_task(), "prompt", specialist_demonstrations=True)
    train(alone(tmp_path, task)[0], task, ROWS)
    (inputs,) = tuned
    assert len(inputs.shown) == 2 and inputs.instruction == "Do routing."
    assert [pair.instruction for pair in inputs.pairs] == [None, "Which team?"]


def test_a_model_that_is_tuned_on_starts_from_the_first(tmp_path: Path, tuned: list[TrainingInputs]) -> None:
    c, _ = alone(tmp_path, make_task())
    first = train(c, make_task(), ROWS)
    second = train(c, make_task(), ROWS, name="training-routing", start=first)
    assert tuned[1].start == first.artifact("adapter") and second.key != first.key


def test_a_model_that_is_tuned_on_holds_out_what_the_first_was_not_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits: list[tuple[set[str], set[str]]] = []

    def note(c: object, name: str, inputs: TrainingInputs, work: Work) -> Trained:
        kept, held_out = step._split(inputs)
        splits.append(({pair.input for pair in kept}, {pair.input for pair in held_out}))
        return Trained("adapter", len(kept), len(held_out), 0, 1, 0.1, 5, (), "", "", tuple(held_out))

    monkeypatch.setattr(step, "_train", note)
    c, _ = alone(tmp_path, make_task())
    rows = [MixedRow(("one", "two")[i % 2], "labelled", "Do it.", f"row {i}", "billing", 9) for i in range(60)]
    own = [row for row in rows if row.task == "two"]
    train(c, make_task(), own, name="training-two", start=train(c, make_task(), rows))
    (first_kept, first_out), (kept, held_out) = splits
    assert len(first_out) == 6 and held_out == first_out & {row.input for row in own} != set()
    assert not first_kept & held_out and kept | held_out == {row.input for row in own}


def test_the_examples_alone_are_trained_on_ten_times(tmp_path: Path, tuned: list[TrainingInputs]) -> None:
    task = changed(make_task(), "training", epochs=2, holdout_share=0.3, learning_rate=0.01)
    train_on_examples(alone(tmp_path, task)[0], make_rows(task))
    (inputs,) = tuned
    assert inputs.settings.epochs == EXAMPLE_EPOCHS and inputs.settings.holdout_share == 0
    assert inputs.settings.learning_rate == 0.01, "the rest is as the task says"
    assert len(inputs.own) == 2 and inputs.pairs == () and inputs.instruction == "Do routing."


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"training": {"epochs": 9}}, True),
        ({"seed": 1}, True),
        ({"prompt": {"style": "plain"}}, True),
        ({"prompt": {"specialist_demonstrations": True}}, True),
        ({"engine": {"dtype": "float32"}}, True),
        ({"engine": {"concurrency": 2}}, False),
        ({"launch": {"processes": 2}}, False),
        ({"evaluation": {"limit": 3}}, False),
        ({"synthesis": {"inputs": 9}}, False),
    ],
)
def test_what_the_key_depends_on(
    tmp_path: Path, tuned: list[TrainingInputs], changes: dict[str, Any], differs: bool
) -> None:
    def key(task: Task) -> str:
        return train(alone(tmp_path, task)[0], task, ROWS).key

    assert (key(make_task(**changes)) != key(make_task())) is differs
