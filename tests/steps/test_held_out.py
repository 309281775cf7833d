from __future__ import annotations

from collections.abc import Sequence

from metier.core.records import Example
from metier.data.likeness import folded
from metier.data.mixture import Mixed, MixedRow
from metier.steps.held_out import MOST_ROWS, held_out_rows
from metier.steps.train import Trained
from tests.steps.made import changed, make_rows, make_task

TASK = make_task(labels=None, metric="sari", examples=[{"input": "a", "output": "b"}])


def rows_of(several: int, name: str = "row") -> tuple[Example, ...]:
    return tuple(
        Example(f"{name} {i} speaks of thing {i * 7} and {name} {i * 31}", f"{name} {i} is about thing {i * 7}")
        for i in range(several)
    )


def mixed_of(rows: Sequence[Example], task: str = "routing") -> Mixed:
    return Mixed(tuple(MixedRow(task, "labelled", "Do it.", r.input, r.output, 9) for r in rows), {})


def trained(left_out: Sequence[Example] = ()) -> Trained:
    return Trained("adapter", 1, len(left_out), 0, 1, 0.1, 5, (), "", "", tuple(left_out))


def test_rows_that_were_not_trained_on_are_held_out_and_those_beyond_the_mixture() -> None:
    rows = rows_of(30)
    found = held_out_rows(
        {"routing": make_rows(TASK, rows)}, "routing", mixed_of(rows[:20]), trained([rows[3], rows[7]])
    )
    assert set(found) == {rows[3], rows[7], *rows[20:]}


def test_what_another_task_was_trained_on_is_not_held_out() -> None:
    rows = rows_of(10)
    other = make_task("other", labels=None, metric="sari", examples=[{"input": "a", "output": "b"}])
    mixed = Mixed((*mixed_of(rows[:4]).rows, *mixed_of([Example(rows[5].input.upper(), "x")], "other").rows), {})
    every = {"routing": make_rows(TASK, rows), "other": make_rows(other)}
    assert set(held_out_rows(every, "routing", mixed, trained())) == {*rows[4:5], *rows[6:]}


def test_a_row_whose_answer_was_trained_on_is_not_held_out() -> None:
    rows = rows_of(6)
    damaged = Example("something written from the answer", rows[4].output)
    mixed = mixed_of([*rows[:3], damaged])
    assert set(held_out_rows({"routing": make_rows(TASK, rows)}, "routing", mixed, trained())) == {rows[3], rows[5]}


def test_no_test_row_is_ever_held_out_nor_what_is_nearly_one() -> None:
    rows = rows_of(8)
    nearly = f"{rows[6].input} again"
    test = (rows[4], Example("other", "an answer", others=(rows[5].output,)), Example(nearly, "x"))
    task = changed(TASK, "evaluation", leakage="report")
    every = {"routing": make_rows(task, rows, test)}
    assert set(held_out_rows(every, "routing", mixed_of(rows[:4]), trained())) == {rows[7]}


def test_as_many_as_the_test_at_most_drawn_by_the_seed() -> None:
    rows = rows_of(MOST_ROWS + 50)

    def drawn(seed: int) -> tuple[Example, ...]:
        return held_out_rows({"routing": make_rows(TASK.but(seed=seed), rows)}, "routing", mixed_of([]), trained())

    assert len({folded(row.input) for row in drawn(0)}) == MOST_ROWS
    assert drawn(0) == drawn(0) != drawn(1)


def test_a_task_that_does_not_rewrite_has_none() -> None:
    labels = {"routing": make_rows(make_task(), rows_of(5))}
    assert held_out_rows(labels, "routing", mixed_of([]), trained()) == ()
