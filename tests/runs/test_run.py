"""The whole way of a task file with a tiny model: what a run leaves, what it shares with the next, what it refuses."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from metier.cli import run_cli
from metier.core.progress import Reporter
from metier.core.records import Interval
from metier.report.facts import RunFacts
from metier.runs import run as driver
from metier.runs.mark import read_mark
from tests.runs.made import (
    FEW,
    LOW_DATA,
    contents,
    facts_of,
    make_labelled,
    make_pool,
    make_task,
    mixed,
    read_rows,
    steps,
    write_rows,
)


@pytest.fixture
def copy(task_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to run something in."""
    shutil.copytree(task_run, tmp_path / "copy")
    return tmp_path / "copy"


def test_a_run_leaves_what_it_promises(task_run: Path) -> None:
    out = task_run / "out"
    (adapter,) = out.glob("training-*/adapter")
    assert {
        "adapter_model.safetensors",
        "adapter_config.json",
        "README.md",
        "chat_template.jinja",
        "metier.json",
    } <= {f.name for f in adapter.iterdir()}
    assert (out / "report.html").exists()
    facts = facts_of(out)
    assert facts.judged is not None
    assert [s.system for s in facts.judged.systems] == [
        "majority",
        "zero_shot",
        "few_shot",
        "few_shot_best",
        "sampled_majority",
        "self_icl",
        "label_scoring",
        "label_scoring_calibrated",
        "tuned_on_examples",
        "tfidf_examples",
        "tfidf_synthetic",
        "encoder_examples",
        "encoder_synthetic",
        "encoder_all",
        "specialist_written",
        "specialist_constrained",
        "specialist",
    ]
    (candidates,) = out.glob("synthesis-*/candidates.jsonl")
    rows = read_rows(candidates)
    assert len(rows) >= 48
    assert all(row["reason"] for row in rows if row["dropped_by"])
    assert not list(out.rglob("*.partial")) and not list(out.rglob("checkpoint-*"))


def test_every_step_is_a_folder_that_says_what_it_was_given(task_run: Path) -> None:
    names = Counter(step.rpartition("-")[0] for step in steps(task_run / "out"))
    assert {"synthesis", "mixture", "training", "tuned-on-examples", "evaluation", "asked"} <= set(names)
    assert names["asked"] > 1 and all(names[step] == 1 for step in ("synthesis", "mixture", "evaluation"))
    # The specialist answers the test rows, and the pairs that were held out from training.
    assert names["answers-specialist"] == 2 and names["answers-few_shot"] == 1
    for step in steps(task_run / "out"):
        manifest = json.loads((task_run / "out" / step / "manifest.json").read_text())
        assert step == f"{manifest['step']}-{manifest['key']}"
        assert all((task_run / "out" / step / file).exists() for file in manifest["files"])


def test_the_specialist_takes_the_likeliest_label(task_run: Path) -> None:
    facts = facts_of(task_run / "out")
    assert facts.judged is not None and facts.judged.by_label is not None and facts.judged.split is not None
    assert facts.judged.by_label.reliability, "likelihoods are probabilities"
    ours = [p for p in predictions(task_run / "out") if p["system"] == "specialist"]
    assert {p["prediction"] for p in ours} <= {"billing", "delivery"}


def test_answers_are_written_where_the_task_asks_for_it(copy: Path) -> None:
    arguments = ["evaluation.answer_by=writing", *FEW[:1], "--out", str(copy / "out"), "--quiet"]
    assert run_cli(["run", str(copy / "task.yaml"), *arguments]) == 0
    facts = facts_of(copy / "out")
    assert facts.judged is not None and facts.judged.by_label is not None
    assert not facts.judged.by_label.reliability
    found = predictions(copy / "out")
    ours, written = ([p["prediction"] for p in found if p["system"] == s] for s in ("specialist", "specialist_written"))
    assert ours == written


