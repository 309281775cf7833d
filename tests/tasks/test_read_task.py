from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from metier.core.errors import UserError
from metier.tasks.read_task import load_task, task_json_schema, write_template

GOOD = """\
name: routing
instruction: Name the team.
labels: [positive, negative]
examples:
  - input: It was great.
    output: positive
  - {input: It was bad., output: negative}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "task.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load_task(write(folder, text), overrides)
    return f"{caught.value.message} {caught.value.hint or ''}"


def test_a_good_file_loads_with_its_recipe(tmp_path: Path) -> None:
    task = load_task(write(tmp_path, GOOD))
    assert task.labels == ("positive", "negative")
    assert task.main_metric == "exact_match"
    assert task.synthesis.method == "backward"


def test_the_users_own_settings_win_over_the_recipes(tmp_path: Path) -> None:
    task = load_task(write(tmp_path, GOOD + "recipe: self-guide\nsynthesis: {inputs: 7}\n"))
    assert task.synthesis.method == "self-guide"
    assert task.synthesis.inputs == 7
    assert task.synthesis.input_temperature == 0.7
    assert task.training.method == "full"
    assert task.prompt.specialist_demonstrations


def test_a_wrong_label_names_file_line_and_key(tmp_path: Path) -> None:
    told = refused(tmp_path, GOOD.replace("output: positive", "output: postive"))
    assert "task.yaml:6: examples[0].output: 'postive' is not one of labels [positive, negative]" in told


def test_an_unknown_key_is_refused_with_the_nearest(tmp_path: Path) -> None:
    told = refused(tmp_path, GOOD + "training:\n  epoch: 2\n")
    assert "task.yaml:9: training.epoch: no such key, did you mean 'epochs'?" in told


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    told = refused(tmp_path, GOOD + "seed: many\ntraining: {epochs: 0}\n")
    assert "task.yaml:8: seed" in told
    assert "task.yaml:9: training.epochs" in told


@pytest.mark.parametrize("labels", [["yes", "no"], ["on", "off"], ["1", "2"], ["1.0", "01"], ["true", "0x10"]])
def test_labels_stay_as_written(tmp_path: Path, labels: list[str]) -> None:
    text = (
        f"name: x\ninstruction: do\nlabels: [{', '.join(labels)}]\nexamples:\n  - {{input: 5, output: {labels[0]}}}\n"
    )
    task = load_task(write(tmp_path, text))
    assert task.labels == tuple(labels)
    assert task.examples[0].output == labels[0]
    assert task.examples[0].input == "5"


@given(st.lists(st.text(min_size=1).filter(lambda t: t.strip()), min_size=2, max_size=5, unique=True))
def test_any_label_survives(tmp_path_factory: pytest.TempPathFactory, labels: list[str]) -> None:
    data = {
        "name": "x",
        "instruction": "do",
        "labels": labels,
        "examples": [{"input": "a", "output": labels[0]}],
    }
    folder = tmp_path_factory.mktemp("labels")
    text = yaml.safe_dump(data, default_style='"', allow_unicode=True)
    assert load_task(write(folder, text)).labels == tuple(labels)


def test_labels_may_contain_each_other(tmp_path: Path) -> None:
    task = load_task(write(tmp_path, GOOD.replace("[positive, negative]", "[positive, not positive, negative]")))
    assert task.labels is not None
    assert "not positive" in task.labels


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "mapping"),
        ("- a\n- b\n", "mapping"),
        ("name: [a\n", "not YAML"),
        ("name: x\nname: y\n", "task.yaml:2: name: this key appears twice"),
        ("name: &a x\ninstruction: *a\n", "aliases are not allowed"),
        ("name: x\ninstruction: y\n", "examples: at least one is needed"),
        ("name: x\ninstruction: y\nexamples: []\n", "task.yaml:3: examples: at least one is needed"),
        (GOOD.replace("[positive, negative]", "[positive]"), "at least two"),
        (GOOD.replace("[positive, negative]", "[positive, positive]"), "'positive' is there twice"),
        (GOOD.replace("name: routing", "name: ../up"), "task.yaml:1: name"),
        (GOOD + "recipe: selfguide\n", "task.yaml:8: recipe"),
        (GOOD + "metric: acuracy\n", "task.yaml:8: metric"),
        ("instruction: y\nexamples: [{input: a, output: b}]\n", "name: is missing"),
    ],
)
def test_bad_files_are_explained(tmp_path: Path, text: str, told: str) -> None:
    assert told in refused(tmp_path, text)


def test_a_missing_file_a_folder_and_bad_bytes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_task(tmp_path / "nothing.yaml")
    with pytest.raises(UserError, match="is a folder"):
        load_task(tmp_path)
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"name: x\ninstruction: caf\xe9\n")
    with pytest.raises(UserError, match=r"latin.yaml:2: not UTF-8 \(byte 0xe9"):
        load_task(path)


def test_one_example_and_five_hundred_load(tmp_path: Path) -> None:
    head = "name: x\ninstruction: do\nexamples:\n"
    assert len(load_task(write(tmp_path, head + "  - {input: a, output: b}\n")).examples) == 1
    many = head + "".join(f"  - {{input: a{i}, output: b}}\n" for i in range(500))
    assert len(load_task(write(tmp_path, many)).examples) == 500


def test_overrides_win_and_are_checked(tmp_path: Path) -> None:
    task = load_task(write(tmp_path, GOOD), ["training.epochs=2", "synthesis.near_duplicates=null", "seed=7"])
    assert (task.training.epochs, task.synthesis.near_duplicates, task.seed) == (2, None, 7)
    assert "did you mean training.epochs?" in refused(tmp_path, GOOD, "training.epoch=2")
    assert "is not a setting" in refused(tmp_path, GOOD, "training")
    assert "(set on the command line): training.epochs" in refused(tmp_path, GOOD, "training.epochs=none")


def test_paths_are_those_beside_the_file(tmp_path: Path) -> None:
    task = load_task(write(tmp_path, GOOD + "test: data/test.jsonl\nmodel: ./my-model\n"))
    assert task.test == str(tmp_path / "data" / "test.jsonl")
    assert task.model == str(tmp_path / "my-model")


def test_the_template_loads_and_is_not_overwritten(tmp_path: Path) -> None:
    path = write_template(tmp_path, "my-task")
    assert load_task(path).name == "my-task"
    with pytest.raises(UserError, match="already exists"):
        write_template(tmp_path, "my-task")
    with pytest.raises(UserError, match="cannot be a name"):
        write_template(tmp_path, "../up")


def test_the_schema_refuses_unknown_keys() -> None:
    schema = task_json_schema()
    assert schema["additionalProperties"] is False
    assert {"name", "instruction", "examples"} <= set(schema["required"])


def test_a_metric_with_a_typo_gets_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "task.yaml"
    path.write_text("name: t\ninstruction: Do.\nmetric: sarri\nexamples: [{input: a, output: b}]\n")
    with pytest.raises(UserError, match=r"task.yaml:3: metric: 'sarri' is not known, did you mean 'sari'\?"):
        load_task(path)
