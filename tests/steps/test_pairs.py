from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metier.core.records import Candidate
from metier.core.step import Done, Work, once
from metier.steps import pairs as step
from metier.steps.context import Context
from metier.steps.pairs import choose_pairs, write_pairs
from metier.steps.synthesize import Synthesis
from metier.tasks.scenario import of_one
from metier.tasks.task import Task
from tests.steps.made import alone, make_context, make_rows, make_scenario, make_task, pairs_of, said, write_rows

HALF = {"strategy": "random", "share": 0.5}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METIER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """For which tasks the model was to write, and how many inputs; nothing is written."""
    seen: list[tuple[str, int]] = []

    def note(c: Context, task: Task, several: int, unlabelled: tuple[str, ...]) -> str:
        seen.append((task.name, several))
        return "written"

    monkeypatch.setattr(step, "synthesize", note)
    return seen


def _written(inputs: Synthesis, work: Work) -> Synthesis:
    return inputs


def written(c: Context, several: int) -> Done[Synthesis]:
    """Return a synthesis step that kept some pairs."""
    found = Synthesis(tuple(Candidate(str(i), p.input, p.output) for i, p in enumerate(pairs_of("written", several))))
    return once(c.run, "synthesis", found, _written)


@pytest.mark.parametrize(
    ("changes", "several"),
    [
        ({}, 400),
        ({"synthesis": {"inputs": 7}}, 7),
        ({"train": "rows.jsonl"}, 400),
        ({"train": "rows.jsonl", "train_use": "instead"}, None),
        ({"recipe": "low-data", "pool": "pool.jsonl"}, None),
        ({"recipe": "low-data", "train": "rows.jsonl"}, None),
        ({"pool": "pool.jsonl"}, None),  # what is chosen from a pool is trained on alone
    ],
)
def test_how_much_is_written_for_a_task_by_itself(
    tmp_path: Path, asked: list[tuple[str, int]], changes: dict[str, Any], several: int | None
) -> None:
    task = make_task(**changes)
    c, scenario = alone(tmp_path, task)
    found = write_pairs(c, scenario, make_rows(task, pairs_of("row", 3) if task.train else ()))
    assert asked == ([] if several is None else [("routing", several)])
    assert (found is None) == (several is None)


@pytest.mark.parametrize(
    ("entry", "labelled", "several"),
    [({}, False, 50), ({}, True, 0), ({"synthetic": 9}, True, 9), ({"synthetic": 0}, False, 0)],
)
def test_how_much_is_written_for_one_of_several(
    tmp_path: Path, asked: list[tuple[str, int]], entry: dict[str, int], labelled: bool, several: int
) -> None:
    scenario = make_scenario(make_task("one"), make_task("two"), entries={"one": entry}, synthetic=50)
    c = make_context(tmp_path, scenario)
    write_pairs(c, scenario, make_rows(scenario.tasks["one"], pairs_of("row", 3) if labelled else ()))
    assert asked == ([("one", several)] if several else [])
    assert ("task one" in said(c)) == bool(several)


def chosen(folder: Path, task: Task, several: int = 0) -> step.TaskPairs:
    """Choose a task's pairs: ten labelled ones, and some that were written."""
    c, scenario = alone(folder, task)
    rows = make_rows(task, pairs_of("row", 10))
    return choose_pairs(c, scenario, rows, written(c, several) if several else None)


def test_without_a_selection_all_pairs_are_trained_on(tmp_path: Path) -> None:
    found = chosen(tmp_path, make_task(), 4)
    assert found.part.pairs == pairs_of("row", 10) and found.part.written == pairs_of("written", 4)
    assert found.part.origin == "labelled" and found.selection is None and found.pool is None


def test_a_budget_is_for_labelled_and_written_pairs_together(tmp_path: Path) -> None:
    found = chosen(tmp_path, make_task(selection=HALF), 10)
    part = found.part
    assert len(part.pairs) + len(part.written) == 10 and part.pairs and part.written
    assert set(part.pairs) <= set(pairs_of("row", 10)) and set(part.written) <= set(pairs_of("written", 10))
    assert found.selection is not None and found.selection.value.pool_rows == 20


def test_a_control_takes_the_place_of_the_choice(tmp_path: Path) -> None:
    task = make_task(selection=HALF)
    c, scenario = alone(tmp_path, task)
    rows = make_rows(task, pairs_of("row", 10))
    usual, control = (choose_pairs(c, scenario, rows, None, control).part for control in (None, "random"))
    assert len(control.pairs) == len(usual.pairs) == 5 and control.pairs != usual.pairs


def test_of_several_tasks_each_has_its_share_chosen(tmp_path: Path) -> None:
    one = make_task("one", selection={"strategy": "random"})
    scenario = make_scenario(one, entries={"one": {"select": 0.2, "select_synthetic": 0.5}}, synthetic=8)
    c = make_context(tmp_path, scenario)
    rows = make_rows(scenario.tasks["one"], pairs_of("row", 10))
    found = choose_pairs(c, scenario, rows, written(c, 8))
    assert (len(found.part.pairs), len(found.part.written)) == (2, 4)
    assert found.selection is not None and found.selection.value.pool_rows == 10


def test_a_pools_rows_are_trained_on_alone_and_its_test_rows_are_not(tmp_path: Path) -> None:
    pool = write_rows(tmp_path / "pool.jsonl", pairs_of("row", 20))
    task = make_task(recipe="low-data", pool=pool, selection={"strategy": "random", "rows": 18})
    c, scenario = alone(tmp_path, task)
    test = pairs_of("row", 2)
    found = choose_pairs(c, scenario, make_rows(task, test=test), None)
    assert found.part.origin == "pool" and found.part.written == () and found.synthesis is None
    assert len(found.part.pairs) == 18 and not {p.input for p in found.part.pairs} & {p.input for p in test}
    assert {p.instruction for p in found.part.pairs} == {""}, "a pool's rows say themselves what is wanted"
    assert of_one(task).settings.tasks["routing"].synthetic == 0
