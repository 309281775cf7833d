"""A scenario the whole way with a tiny model: mixture, adapters, reports, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from metier.cli import run_cli
from metier.core.records import Candidate, Verdict
from metier.report.scenario import verdicts
from metier.runs import run as driver
from metier.runs.mark import read_mark
from metier.synthesis.brief import Brief
from tests.runs.made import (
    COSTS,
    contents,
    cost,
    facts_of,
    make_scenario,
    mixed,
    scenario_of_run,
    steps,
)

# What is compared is beside the point, and so is how long it takes.
FEW = ("evaluation.baselines=[few_shot]", "evaluation.timed_rows=0", "evaluation.limit=2")


@pytest.fixture
def copy(scenario_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run's folder, to run something in."""
    shutil.copytree(scenario_run / "out", tmp_path / "out")
    return tmp_path / "out"


def test_a_scenario_leaves_what_it_promises(scenario_run: Path) -> None:
    out = scenario_run / "out"
    found = scenario_of_run(out)
    assert [t.name for t in found.outcome.tasks] == ["mend", "shorten"]
    for task in found.outcome.tasks:
        base, constant, tool = (task.best_of(kind) for kind in ("prompted", "constant", "classic"))
        assert base is not None and base.system in ("zero_shot", "few_shot")
        assert constant is not None and constant.system == "copied_input"
        assert tool is not None and tool.system == "replacements"
        assert tool.score > constant.score, '"come" is "came" in every row'
        assert task.rows == 8 and task.unseen is not None
    assert set(verdicts(found)) == {"mend", "shorten"} and all(verdicts(found).values())
    page = (out / "report.html").read_text()
    assert "What the mixture is made of" in page and "mend" in page and "<script" not in page
    (mark,) = out.glob("training-*/adapter/metier.json")
    assert set(read_mark(mark).tasks) == {"mend", "shorten"} and read_mark(mark).run == "tiny"
    assert (mark.parent / "README.md").read_text().startswith("---\n")
    for name in ("mend", "shorten"):
        assert (out / "tasks" / name / "report.html").exists()
        assert facts_of(out / "tasks" / name).name == name


def test_every_row_of_the_mixture_is_asked_in_a_wording_that_is_trained_on(scenario_run: Path) -> None:
    rows = mixed(scenario_run / "out")
    assert len(rows) == 32 and all(row["tokens"] > 0 for row in rows)
    assert Counter(row["origin"] for row in rows) == {"labelled": 32}
    for name in ("mend", "shorten"):
        asked = {row["instruction"] for row in rows if row["task"] == name}
        assert asked == {f"Do {name}.", f"Please do {name}.", f"Do the {name} now."}
    tested = tuple(str(i) for i in range(16, 24))
    assert not any(row["input"].endswith(tested) for row in rows)


