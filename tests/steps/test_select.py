"""What a selection's key depends on, and the choices that ask no model: at random, by the byte tokenizer's counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metier.core.errors import UserError
from metier.selection.pool import Pool
from metier.selection.select import Selected
from metier.steps import select as step
from metier.steps.select import choose, choose_control, open_task_pool, pool_of_pairs, select_pairs
from metier.tasks.task import Task
from tests.steps.made import alone, make_task, pairs_of, said, write_rows

STRATEGIES = ("k_center", "random", "stratified", "nearest", "facility_location", "length", "perplexity", "ifd")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METIER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def unchosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first row is chosen, whatever the strategy: only the key is looked at."""
    monkeypatch.setattr(step, "gather_material", lambda c, pool, inputs: None)
    monkeypatch.setattr(step, "select", lambda material, strategy: Selected((0,), 1, None, 0))


def task(folder: Path, **changes: Any) -> Task:
    selection = {"strategy": "random", "rows": 5} | changes.pop("selection", {})
    pool = write_rows(folder / "pool.jsonl", pairs_of("row", 30))
    return make_task(pool=pool, recipe="low-data", selection=selection, **changes)


def opened(folder: Path, given: Task) -> Pool:
    return open_task_pool(alone(folder, given)[0], given, [])


def key(folder: Path, given: Task) -> str:
    return choose(alone(folder, given)[0], given, opened(folder, given)).key


@pytest.mark.usefixtures("unchosen")
@pytest.mark.parametrize("changes", [{"epochs": 9}, {"method": "full"}, {"learning_rate": 0.5}])
def test_a_selection_by_gradients_depends_on_the_training_and_no_other_does(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    def differs(strategy: str) -> bool:
        usual = task(tmp_path, selection={"strategy": strategy})
        return key(tmp_path, usual) != key(tmp_path, usual.but(training=usual.training.but(**changes)))

    assert differs("less"), "it tunes the student before it takes gradients"
    assert [strategy for strategy in STRATEGIES if differs(strategy)] == []


@pytest.mark.usefixtures("unchosen")
@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"selection": {"rows": 6}}, True),
        ({"selection": {"strategy": "length"}}, True),
        ({"selection": {"encoder": "student"}}, True),
        ({"seed": 1}, True),
        ({"instruction": "Do it otherwise."}, True),
        ({"examples": [{"input": "other", "output": "billing"}]}, True),
        ({"selection": {"controls": ["pool"]}}, False),
        ({"evaluation": {"max_tokens": 3}}, False),
        ({"engine": {"concurrency": 3}}, False),
    ],
)
def test_what_the_key_depends_on(tmp_path: Path, changes: dict[str, Any], differs: bool) -> None:
    assert (key(tmp_path, task(tmp_path, **changes)) != key(tmp_path, task(tmp_path))) is differs


@pytest.mark.usefixtures("unchosen")
def test_a_file_of_inputs_counts_by_what_it_holds(tmp_path: Path) -> None:
    def with_inputs(name: str, text: str) -> str:
        (tmp_path / name).write_text(f'{{"input": "{text}"}}\n')
        return key(tmp_path, task(tmp_path, unlabelled=str(tmp_path / name)))

    first = with_inputs("one.jsonl", "where is it")
    assert with_inputs("two.jsonl", "where is it") == first, "another name, the same inputs"
    assert with_inputs("one.jsonl", "another") != first


def test_a_random_choice_keeps_to_its_budget_and_is_made_once(tmp_path: Path) -> None:
    given = task(tmp_path)
    pool = opened(tmp_path, given)
    c, _ = alone(tmp_path, given)
    done = choose(c, given, pool)
    chosen = done.value
    assert len(chosen.places) == len(chosen.selected) == 5 and chosen.pool_rows == 30
    assert chosen.region_rows is None and chosen.filled == 0
    assert list(chosen.selected) == pool.take(chosen.places)
    assert chosen.tokens == sum(len(f"{p.input}\n{p.output}") + 1 for p in chosen.selected)
    assert choose(c, given, pool).before and "selection: done before (5 rows)" in said(c)
    assert "chose 5 of 30 rows" in said(c)


def test_another_pool_is_another_choice(tmp_path: Path) -> None:
    given = task(tmp_path)
    before = key(tmp_path, given)
    write_rows(tmp_path / "pool.jsonl", pairs_of("other", 30))
    assert key(tmp_path, given) != before


def test_a_control_has_as_many_rows_and_others(tmp_path: Path) -> None:
    given = task(tmp_path)
    pool, (c, _) = opened(tmp_path, given), alone(tmp_path, given)
    chosen = choose(c, given, pool).value
    control = choose_control(c, given, pool, "random", chosen).value
    assert len(control.places) == 5 and control.places != chosen.places
    everything = choose_control(c, given, pool, "pool", chosen).value
    assert sorted(everything.places) == list(range(30)) and everything.region_rows == 30


def test_a_control_of_the_whole_pool_is_capped_and_says_so(tmp_path: Path) -> None:
    given = task(tmp_path, selection={"control_rows": 12})
    pool, (c, _) = opened(tmp_path, given), alone(tmp_path, given)
    done = choose_control(c, given, pool, "pool", choose(c, given, pool).value)
    assert len(done.value.places) == 12 and "pool: 12 of 30 rows (selection.control_rows)" in said(c)


def test_a_test_row_is_no_part_of_the_pool(tmp_path: Path) -> None:
    given = task(tmp_path)
    c, _ = alone(tmp_path, given)
    unwanted = pairs_of("row", 2)
    pool = open_task_pool(c, given, [row.input for row in unwanted])
    assert pool.rows == 28 and pool.dropped == {"test row": 2}
    assert "left out: 2 test row" in said(c)


def test_without_a_pool_there_is_nothing_to_open(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the task names no pool"):
        open_task_pool(alone(tmp_path, make_task())[0], make_task(), [])


def test_of_a_tasks_own_pairs_all_count_as_its_own(tmp_path: Path) -> None:
    given = make_task(selection={"strategy": "random", "share": 0.25})
    own, pool = pool_of_pairs(given, pairs_of("row", 8))
    assert own.selection.related_share == 1.0 and pool.instruction == "Do routing."
    c, _ = alone(tmp_path, given)
    kept, done = select_pairs(c, given, pairs_of("row", 8))
    assert len(kept) == 2 and list(kept) == [p for p in pairs_of("row", 8) if p in kept], "in their order"
    assert {p.instruction for p in kept} == {None}, "pairs stay as they were"
    assert done.value.pool_rows == 8


def test_a_budget_larger_than_the_pool_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="selection.rows=31, but the pool has 30 rows"):
        key(tmp_path, task(tmp_path, selection={"rows": 31}))
