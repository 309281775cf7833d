from __future__ import annotations

import json
from pathlib import Path

import pytest

from metier.core.errors import UserError
from metier.data.pairs import NoRows
from metier.steps.gather import read_labelled, read_test
from metier.tasks.read_scenario import copy_scenario, load_scenario, ready_scenarios, scenario_file

TASK = """\
name: {name}
instruction: Do {name}.
examples: [{{input: a, output: b}}]
metric: sari
train_where: {{task: {name}, split: [train, dev]}}
test_where: {{task: {name}, split: test}}
"""


def make(folder: Path, mixture: str, names: tuple[str, ...] = ("one", "two")) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.yaml").write_text(TASK.format(name=name))
    (folder / "mixture.yaml").write_text(mixture)
    return folder / "mixture.yaml"


def test_a_scenario_lays_its_settings_over_all_tasks(tmp_path: Path) -> None:
    path = make(
        tmp_path / "mine", "name: mine\nmodel: some-model\nseed: 7\ndata: rows.jsonl\ntasks: {one: , two: {rows: 5}}\n"
    )
    found = load_scenario(path, ["tasks.one.rows=3", "training.epochs=4"])
    assert {t.model for t in found.tasks.values()} == {"some-model"}
    assert all(t.seed == 7 and t.training.epochs == 4 for t in found.tasks.values())
    assert found.tasks["one"].train == str(tmp_path / "mine" / "rows.jsonl") == found.tasks["two"].test
    assert [entry.rows for entry in found.settings.tasks.values()] == [3, 5]


def test_a_file_on_the_command_line_is_found_from_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "mine", "name: mine\ntasks: {one: }\n")
    monkeypatch.chdir(tmp_path)
    assert load_scenario(path, ["data=rows.jsonl"]).tasks["one"].train == str(tmp_path / "rows.jsonl")


@pytest.mark.parametrize(
    ("mixture", "told"),
    [
        ("name: mine\ntasks: {}\n", "tasks: there are none"),
        ("name: mine\n", "tasks: is missing"),
        ("name: mine\ntasks: {one: {rows: 0}}\n", "mixture.yaml:2: tasks.one.rows"),
        ("name: mine\ntasks: {one: {row: 3}}\n", "no such key"),
        ("name: mine\ntasks: {oen: }\n", "task oen: there is no file"),
        ("name: mine\ntasks: {one: {select_synthetic: 0.5}}\n", "synthetic is 0"),
        ("name: mine\ngeneric: {data: a.jsonl, share: 1}\ntasks: {one: }\n", "generic.share"),
        ("name: mine\nadapters: two\ntasks: {one: }\n", "adapters"),
        ("[1, 2]\n", "expected a mapping"),
    ],
)
def test_bad_mixtures_are_explained(tmp_path: Path, mixture: str, told: str) -> None:
    with pytest.raises(UserError) as found:
        load_scenario(make(tmp_path / "mine", mixture))
    assert told in found.value.message


def test_a_file_of_all_tasks_that_no_task_takes_rows_from_is_told(tmp_path: Path) -> None:
    path = make(tmp_path / "mine", "name: mine\ndata: rows.jsonl\ntasks: {one: , two: }\n")
    lines = TASK.format(name="one").replace("train_where", "train: own.jsonl\ntrain_where")
    (path.parent / "one.yaml").write_text(lines)
    assert load_scenario(path).tasks["one"].train == str(path.parent / "own.jsonl")
    for name in ("one", "two"):
        plain = "".join(line for line in TASK.format(name=name).splitlines(keepends=True) if "_where" not in line)
        (path.parent / f"{name}.yaml").write_text(plain)
    with pytest.raises(UserError, match=r"mixture.yaml:2: data: no task takes rows from it") as found:
        load_scenario(path)
    assert found.value.hint is not None and "train_where" in found.value.hint
    with pytest.raises(UserError, match="data: no task takes rows from it"):
        load_scenario(path, ["data=other.jsonl"])


def test_a_setting_that_is_not_there_is_told_with_the_nearest() -> None:
    path = ready_scenarios()["writing"]
    with pytest.raises(UserError) as found:
        load_scenario(path, ["trainig.epochs=2"])
    assert found.value.hint == "did you mean training?"


def test_what_a_command_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "mine", "name: mine\ntasks: {one: }\n")
    monkeypatch.chdir(tmp_path)
    assert scenario_file(path) == path and scenario_file(path.parent) == path
    assert scenario_file(tmp_path / "mine" / "one.yaml") is None
    assert scenario_file(Path("writing")) == ready_scenarios()["writing"]
    (tmp_path / "writing").mkdir()  # what lies here comes first
    assert scenario_file(Path("writing")) is None


def test_the_hash_names_what_is_trained_and_not_how_it_is_run(tmp_path: Path) -> None:
    path = make(tmp_path / "mine", "name: mine\ntasks: {one: , two: }\n")
    plain = load_scenario(path).digest
    assert load_scenario(path, ["engine.batch_rows=3"]).digest == plain
    assert load_scenario(path, ["tasks.one.rows=3"]).digest != plain
    (path.parent / "one.yaml").write_text(TASK.format(name="one").replace("Do one", "Do it"))
    assert load_scenario(path).digest != plain


def test_some_tasks_alone(tmp_path: Path) -> None:
    found = load_scenario(make(tmp_path / "mine", "name: mine\ntasks: {one: , two: }\n"))
    assert list(found.only(["two"]).tasks) == ["two"]
    with pytest.raises(UserError, match="task 'three' is not in mine"):
        found.only(["three"])


def test_the_ready_scenario_has_seven_tasks_each_in_many_wordings() -> None:
    found = load_scenario(ready_scenarios()["writing"])
    assert len(found.tasks) == 7
    asked = [w for t in found.tasks.values() for w in (t.instruction, *t.wordings, *t.unseen_wordings)]
    assert len(set(asked)) == len(asked), "a wording that two tasks share would not say which is meant"
    for task in found.tasks.values():
        assert len(task.wordings) >= 8 and len(task.unseen_wordings) >= 2 and len(task.examples) >= 4
        assert json.loads(task.model_dump_json())["metric"] == task.main_metric


def test_the_ready_scenario_brings_rows_to_test_on_and_needs_none_to_train_on() -> None:
    found = load_scenario(ready_scenarios()["writing"])
    for task in found.tasks.values():
        test = read_test(task)
        assert test is not None and len(test.examples) == 14
        shown = {e.input for e in task.examples}
        assert not shown & {row.input for row in test.examples}
        assert any(row.input not in row.references for row in test.examples)
        assert read_labelled(found, task) is None
    unwritten = load_scenario(ready_scenarios()["writing"], ["synthetic=0"])
    with pytest.raises(NoRows, match="no rows in it with task grammar, split train"):
        read_labelled(unwritten, unwritten.tasks["grammar"])


def test_a_ready_scenario_can_be_copied_and_changed(tmp_path: Path) -> None:
    copied = load_scenario(copy_scenario("writing", tmp_path, "mine"))
    ready = load_scenario(ready_scenarios()["writing"])
    assert copied.settings.name == "mine" and copied.settings.data == str(tmp_path / "mine" / "rows.jsonl")
    assert list(copied.tasks) == list(ready.tasks)
    assert "metier run mine " in (tmp_path / "mine" / "mixture.yaml").read_text()
    for ready_name, name, told in [
        ("writing", "mine", "already exists"),
        ("writing", "a/b", "cannot be"),
        ("x", "y", "no"),
    ]:
        with pytest.raises(UserError, match=told):
            copy_scenario(ready_name, tmp_path, name)
