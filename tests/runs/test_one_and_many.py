"""A task file's run and a scenario of that one task are the same run; a scenario honours what a task file does."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import yaml

from metier.cli import run_cli
from tests.runs.made import contents, facts_of, make_scenario, make_task, mixed, read_rows, scenario_of_run, write_rows

# What a mixture says for all its tasks; a task file says it itself.
SHARED = ("model", "engine", "training", "evaluation")


def as_scenario(task: Path, folder: Path) -> Path:
    """Write the scenario of one task file alone: what is said for all tasks in the mixture, the rest in the task's."""
    said = yaml.safe_load(task.read_text())
    folder.mkdir()
    inputs = said["synthesis"].pop("inputs")
    mixture = {"name": "alone", "tasks": {said["name"]: {"synthetic": inputs}}}
    mixture |= {key: said.pop(key) for key in SHARED}
    said["test"] = str(task.parent / said["test"])
    # A task that asks for so many pairs by itself may be asked for fewer by a mixture.
    said["synthesis"]["inputs"] = inputs
    (folder / f"{said['name']}.yaml").write_text(yaml.safe_dump(said))
    (folder / "mixture.yaml").write_text(yaml.safe_dump(mixture))
    return folder


@pytest.fixture(scope="module")
def scenario_of_the_task(task_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = as_scenario(task_run / "task.yaml", tmp_path_factory.mktemp("alone") / "scenario")
    assert run_cli(["run", str(folder), "--out", str(folder / "out"), "--quiet"]) == 0
    return folder / "out"


def test_a_scenario_of_one_task_takes_the_very_steps_of_its_task_file(
    task_run: Path, scenario_of_the_task: Path
) -> None:
    """Every step has the same key (so it was given the same) and the same bytes; it may lie in the task's folder."""
    alone = in_steps(contents(task_run / "out"))
    together = in_steps({name.removeprefix("tasks/tiny/"): b for name, b in contents(scenario_of_the_task).items()})
    assert {name for name in alone if name.startswith("mixture-")} and {n for n in alone if n.startswith("training-")}
    assert sorted(together) == sorted(alone)
    # A card says which run it is from.
    assert [name for name in alone if alone[name] != together[name] and name.split("/")[-1] not in CARD] == []


CARD = ("README.md", "metier.json")


def in_steps(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if "/" in name}


def test_and_comes_to_the_same_comparison(task_run: Path, scenario_of_the_task: Path) -> None:
    one, many = facts_of(task_run / "out"), facts_of(scenario_of_the_task / "tasks" / "tiny")
    assert one.judged is not None and many.judged is not None
    for field in ("rows", "baseline", "gain", "p_value", "verdict", "claims", "split", "sample", "worst", "by_label"):
        assert getattr(many.judged, field) == getattr(one.judged, field), field
    assert [(s.system, s.scores, s.gain, s.p_value) for s in many.judged.systems] == [
        (s.system, s.scores, s.gain, s.p_value) for s in one.judged.systems
    ]
    assert many.data == one.data and many.prompt == one.prompt and many.warnings == one.warnings
    assert many.training == one.training


def test_the_page_of_one_task_is_the_page_of_its_run(task_run: Path, scenario_of_the_task: Path) -> None:
    (outcome,) = scenario_of_run(scenario_of_the_task).outcome.tasks
    facts = facts_of(task_run / "out")
    assert facts.judged is not None and facts.judged.ours is not None
    assert outcome.specialist == facts.judged.ours.scores["exact_match"] and outcome.verdict == facts.verdict
    assert outcome.p_value == facts.judged.p_value and outcome.best.system == facts.judged.baseline


# --- what a scenario honours


SETTINGS = (
    "seeds=2",
    "evaluation.baselines=[few_shot, tuned_on_examples]",
    "evaluation.leakage=report",
    "evaluation.timed_rows=0",
)


@pytest.fixture(scope="module")
def asked_for_all(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a scenario with several seeds, tuned_on_examples, and rows that are twice, contradict, and leak."""
    folder = make_scenario(tmp_path_factory.mktemp("all") / "s", tiny_model)
    rows = read_rows(folder / "rows.jsonl")
    train = [row for row in rows if row["task"] == "mend" and row["split"] == "train"]
    test = [row for row in rows if row["task"] == "mend" and row["split"] == "test"]
    twice = train[0]
    contradicts = {**train[1], "references": ["something else altogether"]}
    leaks = {**test[0], "split": "train"}
    near = {**test[1], "split": "train", "input": test[1]["input"] + " again", "references": ["it came, again"]}
    write_rows(folder / "rows.jsonl", [*rows, twice, contradicts, leaks, near])
    assert run_cli(["run", str(folder), *SETTINGS, "--out", str(folder / "out")]) == 0
    return folder


def test_a_scenario_trains_every_seed_and_tells_their_spread(asked_for_all: Path) -> None:
    out = asked_for_all / "out"
    assert len(list(out.glob("training-*"))) == 2 and len(list(out.glob("mixture-*"))) == 1
    for name in ("mend", "shorten"):
        judged = facts_of(out / "tasks" / name).judged
        assert judged is not None and judged.seed_spread is not None
        assert [one.seed for one in judged.seeds] == [0, 1]
        assert "Trained with 2 seeds" in (out / "tasks" / name / "report.html").read_text()
        answered = {step.name for step in (out / "tasks" / name).glob("answers-specialist-*")}
        assert len(answered) == 2, "each seed's model answered"


def test_a_scenario_tunes_on_the_examples_alone_too(asked_for_all: Path) -> None:
    for name in ("mend", "shorten"):
        folder = asked_for_all / "out" / "tasks" / name
        assert len(list(folder.glob("tuned-on-examples-*/adapter"))) == 1
        judged = facts_of(folder).judged
        assert judged is not None
        row = next(s for s in judged.systems if s.system == "tuned_on_examples")
        assert row.kind == "tuned" and row.gain is not None


def test_a_scenario_warns_of_rows_that_are_twice_contradict_or_leak(asked_for_all: Path) -> None:
    warnings = facts_of(asked_for_all / "out" / "tasks" / "mend").warnings
    assert "train: 1 duplicate rows were left out" in warnings
    assert "train: 1 inputs have more than one answer" in warnings
    assert "test: 1 inputs are also among the examples or training rows" in warnings
    assert not facts_of(asked_for_all / "out" / "tasks" / "shorten").warnings


def test_a_scenario_prints_a_tasks_warnings_with_its_name(
    asked_for_all: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["synthesize", str(asked_for_all), *SETTINGS, "--out", str(asked_for_all / "out")]) == 0
    assert "warning: task mend: train: 1 duplicate rows were left out" in capsys.readouterr().err


def test_a_scenario_that_reports_leaks_trains_on_them_and_gives_the_gain_without(asked_for_all: Path) -> None:
    assert Counter(row["task"] for row in mixed(asked_for_all / "out")) == {"mend": 19, "shorten": 16}
    judged = facts_of(asked_for_all / "out" / "tasks" / "mend").judged
    assert judged is not None and judged.leaked_rows == 2 and judged.clean_gain is not None
    other = facts_of(asked_for_all / "out" / "tasks" / "shorten").judged
    assert other is not None and other.leaked_rows == 0 and other.clean_gain is None


@pytest.mark.parametrize(
    ("similarity", "left_out"), [(0.7, {"in a test": 1, "nearly in a test": 1}), (1.0, {"in a test": 1})]
)
def test_a_scenario_removes_what_is_as_similar_as_it_says(
    asked_for_all: Path, tmp_path: Path, similarity: float, left_out: dict[str, int]
) -> None:
    settings = [f"evaluation.leakage_similarity={similarity}", "training.epochs=1"]
    assert run_cli(["train", str(asked_for_all), *settings, "--out", str(tmp_path), "--quiet"]) == 0
    (made,) = tmp_path.glob("mixture-*/result.json")
    dropped = json.loads(made.read_text())["make_up"]["mend"]["dropped"]
    assert {reason: n for reason, n in dropped.items() if "test" in reason} == left_out


def test_a_task_file_and_a_scenario_read_the_same_settings(tiny_model: Path, tmp_path: Path) -> None:
    """`as_scenario` says all that the task file says: otherwise equal steps would be an accident of defaults."""
    from metier.tasks.read_scenario import load_scenario
    from metier.tasks.read_task import load_task

    task = make_task(tmp_path, tiny_model)
    scenario = load_scenario(as_scenario(task, tmp_path / "s") / "mixture.yaml")
    assert scenario.tasks["tiny"] == load_task(task)
