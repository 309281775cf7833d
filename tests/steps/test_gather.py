from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.core.errors import UserError
from metier.core.records import Example
from metier.data.pairs import NoRows
from metier.steps.gather import drawn, gather, read_labelled, read_test
from metier.steps.mix import mix_pairs, part_of
from metier.tasks.scenario import ScenarioTask, of_one
from tests.steps.made import alone, make_scenario, make_task, pairs_of, write_rows

ROWS = pairs_of("row", 40)


@given(st.integers(0, 60), st.none() | st.integers(1, 60), st.integers(0, 99))
def test_rows_are_drawn_by_the_seed_in_their_order(several: int, limit: int | None, seed: int) -> None:
    rows = pairs_of("row", several)
    found = drawn(rows, limit, seed)
    assert len(found) == min(several, several if limit is None else limit)
    assert list(found) == [row for row in rows if row in set(found)], "in the file's order"
    assert drawn(rows, limit, seed) == found


def test_a_limit_draws_from_the_whole_file_and_another_seed_draws_others(tmp_path: Path) -> None:
    def tested(seed: int, limit: int = 10) -> tuple[Example, ...]:
        task = make_task(test=write_rows(tmp_path / "t.jsonl", ROWS), evaluation={"limit": limit}, seed=seed)
        rows = gather(of_one(task))["routing"]
        assert rows.test == ROWS, "what is not compared is kept out of training all the same"
        return rows.tested

    assert tested(0) == tested(0) != tested(1)
    assert len(tested(0)) == 10 and tested(0) != ROWS[:10], "files are often sorted by label"
    assert tested(0, limit=99) == ROWS


def test_duplicates_and_conflicts_are_warned_of(tmp_path: Path) -> None:
    several = [*ROWS[:3], ROWS[0], Example(ROWS[1].input, "billing")]
    test = [("new", "billing"), ("new", "billing")]
    task = make_task(
        train=write_rows(tmp_path / "train.jsonl", several), test=write_rows(tmp_path / "test.jsonl", test)
    )
    rows = gather(of_one(task))["routing"]
    assert rows.warnings == (
        "train: 1 duplicate rows were left out",
        "train: 1 inputs have more than one answer",
        "test: 1 duplicate rows were left out",
    )
    assert len(rows.labelled) == 4 and len(rows.test) == 1


def test_corrections_of_a_run_are_trained_on_and_those_of_a_test_row_are_left_out_and_counted(tmp_path: Path) -> None:
    said = [(ROWS[0].input, "delivery"), (ROWS[0].input, "billing"), *((r.input, r.output) for r in ROWS[1:4])]
    lines = [
        json.dumps({"input": t, "answer": "delivery", "correction": c, "system": "s", "when": "w"}) for t, c in said
    ]
    (tmp_path / "feedback.jsonl").write_text("\n".join(lines))
    test = write_rows(tmp_path / "test.jsonl", ROWS[3:9])
    task = make_task(train=str(tmp_path / "feedback.jsonl"), train_use="instead", test=test)
    c, scenario = alone(tmp_path, task)
    rows = gather(scenario)
    assert rows["routing"].labelled == ROWS[:4]
    assert rows["routing"].warnings == (
        "train: 1 rows were left out, as their inputs were corrected later",
        "test: 1 inputs are also among the examples or training rows",
    )
    part = part_of(rows["routing"], ScenarioTask(), rows["routing"].labelled, ())
    mixed = mix_pairs(c, scenario, [part], rows).value
    assert {row.input for row in mixed.rows if row.origin == "labelled"} == {row.input for row in ROWS[:3]}
    assert mixed.make_up["routing"].dropped == {"in a test": 1}


def test_a_test_that_shares_inputs_with_training_is_warned_of(tmp_path: Path) -> None:
    task = make_task(
        train=write_rows(tmp_path / "train.jsonl", ROWS[:5]),
        test=write_rows(tmp_path / "test.jsonl", [*ROWS[4:9], ("I was charged twice.", "billing")]),
    )
    assert gather(of_one(task))["routing"].warnings == ("test: 2 inputs are also among the examples or training rows",)