def test_a_finished_run_does_nothing_again(task_run: Path, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = copy / "out"
    before = contents(out)
    times = {step: (out / step / "manifest.json").stat().st_mtime_ns for step in steps(out)}
    assert run_cli(["run", str(task_run / "task.yaml"), "--out", str(out), "--json"]) == 0
    told = capsys.readouterr()
    for step in ("synthesis", "mixture", "training", "tuned-on-examples", "evaluation"):
        assert f"{step}: done before" in told.err
    result = json.loads(told.out.strip().splitlines()[-1])
    assert result["verdict"] in ("better", "not shown to be better", "worse")
    assert set(result["seconds"]) == {"synthesis", "training", "answers", "evaluation"}
    assert contents(out) == before
    assert {step: (out / step / "manifest.json").stat().st_mtime_ns for step in steps(out)} == times


def test_changed_training_does_not_repeat_synthesis(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = steps(copy / "out")
    arguments = ["training.epochs=1", *FEW[:1], "--out", str(copy / "out")]
    assert run_cli(["run", str(copy / "task.yaml"), *arguments]) == 0
    told = capsys.readouterr().err
    assert "synthesis: done before" in told and "mixture: done before" in told
    assert "training: done before" not in told
    made = Counter(step.rpartition("-")[0] for step in steps(copy / "out") - before)
    assert made["training"] == 1 and made["evaluation"] == 1
    assert not {name for name in made if name.startswith("answers-")} - {
        "answers-specialist",
        "answers-specialist_written",
        "answers-specialist_constrained",
    }


def judged_as(facts: RunFacts, gain: Interval, p_value: float, verdict: Any) -> RunFacts:
    assert facts.judged is not None
    judged = dataclasses.replace(facts.judged, gain=gain, p_value=p_value, verdict=verdict)
    return dataclasses.replace(facts, judged=judged)


@pytest.mark.parametrize(
    ("gain", "p_value", "verdict", "code"),
    [
        (Interval(20.0, 5.0, 35.0), 0.01, "better", 0),
        (Interval(20.0, 5.0, 35.0), 0.2, "not shown to be better", 1),
        (Interval(2.0, -5.0, 9.0), 0.6, "not shown to be better", 1),
        (Interval(-20.0, -35.0, -5.0), 0.01, "worse", 1),
    ],
)
def test_a_gate_ends_with_1_unless_the_specialist_is_better(
    task_run: Path,
    gain: Interval,
    p_value: float,
    verdict: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    facts = judged_as(facts_of(task_run / "out"), gain, p_value, verdict)
    monkeypatch.setattr(driver, "run", lambda *args, **more: driver.Outcome({"tiny": facts}, None))
    arguments = [str(task_run / "task.yaml"), "--out", str(tmp_path), "--quiet"]
    assert run_cli(["run", *arguments, "--gate"]) == code
    assert ("--gate: the specialist was not shown to be better" in capsys.readouterr().err) == (code == 1)
    assert run_cli(["run", *arguments]) == 0, "without --gate no verdict is a failure"


def test_too_little_data_stops_before_training(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(next((copy / "out").glob("training-*")))
    arguments = ["synthesis.min_pairs=999", "--out", str(copy / "out"), "--quiet"]
    assert run_cli(["run", str(copy / "task.yaml"), *arguments]) == 1
    told = capsys.readouterr().err
    assert "fewer than synthesis.min_pairs=999" in told and "training was not started" in told and "hint:" in told
    assert "candidates.jsonl" in told and not list((copy / "out").glob("training-*"))


RECIPES = {
    # Random weights never write a word that is a label; two characters that they do write stand in for labels.
    ("self-guide", True): ["labels=['|', '~']", "examples=[{input: ab, output: '|'}, {input: cd, output: '~'}]"],
    ("self-guide", False): ["labels=null", "synthesis.output_max_tokens=48"],
    ("backward", True): [],
    ("backward", False): ["labels=null", "synthesis.output_max_tokens=128"],
}


@pytest.mark.parametrize(("recipe", "labels"), RECIPES)
def test_every_recipe_writes_pairs_for_every_kind_of_task(
    tiny_model: Path, tmp_path: Path, recipe: str, labels: bool
) -> None:
    task = make_task(tmp_path, tiny_model, f"recipe: {recipe}\n")
    overrides = [
        "synthesis.input_max_tokens=96",
        "synthesis.agreement=0.01",
        "synthesis.input_length_filter=false",
        "synthesis.output_length_filter=false",
        "synthesis.balance=false",
        "test=null",
        *RECIPES[recipe, labels],
    ]
    assert run_cli(["synthesize", str(task), *overrides, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    (candidates,) = (tmp_path / "out").glob("synthesis-*/candidates.jsonl")
    rows = read_rows(candidates)
    kept = [row for row in rows if row["dropped_by"] is None]
    assert kept and all(row["output"] for row in kept)
    assert all(row["reason"] for row in rows if row["dropped_by"])
    if labels:
        assert {row["output"] for row in kept} <= {"|", "~", "billing", "delivery"}


@pytest.mark.parametrize("recipe", ["self-guide", "backward"])
def test_of_five_hundred_examples_a_prompt_shows_as_many_as_fit(
    tiny_model: Path, tmp_path: Path, recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run goes on with them: that no pair of eight is left is another matter."""
    task = make_task(tmp_path, tiny_model, f"recipe: {recipe}\n")
    many = "".join(f"  - {{input: case {i} is late, output: delivery}}\n" for i in range(498))
    task.write_text(task.read_text().replace("model:", f"{many}model:", 1))
    settings = ["synthesis.inputs=8", "synthesis.min_pairs=999"]
    assert run_cli(["synthesize", str(task), *settings, "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err
    (shown,) = re.findall(r"(\d+) of 500 examples fit into a prompt", told)
    assert 2 < int(shown) < 500
    (candidates,) = (tmp_path / "out").glob("synthesis-*/candidates.jsonl")
    assert len(read_rows(candidates)) >= 8 and "fewer than synthesis.min_pairs=999" in told


def test_examples_that_do_not_fit_are_told(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = make_task(tmp_path, tiny_model)
    text = task.read_text()
    task.write_text(text.replace("the parcel is late", "the parcel is late " * 400))
    run_cli(["synthesize", str(task), "synthesis.inputs=2", "--out", str(tmp_path / "one")])
    assert "1 of 2 examples fit into a prompt" in capsys.readouterr().err
    task.write_text(text.replace("the parcel is late", "late " * 900).replace("I was charged twice", "twice " * 900))
    assert run_cli(["synthesize", str(task), "--out", str(tmp_path / "two")]) == 2
    assert "examples: none of the 2 fits half of the model's context of 1024" in capsys.readouterr().err


def test_labelled_data_takes_the_place_of_synthesis(tiny_model: Path, tmp_path: Path) -> None:
    task = make_task(tmp_path, tiny_model, "train: train.jsonl\ntrain_use: instead\n")
    make_labelled(tmp_path)
    assert run_cli(["train", str(task), *FEW, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert not list((tmp_path / "out").glob("synthesis-*"))
    assert Counter(row["origin"] for row in mixed(tmp_path / "out")) == {"labelled": 12, "example": 2}


def test_labelled_data_is_mixed_with_what_the_model_writes(copy: Path) -> None:
    make_labelled(copy)
    assert (
        run_cli(
            [
                "train",
                str(copy / "task.yaml"),
                "train=" + str(copy / "train.jsonl"),
                *FEW,
                "--quiet",
                "--out",
                str(copy / "mixed"),
            ]
        )
        == 0
    )
    origins = Counter(row["origin"] for row in mixed(copy / "mixed"))
    assert origins["labelled"] == 12 and origins["synthetic"] > 0 and origins["example"] == 2


def test_a_stage_command_stops_after_its_step(task_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(task_run / "out", out)
    for path in out.glob("evaluation-*"):
        shutil.rmtree(path)
    for file in ("result.json", "report.html"):
        (out / file).unlink()
    before = steps(out)
    assert run_cli(["evaluate", str(task_run / "task.yaml"), "--out", str(out), "--quiet"]) == 0
    (made,) = steps(out) - before
    assert made.startswith("evaluation-") and not (out / "report.html").exists()
    assert run_cli(["report", str(task_run / "task.yaml"), "--out", str(out), "--quiet"]) == 0
    assert steps(out) == before | {made} and (out / "report.html").exists()


def test_without_a_test_set_there_is_no_verdict(copy: Path) -> None:
    assert run_cli(["run", str(copy / "task.yaml"), "test=null", "--out", str(copy / "out"), "--quiet"]) == 0
    facts = facts_of(copy / "out")
    assert facts.judged is None and facts.verdict is None
    assert any("there is no test file" in warning for warning in facts.warnings)
    (mark,) = (copy / "out").glob("training-*/adapter/metier.json")
    assert read_mark(mark).tasks["tiny"].ships == "specialist" and read_mark(mark).tasks["tiny"].verdict is None


def test_a_run_folder_that_cannot_be_made(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    where = tmp_path / "file" / "out"
    assert run_cli(["run", str(make_task(tmp_path, tiny_model)), "--out", str(where), "--quiet"]) == 1
    assert f"error: {where}: Not a directory" in capsys.readouterr().err


def test_a_folder_that_another_run_works_in_is_refused(task_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from metier.core.run_folder import open_run

    with open_run(task_run / "out"):
        assert run_cli(["run", str(task_run / "task.yaml"), "--out", str(task_run / "out"), "--quiet"]) == 2
    assert "another metier run is working in this folder" in capsys.readouterr().err


def test_several_seeds_are_trained_and_their_spread_is_told(copy: Path) -> None:
    arguments = ["seeds=2", *FEW[:1], "--out", str(copy / "out"), "--quiet"]
    assert run_cli(["run", str(copy / "task.yaml"), *arguments]) == 0
    facts = facts_of(copy / "out")
    assert facts.judged is not None and facts.judged.seed_spread is not None
    assert [one.seed for one in facts.judged.seeds] == [0, 1]
    assert len(list((copy / "out").glob("training-*"))) == 2 and len(list((copy / "out").glob("synthesis-*"))) == 1
    assert "Trained with 2 seeds" in (copy / "out" / "report.html").read_text()


@pytest.mark.parametrize("leakage", ["report", "remove"])
def test_training_rows_that_are_test_rows_are_told_or_left_out(tiny_model: Path, tmp_path: Path, leakage: str) -> None:
    task = make_task(tmp_path, tiny_model, "train: train.jsonl\ntrain_use: instead\n")
    rows = [{"input": f"case {i} charged", "output": "billing" if i % 2 else "delivery"} for i in (0, 1)]
    rows += [{"input": f"something else number {i}", "output": "billing"} for i in range(20)]
    write_rows(tmp_path / "train.jsonl", rows)
    settings = [f"evaluation.leakage={leakage}", *FEW]
    assert run_cli(["run", str(task), *settings, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    facts = facts_of(tmp_path / "out")
    assert facts.judged is not None
    reports = leakage == "report"
    left_out = "train: 2 pairs are, or nearly are, test rows and were left out"
    assert "test: 2 inputs are also among the examples or training rows" in facts.warnings
    assert (left_out in facts.warnings) == (not reports)
    assert facts.data.pairs_by_origin["labelled"] == (22 if reports else 20)
    assert facts.judged.leaked_rows == (2 if reports else 0)
    assert (facts.judged.clean_gain is not None) == reports
    (leaks,) = (tmp_path / "out").glob("evaluation-*/leakage.jsonl")
    assert [leak["row"] for leak in read_rows(leaks)] == ([0, 1] if reports else [])
    page = (tmp_path / "out" / "report.html").read_text()
    assert ("2 test rows are nearly the same as something the model was trained on" in page) == reports


def test_a_baseline_that_cannot_be_had_says_why(copy: Path) -> None:
    arguments = [f"evaluation.encoder={copy}", "evaluation.baselines=[few_shot, encoder]"]
    assert run_cli(["run", str(copy / "task.yaml"), *arguments, "--out", str(copy / "out"), "--quiet"]) == 0
    facts = facts_of(copy / "out")
    assert facts.judged is not None
    missing = [s for s in facts.judged.systems if s.system.startswith("encoder")]
    assert [s.system for s in missing] == ["encoder_examples", "encoder_synthetic", "encoder_all"]
    page = (copy / "out" / "report.html").read_text().replace("&#39;", "'")
    for row in missing:
        assert row.scores == {} and row.note is not None and "config.json" in row.note and row.note in page


def test_free_text_tasks_have_their_own_systems(tiny_model: Path, tmp_path: Path) -> None:
    task = make_task(tmp_path, tiny_model).read_text().replace("labels: [billing, delivery]\n", "metric: gleu\n")
    # The tiny model writes no pairs that end, so labelled ones stand in for them.
    (tmp_path / "task.yaml").write_text(task + "train: train.jsonl\ntrain_use: instead\n")
    labelled = ({"input": f"she go home on day {i}", "output": f"she goes home on day {i}"} for i in range(20))
    write_rows(tmp_path / "train.jsonl", labelled)
    tested = ({"input": f"he go {i} times", "references": [f"he goes {i} times", "he goes"]} for i in range(6))
    write_rows(tmp_path / "test.jsonl", tested)
    chosen = "evaluation.baselines=[few_shot, self_icl, label_scoring, tfidf, encoder, harper, replacements]"
    arguments = [chosen, "training.epochs=1", "--out", str(tmp_path / "out"), "--quiet"]
    assert run_cli(["run", str(tmp_path / "task.yaml"), *arguments]) == 0
    facts = facts_of(tmp_path / "out")
    assert facts.judged is not None
    systems = {s.system: s for s in facts.judged.systems}
    # Those that need labels are not for this task; self_icl is, and says why it could not be had.
    systems_there = {"copied_input", "few_shot", "self_icl", "harper", "replacements", "specialist"}
    assert set(systems) == systems_there | {"specialist_guarded"}
    assert systems["self_icl"].note == "there are no synthetic pairs"
    assert "a threshold is chosen on at least 30" in (systems["specialist_guarded"].note or "")
    assert facts.metrics[0] == "gleu" and "copied_rate" in facts.metrics


def test_a_row_beyond_the_context_is_counted_and_fails_nothing(copy: Path) -> None:
    with (copy / "test.jsonl").open("a") as file:
        file.write(json.dumps({"input": "charged " * 3000, "output": "billing"}) + "\n")
    asked = "evaluation.baselines=[zero_shot, few_shot, sampled_majority, label_scoring]"
    out = str(copy / "out")
    assert run_cli(["run", str(copy / "task.yaml"), asked, "--out", out, "--quiet"]) == 0
    facts = facts_of(copy / "out")
    assert "test: 1 rows do not fit the model's context: not asked, counted wrong" in facts.warnings
    long = {p["system"]: p for p in predictions(copy / "out") if len(p["input"]) > 10_000}
    for name in ("zero_shot", "few_shot", "sampled_majority", "label_scoring", "label_scoring_calibrated"):
        assert long[name]["prediction"] == "" and long[name]["score"] == 0.0, name
    assert facts.judged is not None and facts.judged.rows == 11


def predictions(out: Path) -> list[dict[str, Any]]:
    """Return what every System answered, as the run's newest evaluation has it."""
    facts = facts_of(out)
    assert facts.judged is not None and facts.judged.evaluation_folder is not None
    return read_rows(out / facts.judged.evaluation_folder / "predictions.jsonl")


# --- on many processes


def test_many_workers_and_processes_make_the_records_of_one(task_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    launch = ["--launch", "ray:2", "--launch", "accelerate:2"]
    arguments = ["evaluation.baselines=[few_shot]", "--out", str(out), "--quiet", *launch]
    assert run_cli(["run", str(task_run / "task.yaml"), *arguments]) == 0
    one, many = contents(task_run / "out"), contents(out)
    # What is trained by two processes is the same to rounding, and so is what comes after it.
    early = ("synthesis-", "mixture-", "answers-few_shot-", "answers-majority-")
    before_training = [name for name in many if name.startswith(early)]
    assert {name.partition("/")[0].rpartition("-")[0] + "-" for name in before_training} == set(early)
    for name in before_training:
        assert_alike(json_of(one[name]), json_of(many[name]), name)
    (trained,) = out.glob("training-*/losses.jsonl")
    losses = [
        [p["train"] or p["holdout"] for p in read_rows(run / trained.parent.name / "losses.jsonl")]
        for run in (task_run / "out", out)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


def test_a_launch_that_is_not_known_is_refused(task_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["run", str(task_run / "task.yaml"), "--launch", "slurm:2"]) == 2
    assert "accelerate:2" in capsys.readouterr().err


def json_of(content: bytes) -> Any:
    """Return what a JSON or JSON Lines file holds; other files as they are."""
    try:
        return [json.loads(line) for line in content.decode().splitlines()]
    except ValueError:
        pass
    try:
        return json.loads(content)
    except ValueError:
        return content


def assert_alike(one: Any, other: Any, where: str) -> None:
    """Fail unless both hold the same: numbers to rounding (other threads add up in another order), all else exactly.

    A digest of numbers that differ by rounding is another one, so digests are not looked at.
    """
    if isinstance(one, float) and isinstance(other, float):
        assert one == pytest.approx(other, abs=1e-3), where
    elif isinstance(one, list) and isinstance(other, list):
        assert len(one) == len(other), where
        for a, b in zip(one, other, strict=True):
            assert_alike(a, b, where)
    elif isinstance(one, dict) and isinstance(other, dict):
        assert set(one) == set(other), where
        for key in one:
            if key != "sha256":
                assert_alike(one[key], other[key], f"{where}: {key}")
    else:
        assert one == other, where


# --- rows that are chosen


def test_low_data_chooses_before_it_trains(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = make_task(tmp_path, tiny_model, LOW_DATA)
    make_pool(tmp_path)
    out = tmp_path / "out"
    assert run_cli(["select", str(task), "--out", str(out)]) == 0
    told = capsys.readouterr().err
    assert "pool: 60 rows (left out: 1 test row)" in told and "chose 6 of 60 rows" in told
    (chosen,) = out.glob("selection-*/selected.jsonl")
    rows = read_rows(chosen)
    assert len(rows) == 6 and all(row["instruction"] == "" for row in rows)
    assert not list(out.glob("training-*"))


def test_low_data_without_a_pool_or_with_one_that_is_too_small(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = make_task(tmp_path, tiny_model, "recipe: low-data\n")
    assert run_cli(["run", str(task), "--out", str(tmp_path / "out")]) == 2
    assert "names no pool" in capsys.readouterr().err
    make_pool(tmp_path)
    more = [f"pool={tmp_path / 'pool.jsonl'}", "selection.rows=61", "--out", str(tmp_path / "out")]
    assert run_cli(["run", str(task), *more]) == 2
    assert "selection.rows=61, but the pool has 60 rows" in capsys.readouterr().err


def test_synthetic_pairs_are_selected_from_too(copy: Path) -> None:
    arguments = ["selection.rows=1", "selection.clusters=1", *FEW, "--out", str(copy / "out"), "--quiet"]
    assert run_cli(["run", str(copy / "task.yaml"), *arguments]) == 0
    data = facts_of(copy / "out").data
    assert data.pairs_by_origin == {"example": 2, "synthetic": 1}
    there, chosen = data.selection_funnel[0], data.selection_funnel[-1]
    assert (chosen.stage, chosen.kept) == ("chosen", 1)
    assert there.kept == data.synthesis_funnel[-1].kept > 1


def test_a_run_in_python_is_a_run_of_the_command(task_run: Path, copy: Path) -> None:
    """`run` returns what it wrote down."""
    from metier.tasks.read_task import load_task
    from metier.tasks.scenario import of_one

    outcome = driver.run(of_one(load_task(task_run / "task.yaml")), copy / "out", Reporter(quiet=True))
    assert outcome is not None and outcome.scenario is None
    assert outcome.only == facts_of(copy / "out")


def test_real_inputs_without_answers_are_answered_and_told_apart(tiny_model: Path, tmp_path: Path) -> None:
    task = make_task(tmp_path, tiny_model, "unlabelled: inbox.jsonl\n")
    write_rows(
        tmp_path / "inbox.jsonl", [*({"text": f"the app {i} is slow"} for i in range(24)), {"text": "case 3 charged"}]
    )
    assert run_cli(["run", str(task), *FEW, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    data = facts_of(tmp_path / "out").data
    assert data.real_inputs == 24, "that of a test row is left out"
    assert data.synthesis_funnel[0].stage == "written or answered"
    (candidates,) = (tmp_path / "out").glob("synthesis-*/candidates.jsonl")
    kept = {row["input"] for row in read_rows(candidates) if row["id"].startswith("real.") and not row["dropped_by"]}
    trained = {row["input"] for row in mixed(tmp_path / "out")}
    assert kept and len(kept) == data.real_kept and kept <= trained
    assert "and answered 24 real inputs" in (tmp_path / "out" / "report.html").read_text()
