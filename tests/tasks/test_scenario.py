from __future__ import annotations

from typing import Any

import pytest

from metier.core.errors import UserError
from metier.tasks.scenario import MixtureFile, Scenario, ScenarioTask, check, of_one
from metier.tasks.task import Shared, Task


def task(name: str = "one", **changes: Any) -> Task:
    return Task.model_validate(
        {"name": name, "instruction": f"Do {name}.", "examples": [{"input": "a", "output": "b"}]} | changes
    )


def scenario(entry: dict[str, Any] | None = None, mixture: dict[str, Any] | None = None, **changes: Any) -> Scenario:
    """Two tasks; the second one asks for something."""
    tasks = {"one": ScenarioTask(), "two": ScenarioTask(**(entry or {}))}
    settings = MixtureFile(name="mine", tasks=tasks, **(mixture or {}))
    return Scenario(settings, {"one": task("one"), "two": task("two", **changes)})


@pytest.mark.parametrize(
    ("given", "key", "hint"),
    [
        (scenario(recipe="low-data"), "recipe: low-data", "metier run the task's own file"),
        (scenario(pool="pool.jsonl"), "pool", "name labelled rows with train:"),
        (scenario(recipe="low-data", pool="pool.jsonl"), "pool", "leave pool out"),
        (
            scenario({"synthetic": 9}, train="a.jsonl", train_use="instead"),
            "train_use: instead",
            "tasks.two.synthetic=0",
        ),
        (
            scenario(mixture={"synthetic": 9}, train="a.jsonl", train_use="instead"),
            "train_use: instead",
            "tasks.two.synthetic=0",
        ),
        (scenario({"select": 0.5}, selection={"rows": 3}), "selection has a budget", "give one of them"),
        (
            scenario({"select_synthetic": 0.5, "synthetic": 9}, selection={"share": 0.5}),
            "selection has a budget",
            "give one of them",
        ),
        (scenario({"select": 0.5}, selection={"tokens": 99}), "selection has a budget", "give one of them"),
        (
            scenario(prompt={"specialist_demonstrations": True}),
            "prompt.specialist_demonstrations",
            "run the task's own file",
        ),
    ],
)
def test_what_a_run_of_several_tasks_cannot_do_is_refused_with_task_and_key(
    given: Scenario, key: str, hint: str
) -> None:
    with pytest.raises(UserError) as caught:
        check(given)
    assert caught.value.message.startswith(f"task two: {key}")
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    "given",
    [
        scenario(),
        scenario({"select": 0.5}),
        scenario({"synthetic": 9}, train="a.jsonl"),
        scenario(selection={"rows": 3}),
        scenario(train="a.jsonl", train_use="instead"),
        scenario({"synthetic": 0}, train="a.jsonl", train_use="instead"),
    ],
)
def test_what_it_can_do_is_not_refused(given: Scenario) -> None:
    check(given)


def test_the_way_out_that_the_hint_names_is_one() -> None:
    check(scenario({"synthetic": 0}, {"synthetic": 9}, train="a.jsonl", train_use="instead"))


@pytest.mark.parametrize(
    ("changes", "synthetic"),
    [
        ({}, 400),
        ({"synthesis": {"inputs": 7}}, 7),
        ({"train": "a.jsonl"}, 400),
        ({"train": "a.jsonl", "train_use": "instead"}, 0),
        ({"recipe": "low-data", "pool": "p.jsonl"}, 0),
        ({"recipe": "low-data", "train": "a.jsonl"}, 0),
        ({"pool": "p.jsonl"}, 0),
    ],
)
def test_a_task_file_by_itself_is_a_scenario_of_one(changes: dict[str, Any], synthetic: int) -> None:
    own = task(seed=7, training={"epochs": 9}, **changes)
    found = of_one(own)
    assert found.alone and found.tasks == {"one": own}
    assert found.settings.to_write("one", labelled=True) == found.settings.to_write("one", labelled=False) == synthetic
    assert all(getattr(found.settings, key) == getattr(own, key) for key in Shared.model_fields)
    entry = found.settings.tasks["one"]
    assert entry == ScenarioTask(synthetic=synthetic), "all its pairs, as they are"


@pytest.mark.parametrize(
    ("own", "all_tasks", "labelled", "several"),
    [(None, 5, False, 5), (None, 5, True, 0), (3, 5, True, 3), (3, 5, False, 3), (0, 5, False, 0), (None, 0, False, 0)],
)
def test_how_much_is_written_for_a_task(own: int | None, all_tasks: int, labelled: bool, several: int) -> None:
    settings = scenario({"synthetic": own}, {"synthetic": all_tasks}).settings
    assert settings.to_write("two", labelled=labelled) == several


def test_a_changed_scenario_is_checked_and_holds_for_its_tasks() -> None:
    given = scenario()
    found = given.changed(seed=9, synthetic=5)
    assert {t.seed for t in found.tasks.values()} == {9} and found.settings.synthetic == 5
    assert found.each_changed(rows=3).settings.tasks["one"].rows == 3
    assert given.settings.seed == 0, "the scenario itself stays"
    for wrong in ({"seed": -1}, {"sede": 1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            given.changed(**wrong)
    with pytest.raises(ValueError, match="rows"):
        given.each_changed(rows=0)