def test_without_a_test_nothing_can_be_known(tmp_path: Path) -> None:
    rows = gather(of_one(make_task(train=write_rows(tmp_path / "train.jsonl", ROWS))))["routing"]
    assert rows.labelled == ROWS and rows.test == rows.tested == (), "a single task's rows are all trained on"
    assert rows.warnings == ("there is no test file: whether the specialist is better cannot be known",)


def test_of_several_tasks_one_without_a_test_file_has_inputs_held_out(tmp_path: Path) -> None:
    train = write_rows(tmp_path / "train.jsonl", ROWS)
    found = gather(make_scenario(make_task("one", train=train), make_task("two"), test_share=0.25))
    one = found["one"]
    assert (len(one.labelled), len(one.test)) == (30, 10) and set(one.labelled) | set(one.test) == set(ROWS)
    assert not {row.input for row in one.labelled} & {row.input for row in one.test}
    assert found["two"].labelled == found["two"].test == ()


def test_of_several_tasks_an_error_names_the_task_and_of_one_it_does_not(tmp_path: Path) -> None:
    bad = make_task("two", test=str(tmp_path / "none.jsonl"))
    with pytest.raises(UserError, match=r"^task two: .*none\.jsonl") as several:
        gather(make_scenario(make_task("one"), bad))
    with pytest.raises(UserError) as one:
        gather(of_one(bad))
    assert several.value.message == f"task two: {one.value.message}" and several.value.hint == one.value.hint


def test_a_label_that_is_none_of_the_tasks_is_told(tmp_path: Path) -> None:
    name = write_rows(tmp_path / "test.jsonl", [("a", "biling")])
    with pytest.raises(UserError, match=r"test\.jsonl:1: output: 'biling' is not one of the labels"):
        gather(of_one(make_task(test=name)))


def shared_file(folder: Path, **changes: Any) -> Any:
    name = write_rows(folder / "all.jsonl", ROWS)
    text = (folder / "all.jsonl").read_text().replace('"}\n', '", "task": "one"}\n')
    (folder / "all.jsonl").write_text(text)
    tasks = [make_task(t, train=name, train_where={"task": [t]}) for t in ("one", "two")]
    return make_scenario(*tasks, data=name, **changes)


def test_a_task_without_rows_in_the_shared_file_has_its_data_written(tmp_path: Path) -> None:
    scenario = shared_file(tmp_path, synthetic=100)
    one, two = (read_labelled(scenario, task) for task in scenario.tasks.values())
    assert one is not None and one.examples == ROWS and two is None
    nothing = shared_file(tmp_path)
    with pytest.raises(NoRows, match="no rows in it with task two"):
        read_labelled(nothing, nothing.tasks["two"])


def test_files_that_are_not_named_are_not_read() -> None:
    task = make_task()
    assert read_labelled(of_one(task), task) is None and read_test(task) is None
    assert gather(of_one(task))["routing"].examples == (
        Example("I was charged twice.", "billing"),
        Example("The parcel is late.", "delivery"),
    )


def test_unlabelled_inputs_are_drawn_by_the_seed_and_none_is_known_otherwise(tmp_path: Path) -> None:
    texts = [*(f"message {i}" for i in range(30)), "Message 3", "Is it  late"]
    lines = "".join(f'{{"input": "{text}"}}\n' for text in texts)
    (tmp_path / "inbox.jsonl").write_text(lines)
    (tmp_path / "test.jsonl").write_text('{"input": "is it late", "output": "delivery"}\n')
    settings = {"test": str(tmp_path / "test.jsonl"), "unlabelled": str(tmp_path / "inbox.jsonl")}

    def read(several: int = 500, seed: int = 0) -> tuple[str, ...]:
        task = make_task(**settings, seed=seed, synthesis={"unlabelled_rows": several})
        return gather(of_one(task))["routing"].unlabelled

    assert {text.lower() for text in read()} == {f"message {i}" for i in range(30)}
    assert len(read()) == 30
    assert read(9) == read(9) and len(read(9)) == 9
    assert read(9) != read(9, seed=1)
    (tmp_path / "inbox.jsonl").write_text('{"input": "Is it late"}\n')
    with pytest.raises(UserError, match="no input that is not in the examples"):
        read()


