from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metier.core.records import Example
from metier.core.step import Done
from metier.data.mixture import Mixed
from metier.steps.gather import TaskRows
from metier.steps.mix import mix_pairs, part_of
from metier.tasks.scenario import Scenario, ScenarioTask
from metier.tasks.task import Task
from tests.steps.made import alone, changed, make_context, make_rows, make_scenario, make_task, pairs_of, said

LONG = "the old bridge over the river was closed to all cars in the spring of last year"


def mixture(folder: Path, scenario: Scenario, *rows: TaskRows) -> Done[Mixed]:
    """Mix the labelled rows of some tasks."""
    c = make_context(folder, scenario)
    parts = [part_of(r, scenario.settings.tasks[r.task.name], r.labelled, ()) for r in rows]
    done = mix_pairs(c, scenario, parts, {r.task.name: r for r in rows})
    assert "mixture: " in said(c)
    return done


def one(folder: Path, rows: TaskRows) -> Mixed:
    return mixture(folder, alone(folder, rows.task)[1], rows).value


def test_answers_of_a_labelled_task_are_not_dropped_because_the_label_is_in_a_test(tmp_path: Path) -> None:
    rows = make_rows(make_task(), pairs_of("train", 12), test=pairs_of("test", 6))
    found = one(tmp_path, rows)
    assert [row.origin for row in found.rows] == ["example"] * 2 + ["labelled"] * 12
    assert found.make_up["routing"].dropped == {}


@pytest.mark.parametrize(("metric", "left_out"), [("sari", 1), ("gleu", 1), ("rouge_l", 0)])
def test_answers_of_a_rewriting_test_are_not_trained_on(tmp_path: Path, metric: str, left_out: int) -> None:
    # Of a task whose answer is a form of its input, a test's answer is as good as its input.
    test = (Example("He go home.", "He goes home.", others=("He is going home.",)),)
    labelled = (Example("She go.", "he is  GOING home."), Example("We is.", "We are."))
    rows = make_rows(make_task(labels=None, metric=metric, examples=[{"input": "a", "output": "b"}]), labelled, test)
    assert one(tmp_path, rows).make_up["routing"].dropped == ({"in a test": 1} if left_out else {})


def test_examples_are_never_left_out_not_even_where_they_are_in_the_test(tmp_path: Path) -> None:
    task = make_task()
    rows = make_rows(task, pairs_of("train", 3), test=[Example(task.examples[0].input, "billing")])
    found = one(tmp_path, rows)
    assert [row.example for row in found.rows if row.origin == "example"] == [
        Example(e.input, e.output, instruction="Do routing.") for e in task.examples
    ]


def test_examples_are_not_trained_on_where_the_task_says_so(tmp_path: Path) -> None:
    rows = make_rows(changed(make_task(), "training", demonstrations=False), pairs_of("train", 3))
    assert {row.origin for row in one(tmp_path, rows).rows} == {"labelled"}


@pytest.mark.parametrize(("leakage", "kept"), [("remove", 3), ("report", 5)])
def test_what_is_in_a_test_or_nearly_is_removed_or_reported_as_the_task_says(
    tmp_path: Path, leakage: str, kept: int
) -> None:
    task = changed(make_task(), "evaluation", leakage=leakage)
    test = (Example(f"{LONG} again", "billing"), Example("exactly", "billing"))
    labelled = (Example(LONG, "billing"), Example("Exactly", "delivery"), *pairs_of("train", 3))
    found = one(tmp_path, make_rows(task, labelled, test))
    assert sum(row.origin == "labelled" for row in found.rows) == kept
    dropped = {"in a test": 1, "nearly in a test": 1} if leakage == "remove" else {}
    assert found.make_up["routing"].dropped == dropped


def test_rows_that_are_not_compared_are_kept_out_too(tmp_path: Path) -> None:
    rows = make_rows(make_task(), (Example("exactly", "billing"), *pairs_of("train", 2)), [Example("exactly", "a")], ())
    assert one(tmp_path, rows).make_up["routing"].dropped == {"in a test": 1}


