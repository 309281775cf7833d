"""The whole way with a tiny model: it runs, repeats to the byte, and goes on wherever it was killed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metier.cli import run_cli

TASK = """\
name: tiny
instruction: Name the team.
labels: [billing, delivery]
examples:
  - {{input: I was charged twice, output: billing}}
  - {{input: the parcel is late, output: delivery}}
model: {model}
test: test.jsonl
engine: {{dtype: float32, device: cpu}}
synthesis:
  inputs: 24
  input_max_tokens: 12
  noise_filter: false
  near_duplicates: null
  output_max_tokens: 6
  output_samples: 4
  min_pairs: 1
training: {{epochs: 2, batch_size: 2, checkpoint_steps: 2, holdout_share: 0.2}}
evaluation: {{resamples: 200, max_tokens: 6, timed_rows: 2, demonstration_tokens: 128}}
"""
# Times, and what is drawn from them, differ from run to run; everything else must not.
VOLATILE = ("cost.json", "report.html", "result.json", ".lock", "events.out")


def make_task(folder: Path, model: Path, extra: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "task.yaml"
    path.write_text(TASK.format(model=model) + extra)
    rows = [{"input": f"case {i} charged", "output": "billing" if i % 2 else "delivery"} for i in range(10)]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def contents(run: Path) -> dict[str, bytes]:
    return {
        str(f.relative_to(run)): f.read_bytes()
        for f in sorted(run.rglob("*"))
        if f.is_file() and not any(mark in f.name for mark in VOLATILE)
    }


@pytest.fixture(scope="module")
def left_alone(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("run")
    assert run_cli(["run", str(make_task(folder, tiny_model)), "--out", str(folder / "out"), "--quiet"]) == 0
    return folder


def test_a_run_leaves_what_it_promises(left_alone: Path) -> None:
    out = left_alone / "out"
    (adapter,) = out.glob("training-*/adapter")
    names = {f.name for f in adapter.iterdir()}
    assert {
        "adapter_model.safetensors",
        "adapter_config.json",
        "README.md",
        "chat_template.jinja",
        "metier.json",
    } <= names
    assert (out / "report.html").exists()
    facts = json.loads((out / "result.json").read_text())
    systems = [s["system"] for s in facts["systems"]]
    assert systems == [
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
        "specialist_scoring",
        "specialist_scoring_calibrated",
        "specialist",
    ]
    (candidates,) = out.glob("synthesis-*/candidates.jsonl")
    rows = [json.loads(line) for line in candidates.read_text().splitlines()]
    assert len(rows) >= 24
    assert all(row["reason"] for row in rows if row["dropped_by"])
    assert not list(out.rglob("*.partial"))
    assert not list(out.rglob("checkpoint-*"))


def test_a_finished_run_does_nothing_again(left_alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(left_alone / "out")
    assert run_cli(["run", str(left_alone / "task.yaml"), "--out", str(left_alone / "out"), "--json"]) == 0
    told = capsys.readouterr()
    assert told.err.count("done before") == 5
    result = json.loads(told.out.strip().splitlines()[-1])
    assert result["verdict"] in ("better", "not shown to be better", "worse")
    assert set(result["seconds"]) == {"synthesis", "training", "baselines", "evaluation"}
    assert contents(left_alone / "out") == before


def test_killed_again_and_again_it_ends_with_the_same_bytes(left_alone: Path, tiny_model: Path, tmp_path: Path) -> None:
    """SIGKILL at the third write, then at the fourth of the next start, and so on, until the run comes to its end."""
    code = (
        "import os, signal, sys\n"
        "from metier import storage\n"
        "left = int(sys.argv.pop(1))\n"
        "write = storage.write_text\n"
        "def counted(path, text):\n"
        "    global left\n"
        "    left -= 1\n"
        "    if left == 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    write(path, text)\n"
        "storage.write_text = counted\n"
        "from metier.cli import run_cli\n"
        "sys.exit(run_cli(sys.argv[1:]))\n"
    )
    task = make_task(tmp_path, tiny_model)
    kills = 0
    while True:
        command = [sys.executable, "-c", code, str(3 + kills), "run", str(task), "--out", str(tmp_path / "out")]
        ended = subprocess.run([*command, "--quiet"], capture_output=True, text=True, check=False)
        if ended.returncode != -9:
            break
        kills += 1
        assert kills < 20, "it never ends"
    assert ended.returncode == 0, ended.stderr
    assert kills >= 4
    expected, found = contents(left_alone / "out"), contents(tmp_path / "out")
    assert set(found) == set(expected)
    differing = [name for name in expected if found[name] != expected[name] and name != "task.json"]
    assert {name: (expected[name][-2000:], found[name][-2000:]) for name in differing} == {}


def test_changed_training_does_not_repeat_synthesis(left_alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", str(left_alone / "task.yaml"), "training.epochs=1", "--out", str(left_alone / "out")]
    assert run_cli(arguments) == 0
    told = capsys.readouterr().err
    assert "synthesis: done before" in told
    assert "baselines: done before" in told
    assert "training: done before" not in told


def test_a_gate_that_is_not_met_ends_with_1(left_alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run_cli(["run", str(left_alone / "task.yaml"), "--out", str(left_alone / "out"), "--gate", "--quiet"])
    better = json.loads((left_alone / "out" / "result.json").read_text())["verdict"] == "better"
    assert code == (0 if better else 1)
    if not better:
        assert "--gate" in capsys.readouterr().err


def test_too_little_data_stops_before_training(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = make_task(tmp_path, tiny_model)
    out = tmp_path / "out"
    assert run_cli(["run", str(task), "synthesis.min_pairs=999", "--out", str(out), "--quiet"]) == 1
    told = capsys.readouterr().err
    assert "fewer than synthesis.min_pairs=999" in told
    assert "training was not started" in told
    assert "hint:" in told
    assert list(out.glob("synthesis-*/candidates.jsonl"))
    assert not list(out.glob("training-*"))


@pytest.mark.parametrize("recipe", ["self-guide", "backward"])
@pytest.mark.parametrize("labels", [True, False])
def test_every_recipe_runs_for_every_kind_of_task(tiny_model: Path, tmp_path: Path, recipe: str, labels: bool) -> None:
    task = make_task(tmp_path, tiny_model, f"recipe: {recipe}\n")
    overrides = ["synthesis.agreement=0.01", "synthesis.input_length_filter=false", "training.epochs=1"]
    if not labels:
        overrides += ["labels=null", "synthesis.output_length_filter=false"]
    if labels and recipe == "self-guide":
        # Random weights never write a label; two letters that they do write stand in for labels.
        overrides += ["synthesis.balance=false"]
    code = run_cli(["synthesize", str(task), *overrides, "--out", str(tmp_path / "out"), "--quiet"])
    (candidates,) = (tmp_path / "out").glob("synthesis-*/candidates.jsonl")
    rows = [json.loads(line) for line in candidates.read_text().splitlines()]
    kept = [row for row in rows if row["dropped_by"] is None]
    assert code == (0 if kept else 1)
    assert all(row["output"] for row in kept)
    assert all(row["reason"] for row in rows if row["dropped_by"])


def test_examples_that_do_not_fit_are_told(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = make_task(tmp_path, tiny_model)
    text = task.read_text()
    task.write_text(text.replace("the parcel is late", "the parcel is late " * 400))
    run_cli(["synthesize", str(task), "--out", str(tmp_path / "one")])
    assert "1 of 2 examples fit into a prompt" in capsys.readouterr().err
    task.write_text(text.replace("the parcel is late", "late " * 900).replace("I was charged twice", "twice " * 900))
    assert run_cli(["synthesize", str(task), "--out", str(tmp_path / "two")]) == 2
    assert "examples: none of the 2 fits half of the model's context of 1024" in capsys.readouterr().err


@pytest.mark.parametrize("recipe", ["self-guide", "backward"])
def test_five_hundred_examples_run(tiny_model: Path, tmp_path: Path, recipe: str) -> None:
    task = make_task(tmp_path, tiny_model, f"recipe: {recipe}\n")
    many = "".join(f"  - {{input: case {i} is late, output: delivery}}\n" for i in range(498))
    task.write_text(task.read_text().replace("model:", f"{many}model:", 1))
    code = run_cli(["synthesize", str(task), "synthesis.inputs=8", "--out", str(tmp_path / "out"), "--quiet"])
    assert code in (0, 1)
    assert list((tmp_path / "out").glob("synthesis-*/candidates.jsonl"))


def test_labelled_data_takes_the_place_of_synthesis(tiny_model: Path, tmp_path: Path) -> None:
    task = make_task(tmp_path, tiny_model, "train: train.jsonl\ntrain_use: instead\n")
    rows = [{"input": f"train {i}", "output": "billing" if i % 2 else "delivery"} for i in range(12)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run_cli(["run", str(task), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert not list((tmp_path / "out").glob("synthesis-*"))
    assert json.loads((tmp_path / "out" / "result.json").read_text())["kept_pairs"] == 12


def test_without_a_test_set_there_is_no_verdict(tiny_model: Path, tmp_path: Path) -> None:
    task = make_task(tmp_path, tiny_model)
    assert run_cli(["run", str(task), "test=null", "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert json.loads((tmp_path / "out" / "result.json").read_text())["verdict"] is None
    (mark,) = (tmp_path / "out").glob("training-*/adapter/metier.json")
    assert json.loads(mark.read_text())["recommended"] == "base"


def test_a_run_folder_that_cannot_be_made(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    code = run_cli(["run", str(make_task(tmp_path, tiny_model)), "--out", str(tmp_path / "file" / "out"), "--quiet"])
    assert code in (1, 2)
    assert "error:" in capsys.readouterr().err


def test_several_seeds_are_trained_and_their_spread_is_told(left_alone: Path, tmp_path: Path) -> None:
    shutil.copytree(left_alone, tmp_path / "copy")
    folder = tmp_path / "copy"
    assert run_cli(["run", str(folder / "task.yaml"), "seeds=3", "--out", str(folder / "out"), "--quiet"]) == 0
    facts = json.loads((folder / "out" / "result.json").read_text())
    assert set(facts["seed_scores"]) == {"0", "1", "2"}
    assert facts["seed_spread"] is not None
    assert len(list((folder / "out").glob("training-*"))) >= 3
    assert len(list((folder / "out").glob("synthesis-*"))) == 1


@pytest.mark.parametrize("leakage", ["report", "remove"])
def test_training_rows_that_are_test_rows_are_told_or_left_out(
    tiny_model: Path, tmp_path: Path, leakage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = "train: train.jsonl\ntrain_use: instead\n"
    task = make_task(tmp_path, tiny_model, extra)
    rows = [{"input": f"case {i} charged", "output": "billing" if i % 2 else "delivery"} for i in (0, 1)]
    rows += [{"input": f"something else number {i}", "output": "billing"} for i in range(20)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = [f"evaluation.leakage={leakage}", "evaluation.baselines=[few_shot]"]
    assert run_cli(["run", str(task), *settings, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    facts = json.loads((tmp_path / "out" / "result.json").read_text())
    assert any("2 rows are nearly the same as something trained on" in w for w in facts["warnings"])
    assert facts["kept_pairs"] == (22 if leakage == "report" else 20)
    assert facts["leaked_rows"] == (2 if leakage == "report" else 0)
    assert (facts["clean_gain"] is not None) == (leakage == "report")
    (leaks,) = (tmp_path / "out").glob("evaluation-*/leakage.jsonl")
    assert len(leaks.read_text().splitlines()) == facts["leaked_rows"]


def test_a_baseline_that_cannot_be_had_says_why(left_alone: Path, tmp_path: Path) -> None:
    shutil.copytree(left_alone, tmp_path / "copy")
    folder = tmp_path / "copy"
    arguments = [f"evaluation.encoder={folder}", "evaluation.baselines=[few_shot, encoder]"]
    assert run_cli(["run", str(folder / "task.yaml"), *arguments, "--out", str(folder / "out"), "--quiet"]) == 0
    facts = json.loads((folder / "out" / "result.json").read_text())
    (row,) = [s for s in facts["systems"] if s["system"].startswith("encoder")]
    assert row["scores"] == {} and "config.json" in row["note"]
    assert row["note"] in (folder / "out" / "report.html").read_text().replace("&#39;", "'")


def test_free_text_tasks_have_their_own_systems(tiny_model: Path, tmp_path: Path) -> None:
    task = make_task(tmp_path, tiny_model).read_text().replace("labels: [billing, delivery]\n", "metric: gleu\n")
    # The tiny model writes no pairs that end, so labelled ones stand in for them.
    (tmp_path / "task.yaml").write_text(task + "train: train.jsonl\ntrain_use: instead\n")
    labelled = [{"input": f"she go home on day {i}", "output": f"she goes home on day {i}"} for i in range(20)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in labelled))
    rows = [{"input": f"he go {i} times", "references": [f"he goes {i} times", "he goes"]} for i in range(6)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run_cli(["run", str(tmp_path / "task.yaml"), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    facts = json.loads((tmp_path / "out" / "result.json").read_text())
    systems = {s["system"]: s for s in facts["systems"]}
    assert {"copied_input", "harper", "specialist"} <= set(systems)
    assert "label_scoring" not in systems
    assert "labels" in systems["tfidf_synthetic"]["note"]
    assert "no synthetic pairs" in systems["self_icl"]["note"]
    assert facts["metrics"][0] == "gleu" and "copied_rate" in facts["metrics"]


def test_runs_are_compared(left_alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(left_alone / "out")
    assert run_cli(["compare", out, out, "--html", str(tmp_path / "page.html"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert found["lines"][0]["rows"] == 10
    assert found["pairings"][0]["gain"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert "Specialists on the same rows" in (tmp_path / "page.html").read_text()
    assert run_cli(["compare", str(tmp_path)]) == 2
    assert "there is no finished run in it" in capsys.readouterr().err


def test_a_row_beyond_the_context_is_counted_and_fails_nothing(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = make_task(tmp_path, tiny_model)
    with (tmp_path / "test.jsonl").open("a") as file:
        file.write(json.dumps({"input": "charged " * 3000, "output": "billing"}) + "\n")
    assert run_cli(["run", str(task), "--out", str(tmp_path / "out")]) == 0
    assert "1 rows do not fit the model's context" in capsys.readouterr().err
    facts = json.loads((tmp_path / "out" / "result.json").read_text())
    assert any("do not fit" in warning for warning in facts["warnings"])
    (answers,) = (tmp_path / "out").glob("baselines-*/answers.json")
    systems = json.loads(answers.read_text())["systems"]
    for name in ("zero_shot", "few_shot", "sampled_majority", "label_scoring", "label_scoring_calibrated"):
        assert len(systems[name]) == 11 and systems[name][-1] == "", name


def test_many_workers_and_processes_make_the_records_of_one(left_alone: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    task = str(left_alone / "task.yaml")
    assert run_cli(["run", task, "--out", out, "--quiet", "--launch", "ray:2", "--launch", "accelerate:2"]) == 0
    one, many = contents(left_alone / "out"), contents(tmp_path / "out")
    assert set(many) <= set(one)  # other tests have added to that folder
    # What is trained by two processes is the same to rounding, and so is what comes after it.
    before_training = [name for name in many if name.startswith(("synthesis-", "baselines-"))]
    assert len(before_training) > 5
    for name in before_training:
        assert_alike(json_of(one[name]), json_of(many[name]), name)
    (trained,) = (tmp_path / "out").glob("training-*/loss.json")
    losses = [
        [p["train"] or p["holdout"] for p in json.loads((run / trained.parent.name / "loss.json").read_text())]
        for run in (left_alone / "out", tmp_path / "out")
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


def test_a_launch_that_is_not_known_is_refused(left_alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["run", str(left_alone / "task.yaml"), "--launch", "slurm:2"]) == 2
    assert "accelerate:2" in capsys.readouterr().err


def json_of(content: bytes) -> Any:
    """Return what a JSON or JSON Lines file holds; other files as they are."""
    try:
        return [json.loads(line) for line in content.decode().splitlines()]
    except ValueError:
        return content


def assert_alike(one: Any, other: Any, where: str) -> None:
    """Fail unless both hold the same: numbers to rounding (other threads add up in another order), all else exactly."""
    if isinstance(one, float) and isinstance(other, float):
        assert one == pytest.approx(other, abs=1e-3), where
    elif isinstance(one, list) and isinstance(other, list):
        assert len(one) == len(other), where
        for a, b in zip(one, other, strict=True):
            assert_alike(a, b, where)
    elif isinstance(one, dict) and isinstance(other, dict):
        assert set(one) == set(other), where
        for key in one:
            assert_alike(one[key], other[key], f"{where}: {key}")
    else:
        assert one == other, where


def make_pool(folder: Path, rows: int = 60) -> None:
    pool = [{"prompt": f"Which team? charged {i}", "completion": "billing"} for i in range(rows // 2)]
    pool += [{"prompt": f"Translate the word {i}", "completion": f"mot {i}"} for i in range(rows // 2)]
    pool.append({"prompt": "case 3 charged", "completion": "billing"})  # a test row
    (folder / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pool))


LOW_DATA = """\
recipe: low-data
pool: pool.jsonl
selection: {rows: 6, clusters: 4, controls: [random, related, pool], control_rows: 20}
"""


def test_low_data_trains_on_part_of_a_pool_beside_its_controls(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = make_task(tmp_path, tiny_model, LOW_DATA)
    make_pool(tmp_path)
    out = tmp_path / "out"
    assert run_cli(["select", str(task), "--out", str(out)]) == 0
    told = capsys.readouterr().err
    assert "pool: 60 rows (left out: 1 test row)" in told and "chose 6 of 60 rows" in told
    (chosen,) = out.glob("selection-*/selected.jsonl")
    rows = [json.loads(line) for line in chosen.read_text().splitlines()]
    assert len(rows) == 6 and all(row["instruction"] == "" for row in rows)
    assert not list(out.glob("training-*"))
    assert run_cli(["run", str(task), "--out", str(out)]) == 0
    facts = json.loads((out / "result.json").read_text())
    systems = {s["system"] for s in facts["systems"]}
    assert {"trained_random", "trained_related", "trained_pool", "specialist"} <= systems
    assert [step["stage"] for step in facts["funnel"]] == ["rows to choose from", "the task's part", "chosen"]
    for rendered in out.glob("training-*/rendered.json"):
        assert "Name the team." not in json.loads(rendered.read_text())["prompt"]
    sizes = {
        p.parent.name.rpartition("-")[0]: json.loads(p.read_text())["outcome"] for p in out.glob("*/manifest.json")
    }
    assert sizes["selection-random"]["rows"] == 6 and sizes["selection-pool"]["rows"] == 20


def test_low_data_without_a_pool_or_with_one_that_is_too_small(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = make_task(tmp_path, tiny_model, "recipe: low-data\n")
    assert run_cli(["run", str(task), "--out", str(tmp_path / "out")]) == 2
    assert "names no pool" in capsys.readouterr().err
    make_pool(tmp_path)
    more = ["pool=pool.jsonl", "selection.rows=61", "--out", str(tmp_path / "out")]
    assert run_cli(["run", str(task), *more]) == 2
    assert "selection.rows=61, but the pool has 60 rows" in capsys.readouterr().err


def test_synthetic_pairs_are_selected_from_too(tiny_model: Path, tmp_path: Path) -> None:
    task = make_task(tmp_path, tiny_model, "selection: {rows: 1, clusters: 1}\n")
    assert run_cli(["run", str(task), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    facts = json.loads((tmp_path / "out" / "result.json").read_text())
    assert facts["kept_pairs"] == 1 < facts["funnel"][-2]["kept"]
    assert facts["funnel"][-1] == {"stage": "chosen", "kept": 1, "dropped": {}}


def test_a_study_runs_its_cells_once_and_goes_on(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = make_task(tmp_path, tiny_model, LOW_DATA)
    make_pool(tmp_path)
    more = ["--share", "0.1", "--strategy", "k_center", "--seeds", "2", "--out", str(tmp_path / "out")]
    assert run_cli(["study", str(task), "training.epochs=1", *more, "--html", str(tmp_path / "s.html")]) == 0
    found = json.loads((tmp_path / "out" / "study.json").read_text())
    names = [o["condition"]["name"] for o in found]
    assert names == [
        "no tuning",
        "random, 10%",
        "k_center, 10%",
        "all that count as the task's",
        "the whole pool",
    ]
    assert all(set(o["by_seed"]) == {"0", "1"} for o in found[1:]) and (tmp_path / "s.html").exists()
    trained = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("training-*/manifest.json")}
    more[1] = "0.2"
    assert run_cli(["study", str(task), "training.epochs=1", *more, "--share", "0.1"]) == 0
    assert {p: p.stat().st_mtime_ns for p in trained} == trained
    assert run_cli(["study", str(task), *more, "--wordings", "1"]) == 2
    assert "a pool's rows have their own instructions" in capsys.readouterr().err
    assert run_cli(["study", str(task), "--strategy", "best"]) == 2
    assert "'best' is not known" in capsys.readouterr().err


def test_a_study_of_labelled_rows_says_how_many_do_and_in_how_many_wordings(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = make_task(tmp_path, tiny_model, "wordings: [Say which team, Team please.]\n")
    more = ["--share", "0.5", "--seeds", "1", "--out", str(tmp_path / "out"), "training.epochs=1"]
    assert run_cli(["study", str(task), *more]) == 2
    assert "nothing to select from" in capsys.readouterr().err
    rows = [{"input": f"line {i} is down", "output": ("delivery", "billing")[i % 2]} for i in range(12)]
    tested = [json.loads(line) for line in (tmp_path / "test.jsonl").read_text().splitlines()]
    (tmp_path / "train.jsonl").write_text("\n".join(json.dumps(row) for row in [*rows, *tested]))
    more.append("train=train.jsonl")
    assert run_cli(["study", str(task), *more, "--wordings", "4"]) == 2
    assert "4 wordings, but the task has 3" in capsys.readouterr().err
    assert run_cli(["study", str(task), *more, "--wordings", "3", "--wordings", "1"]) == 0
    found = {o["condition"]["name"]: o for o in json.loads((tmp_path / "out" / "study.json").read_text())}
    assert list(found) == [
        "no tuning",
        "random, 50%, 1 wording",
        "random, 50%, 3 wordings",
        "k_center, 50%, 1 wording",
        "k_center, 50%, 3 wordings",
    ]
    assert {o["condition"]["rows"] for o in found.values()} == {0, 6}  # half of 12: no test row is among them
    assert found["k_center, 50%, 3 wordings"]["over_one"] is not None
    prompts = [json.loads(p.read_text())["prompt"] for p in (tmp_path / "out").glob("training-*/rendered.json")]
    asked = ("Name the team.", "Say which team", "Team please.")
    assert len(prompts) == 4 and all(any(wording in prompt for wording in asked) for prompt in prompts)