def test_the_same_command_does_nothing_again(
    scenario_run: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = scenario_of_run(copy).outcome
    times = {step: (copy / step / "manifest.json").stat().st_mtime_ns for step in steps(copy)}
    assert run_cli(["run", str(scenario_run), "--out", str(copy), "--json"]) == 0
    captured = capsys.readouterr()
    assert "mixture: done before" in captured.err and captured.err.count("evaluation: done before") == 2
    assert {step: (copy / step / "manifest.json").stat().st_mtime_ns for step in steps(copy)} == times
    printed = json.loads(captured.out.splitlines()[-1])
    assert scenario_of_run(copy).outcome == before
    assert [t["name"] for t in printed["outcome"]["tasks"]] == ["mend", "shorten"] and printed["sentences"]


def test_the_gate_is_about_every_task(
    scenario_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = scenario_of_run(scenario_run / "out")
    command = ["run", str(scenario_run), "--gate", "--quiet", "--out", str(tmp_path)]

    def with_verdicts(*verdicts: Verdict) -> int:
        tasks = [dataclasses.replace(t, verdict=v) for t, v in zip(found.outcome.tasks, verdicts, strict=True)]
        facts = dataclasses.replace(found, outcome=dataclasses.replace(found.outcome, tasks=tuple(tasks)))
        monkeypatch.setattr(driver, "run", lambda *args, **more: driver.Outcome({}, facts))
        return run_cli(command)

    assert with_verdicts("better", "better") == 0
    assert with_verdicts("better", "not shown to be better") == 1
    assert "--gate: not every task was shown to be better" in capsys.readouterr().err


def test_its_tasks_are_runs_that_compare_takes(scenario_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(scenario_run / "out" / "tasks" / name) for name in ("mend", "shorten")]
    assert run_cli(["compare", *folders, "--json"]) == 0
    assert {line["task"] for line in json.loads(capsys.readouterr().out)["lines"]} == {"mend", "shorten"}


def test_a_guard_is_learnt_from_rows_that_were_not_trained_on_ships_and_rewrites(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = make_scenario(tmp_path / "s", tiny_model), str(tmp_path / "out")
    more = [
        {"task": "mend", "split": "train", "input": f"box {i} come {i * 7}", "references": [f"box {i} came {i * 7}"]}
        for i in range(40)
    ]
    with (folder / "rows.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in more)
    only = ["tasks={mend: {rows: 8}}", "training.epochs=1", "ship=specialist_guarded", *FEW]
    assert run_cli(["run", str(folder), *only, "--out", out, "--quiet"]) == 0
    facts = facts_of(tmp_path / "out" / "tasks" / "mend")
    assert facts.product is not None and facts.product.form == "guarded"
    assert facts.judged is not None and facts.judged.of("specialist_guarded") is not None
    draft = tmp_path / "draft.txt"
    draft.write_text("The parcel come late.\n")
    capsys.readouterr()
    assert run_cli(["rewrite", out, "--task", "mend", str(draft)]) == 0
    assert capsys.readouterr().out == "The parcel come late.\n", "a random model's rewriting is not taken"


def test_too_few_rows_to_choose_by_are_told_in_the_table(scenario_run: Path) -> None:
    judged = facts_of(scenario_run / "out" / "tasks" / "mend").judged
    row = judged.of("specialist_guarded") if judged is not None else None
    assert row is not None and row.scores == {}
    assert row.note is not None and "labelled rows were not trained on" in row.note


def test_one_adapter_a_task(scenario_run: Path, copy: Path) -> None:
    before = steps(copy)
    assert run_cli(["run", str(scenario_run), "adapters=each", *FEW, "--out", str(copy), "--quiet"]) == 0
    made = {step.rpartition("-")[0] for step in steps(copy) - before if step.startswith("training")}
    assert made == {"training-mend", "training-shorten"}
    assert scenario_of_run(copy).adapters == "each"
    for name in ("mend", "shorten"):
        (mark,) = copy.glob(f"training-{name}-*/adapter/metier.json")
        assert set(read_mark(mark).tasks) == {name}, "a model of one task is for no other"


def test_one_model_tuned_on_for_each_task(scenario_run: Path, copy: Path) -> None:
    """The models of the tasks go on from the one of all, which is not trained again."""
    from safetensors.numpy import load_file

    (began,) = copy.glob("training-??????????/adapter")
    arguments = ["adapters=one_then_each", *FEW, "--out", str(copy), "--quiet"]
    assert run_cli(["run", str(scenario_run), *arguments]) == 0
    assert list(copy.glob("training-??????????/adapter")) == [began]
    first = load_file(began / "adapter_model.safetensors")
    for name in ("mend", "shorten"):
        (went_on,) = copy.glob(f"training-{name}-*/adapter")
        last = load_file(went_on / "adapter_model.safetensors")
        assert first.keys() == last.keys()
        near = max(float(abs(first[k] - last[k]).max()) for k in first)
        far = max(float(abs(last[k]).max()) for k in last)
        assert 0 < near < far, "it went on from there, and it went"
    found = scenario_of_run(copy)
    assert found.adapters == "one_then_each"


def test_a_scenario_repeats_to_the_byte(scenario_run: Path, tmp_path: Path) -> None:
    assert run_cli(["run", str(scenario_run), "--out", str(tmp_path), "--quiet"]) == 0
    first, again = contents(scenario_run / "out"), contents(tmp_path)
    assert first.keys() == again.keys() and [name for name in first if first[name] != again[name]] == []


def test_rows_are_chosen_and_written_for_a_task(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_scenario(tmp_path / "s", tiny_model)
    for name in ("mend", "shorten"):
        with (folder / f"{name}.yaml").open("a") as file:
            file.write("selection: {encoder: student}\n")

    def written(brief: Brief, *rest: object) -> list[Candidate]:
        """Stand in for the model: random weights write no rewriting pairs that pass the filters."""
        assert (brief.instruction, brief.settings.inputs) == ("Do mend.", 24), "the other task has labelled rows"
        kept = [Candidate(f"{i}", f"they goes {i} times", f"they go {i} times") for i in range(10)]
        return [*kept, Candidate("10", "", dropped_by="empty", reason="it is empty")]

    monkeypatch.setattr("metier.steps.synthesize.write_candidates", written)
    arguments = ["tasks.mend.synthetic=24", "tasks.mend.select_synthetic=0.5", "tasks.mend.rows=4"]
    arguments += ["tasks.shorten.select=0.25", "training.epochs=1", "--out", str(tmp_path / "out"), "--quiet"]
    assert run_cli(["train", str(folder), *arguments]) == 0
    origins = Counter((row["task"], row["origin"]) for row in mixed(tmp_path / "out"))
    assert origins == {("mend", "labelled"): 4, ("mend", "synthetic"): 5, ("shorten", "labelled"): 4}
    assert {step.rpartition("-")[0] for step in steps(tmp_path / "out")} == {
        "tasks/mend/synthesis",
        "tasks/mend/selection",
        "tasks/shorten/selection",
        "mixture",
        "training",
    }


def test_weighing_edits_trains_other_weights(scenario_run: Path, copy: Path) -> None:
    assert run_cli(["train", str(scenario_run), "training.edit_weight=3", "--out", str(copy), "--quiet"]) == 0
    adapters = [path.read_bytes() for path in copy.glob("training-*/adapter/adapter_model.safetensors")]
    assert len(adapters) == 2 and adapters[0] != adapters[1]


def test_full_tuning_of_a_scenario(scenario_run: Path, tmp_path: Path) -> None:
    arguments = ["training.method=full", *FEW, "--out", str(tmp_path), "--quiet"]
    assert run_cli(["run", str(scenario_run), *arguments]) == 0
    (weights,) = tmp_path.glob("training-*/model/model.safetensors")
    assert scenario_of_run(tmp_path).tuning == "full" and (weights.parent / "metier.json").exists()


def test_a_task_without_a_test_holds_out_some_of_its_sources(tiny_model: Path, tmp_path: Path) -> None:
    """Rows with the same input are on the same side."""
    from metier.steps.gather import gather
    from metier.tasks.read_scenario import load_scenario

    folder = make_scenario(tmp_path / "s", tiny_model)
    text = (folder / "mend.yaml").read_text().replace("test_where: {task: mend, split: test}\n", "")
    (folder / "mend.yaml").write_text(text)
    rows = gather(load_scenario(folder / "mixture.yaml", ["test_share=0.25"]))
    assert len(rows["mend"].test) == 4 and len(rows["mend"].labelled) == 12 and len(rows["shorten"].test) == 8
    assert not {r.input for r in rows["mend"].test} & {r.input for r in rows["mend"].labelled}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["data=nowhere.jsonl"], "nowhere.jsonl: no such file"),
        (["tasks.mend.ratio=0.5"], "task shorten: it has no ratio"),
        (["tasks.mend.ratio=0.5", "tasks.shorten.ratio=0.4"], "add up to 1"),
        (["rows=1"], "too few for 2 tasks"),
        (["tokens=3"], "too few for a single row"),
        (["generic.data=generic.jsonl", "generic.share=2"], "generic.share"),
        (["--budget", "0.1s"], "does not fit 0 s"),
        (["prompt.specialist_demonstrations=true"], "asked without examples"),
    ],
)
def test_bad_input_is_the_users_mistake(
    scenario_run: Path, tmp_path: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["run", str(scenario_run), *arguments, "--out", str(tmp_path / "x"), "--quiet"]) == 2
    assert told in capsys.readouterr().err


def test_a_scenario_is_run_within_a_budget(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dear = dataclasses.replace(COSTS, example=5.0)  # so that training is most of it
    monkeypatch.setattr("metier.runs.calibrate.measure", lambda *args, **more: dear)
    folder, out = make_scenario(tmp_path, tiny_model), tmp_path / "out"
    assert run_cli(["plan", str(folder), *FEW, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out.splitlines()[-1])
    command = ["run", str(folder), *FEW, "--budget", f"{0.9 * plan['seconds']:.2f}s", "--out", str(out), "--quiet"]
    assert run_cli(command) == 0
    chosen = json.loads((out / "budget.json").read_text())
    assert 0 < len(mixed(out)) <= chosen["rows"] < plan["counts"]["pairs"]
    assert run_cli(command) == 0 and json.loads((out / "budget.json").read_text()) == chosen


def test_a_task_without_rows_is_named(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_scenario(tmp_path, tiny_model)
    text = (folder / "rows.jsonl").read_text().splitlines()
    (folder / "rows.jsonl").write_text("\n".join(line for line in text if '"mend"' not in line))
    assert run_cli(["run", str(folder), "--out", str(tmp_path / "out"), "--quiet"]) == 2
    told = capsys.readouterr().err
    assert "task mend: " in told and "there are no rows in it with task mend, split train" in told


@pytest.mark.parametrize(
    ("stage", "made"), [("synthesize", set()), ("select", set()), ("train", {"mixture", "training"})]
)
def test_a_stage_command_takes_a_scenario_as_far_as_its_step(
    scenario_run: Path, tmp_path: Path, stage: str, made: set[str]
) -> None:
    assert run_cli([stage, str(scenario_run), "--out", str(tmp_path), "--quiet"]) == 0
    assert {step.rpartition("-")[0] for step in steps(tmp_path)} == made
    assert not (tmp_path / "result.json").exists() and (tmp_path / "tasks" / "mend" / "task.json").exists()


def test_evaluate_stops_before_the_report_of_a_scenario(scenario_run: Path, copy: Path) -> None:
    (copy / "result.json").unlink()
    before = steps(copy)
    assert run_cli(["evaluate", str(scenario_run), "--out", str(copy), "--quiet"]) == 0
    assert steps(copy) == before and not (copy / "result.json").exists()


def test_a_scenarios_training_time_is_that_of_its_step(scenario_run: Path) -> None:
    found = scenario_of_run(scenario_run / "out")
    assert found.training_seconds == pytest.approx(cost(scenario_run / "out", "training"))
    assert found.writing_seconds == 0.0, "no pair was written"