def test_one_tasks_test_is_kept_out_of_all_tasks(tmp_path: Path) -> None:
    first, second = make_task("first"), make_task("second")
    scenario = make_scenario(first, second)
    shared = Example("exactly", "billing")
    rows = [
        make_rows(scenario.tasks["first"], pairs_of("first", 4), [shared]),
        make_rows(scenario.tasks["second"], (shared, *pairs_of("second", 4))),
    ]
    found = mixture(tmp_path, scenario, *rows).value
    assert found.make_up["second"].dropped == {"in a test": 1}
    assert shared.input not in {row.input for row in found.rows}


def test_tokens_are_counted_as_they_are_trained_on(tmp_path: Path) -> None:
    task = changed(make_task(), "training", demonstrations=False)
    (row,) = one(tmp_path, make_rows(task, [Example("a", "billing")])).rows
    assert row.tokens == len("Do routing.\n\nInput: a\nOutput: billing") + 1, "the end token counts"


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"seed": 1}, True),
        ({"evaluation": {"leakage": "report"}}, True),
        ({"evaluation": {"leakage_similarity": 0.5}}, True),
        ({"model": "another"}, False),  # its digest counts, and is the same here
        ({"training": {"epochs": 9}}, False),
        ({"evaluation": {"limit": 3}}, False),
        ({"engine": {"concurrency": 3}}, False),
    ],
)
def test_what_the_key_depends_on(tmp_path: Path, changes: dict[str, Any], differs: bool) -> None:
    def key(task: Task) -> str:
        rows = make_rows(task, pairs_of("train", 3), pairs_of("test", 3))
        return mixture(tmp_path, alone(tmp_path, task)[1], rows).key

    assert (key(make_task(**changes)) != key(make_task())) is differs


def test_a_part_is_what_the_task_and_the_mixture_say(tmp_path: Path) -> None:
    rows = make_rows(make_task(wordings=["Which team?"]))
    entry = ScenarioTask(rows=5, ratio=0.5, unchanged=0.1)
    part = part_of(rows, entry, pairs_of("a", 2), pairs_of("b", 1), pool=True)
    assert part.wordings == ("Do routing.", "Which team?") and part.origin == "pool"
    assert (part.rows, part.ratio, part.unchanged) == (5, 0.5, 0.1)
    assert part.examples == rows.examples and len(part.pairs) == 2 and len(part.written) == 1


def test_generic_rows_are_read_and_those_that_say_nothing_are_told_of(tmp_path: Path) -> None:
    file = tmp_path / "generic.jsonl"
    rows = [f'{{"instruction": "Say {i}.", "output": "thing {i}"}}\n' for i in range(20)]
    file.write_text("".join(rows) + '{"instruction": "Say nothing.", "output": ""}\n')
    scenario = make_scenario(make_task("one"), generic={"data": str(file), "share": 0.5})
    c = make_context(tmp_path, scenario)
    given = make_rows(scenario.tasks["one"], pairs_of("one", 4))
    found = mix_pairs(c, scenario, [part_of(given, ScenarioTask(), given.labelled, ())], {"one": given}).value
    assert sum(row.origin == "generic" for row in found.rows) == 6, "as many as the task's rows and examples"
    assert "1 rows with an empty side are left out" in said(c)


@pytest.mark.parametrize(("metric", "several"), [("sari", 2), ("rouge_l", 1)])
def test_a_task_that_rewrites_is_trained_on_every_answer(tmp_path: Path, metric: str, several: int) -> None:
    labelled = (Example("He go.", "He goes.", others=("He is going.",)),)
    rows = make_rows(make_task(labels=None, metric=metric, examples=[{"input": "a", "output": "b"}]), labelled)
    assert sum(row.origin == "labelled" for row in one(tmp_path, rows).rows) == several