REWRITES: dict[str, Any] = {
    "labels": None,
    "metric": "sari",
    "examples": [{"input": "He go home.", "output": "He goes home."}],
    "synthesis": {"method": "damage"},
}


def test_real_text_to_damage_is_none_of_the_examples_rows_or_tests(tmp_path: Path) -> None:
    known = [("a test", "its answer"), ("He go home.", "He goes home.")]
    texts = [*(f"sentence {i}" for i in range(9)), "Sentence  3", "A test", "its answer", "He goes home."]
    (tmp_path / "clean.jsonl").write_text("".join(f'{{"text": "{text}"}}\n' for text in texts))
    test = write_rows(tmp_path / "test.jsonl", known)
    task = make_task(**REWRITES, test=test, unlabelled=str(tmp_path / "clean.jsonl"))
    found = gather(of_one(task))["routing"].unlabelled
    assert {text.lower().replace("  ", " ") for text in found} == {f"sentence {i}" for i in range(9)}
    (tmp_path / "clean.jsonl").write_text('{"text": "its answer"}\n')
    with pytest.raises(UserError, match="no real text to damage") as caught:
        gather(of_one(task))
    assert caught.value.hint is not None and "unlabelled:" in caught.value.hint


def test_without_a_file_the_answers_of_labelled_rows_are_damaged(tmp_path: Path) -> None:
    test = write_rows(tmp_path / "test.jsonl", [("tested", "answer 2")])
    train = write_rows(tmp_path / "train.jsonl", [(f"row {i}", f"answer {i}") for i in range(4)])
    found = gather(of_one(make_task(**REWRITES, test=test, train=train)))["routing"].unlabelled
    assert sorted(found) == ["answer 0", "answer 1", "answer 3"]
    with pytest.raises(UserError, match="synthesis.method: damage: there is no real text"):
        gather(of_one(make_task(**REWRITES, test=test)))


def test_only_a_task_that_rewrites_damages_text(tmp_path: Path) -> None:
    task = make_task(**REWRITES | {"metric": "rouge_l"}, train=write_rows(tmp_path / "t.jsonl", [("a", "b")]))
    with pytest.raises(UserError, match="rouge_l does not compare answers with it") as caught:
        gather(of_one(task))
    assert caught.value.hint is not None and "gleu" in caught.value.hint


def test_rows_that_change_nothing_are_warned_of_where_the_task_is_to_rewrite(tmp_path: Path) -> None:
    train = write_rows(tmp_path / "train.jsonl", [(f"row {i}", f"row  {i}") for i in range(3)])
    test = write_rows(tmp_path / "test.jsonl", [("tested", "tested")])
    changing = write_rows(tmp_path / "changing.jsonl", [("tested", "tested"), ("one", "two")])

    def warned(**files: str) -> set[str]:
        task = make_task(**{key: value for key, value in REWRITES.items() if key != "synthesis"}, **files)
        return {said.partition(":")[0] for said in gather(of_one(task))["routing"].warnings if "changes" in said}

    assert warned(train=train, test=test) == {"train", "test"}
    assert warned(train=changing, test=test) == {"test"} and warned(train=train, test=changing) == {"train"}
    labels = make_task(test=write_rows(tmp_path / "labels.jsonl", [("billing", "billing")]))
    assert not any("changes" in said for said in gather(of_one(labels))["routing"].warnings)
