"""A scenario the whole way with a tiny model: mixture, training, reports, studies, and rewriting with what was made."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from metier.cli import run_cli
from tests.runs.test_run import contents

TASK = """\
name: {name}
instruction: Do {name}.
wordings: [Please do {name}., Do the {name} now.]
unseen_wordings: [Kindly do {name}.]
examples:
  - {{input: the parcel come late, output: the parcel came late}}
  - {{input: I was charge twice, output: I was charged twice}}
metric: {metric}
train_where: {{task: {name}, split: [train]}}
test_where: {{task: {name}, split: test}}
"""
MIXTURE = """\
name: tiny
model: {model}
data: rows.jsonl
tasks: {{mend: , shorten: {{unchanged: 0.5}}}}
engine: {{dtype: float32, device: cpu}}
training: {{epochs: 1, batch_size: 4, holdout_share: 0.2, demonstrations: false}}
evaluation: {{resamples: 200, max_tokens: 6, timed_rows: 1, baselines: [zero_shot, few_shot, replacements]}}
"""
WORDS = ("parcel", "order", "app", "page", "search", "month", "input", "answer")


def make(folder: Path, model: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, metric in (("mend", "gleu"), ("shorten", "sari")):
        (folder / f"{name}.yaml").write_text(TASK.format(name=name, metric=metric))
    rows = []
    for task in ("mend", "shorten"):
        for i in range(24):
            split = "train" if i < 16 else "test"
            thing = f"{WORDS[i % 8]} {WORDS[i // 8]}"
            rows.append(
                {
                    "task": task,
                    "split": split,
                    "input": f"the {task} {thing} come late {i}",
                    "references": [f"the {task} {thing} came late {i}"],
                }
            )
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    generic = [{"instruction": f"Say {w}", "input": "", "output": w} for w in (*WORDS, *(w * 2 for w in WORDS))]
    (folder / "generic.jsonl").write_text("".join(json.dumps(row) + "\n" for row in generic * 3))
    (folder / "mixture.yaml").write_text(MIXTURE.format(model=model))
    return folder


@pytest.fixture(scope="module")
def done(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a scenario and its finished run."""
    folder = make(tmp_path_factory.mktemp("scenario"), tiny_model)
    assert run_cli(["run", str(folder), "--out", str(folder / "out"), "--quiet"]) == 0
    return folder


def result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def test_a_scenario_leaves_what_it_promises(done: Path) -> None:
    out = done / "out"
    found = result(out)
    assert [t["name"] for t in found["outcome"]["tasks"]] == ["mend", "shorten"]
    for task in found["outcome"]["tasks"]:
        assert task["rows"] == 8 and task["base"]["system"] in ("zero_shot", "few_shot")
        assert task["constant"]["system"] == "copied_input" and task["cheap"]["system"] == "replacements"
        assert task["unseen"] is not None
        assert task["cheap"]["score"] > task["constant"]["score"]  # "come" is "came" in every row
    assert set(found["verdicts"]) == {"mend", "shorten"} and all(found["verdicts"].values())
    page = (out / "report.html").read_text()
    assert "What the mixture is made of" in page and "mend" in page and "<script" not in page
    (mark,) = out.glob("training-*/adapter/metier.json")
    assert set(json.loads(mark.read_text())["tasks"]) == {"mend", "shorten"}
    assert (mark.parent / "README.md").read_text().startswith("---\n")
    for name in ("mend", "shorten"):
        assert (out / "tasks" / name / "report.html").exists()


def test_every_row_of_the_mixture_is_asked_in_a_wording_that_is_trained_on(done: Path) -> None:
    (mixture,) = (done / "out").glob("mixture-*")
    rows = [json.loads(line) for line in (mixture / "mixture.jsonl").read_text().splitlines()]
    assert len(rows) == 32 and all(row["tokens"] > 0 for row in rows)
    for name in ("mend", "shorten"):
        asked = {row["instruction"] for row in rows if row["task"] == name}
        assert asked == {f"Do {name}.", f"Please do {name}.", f"Do the {name} now."}
    assert not any(row["input"].endswith(("16", "23")) for row in rows)


def test_the_same_command_does_nothing_again(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = result(done / "out")["outcome"]
    assert run_cli(["run", str(done), "--out", str(done / "out"), "--json"]) == 0
    captured = capsys.readouterr()
    assert "mixture: done before" in captured.err and captured.err.count("evaluation: done before") == 2
    printed = json.loads(captured.out.splitlines()[-1])
    assert printed["outcome"] == before and len(printed["sentences"]) == 2


def test_its_tasks_are_runs_that_compare_takes(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["compare", *(str(done / "out" / "tasks" / n) for n in ("mend", "shorten")), "--json"]) == 0
    assert {line["task"] for line in json.loads(capsys.readouterr().out)["lines"]} == {"mend", "shorten"}


@pytest.mark.parametrize(("adapters", "trained"), [("each", 2), ("one_then_each", 3)])
def test_one_adapter_a_task_and_one_tuned_on(done: Path, tmp_path: Path, adapters: str, trained: int) -> None:
    shutil.copytree(done / "out", tmp_path / "out")
    arguments = [f"adapters={adapters}", "--out", str(tmp_path / "out"), "--quiet"]
    assert run_cli(["run", str(done), *arguments]) == 0
    made = {
        path.parent.name.partition("-")[2].rpartition("-")[0] for path in (tmp_path / "out").glob("training-*/adapter")
    }
    assert {"mend", "shorten"} <= made and len(list((tmp_path / "out").glob("training*/adapter"))) == (
        trained if adapters == "one_then_each" else trained + 1
    )
    assert result(tmp_path / "out")["adapters"] == adapters


def test_tuned_on_weights_differ_from_those_they_began_with_and_from_those_of_the_base(
    done: Path, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file

    arguments = ["adapters=one_then_each", "training.epochs=2", "--out", str(tmp_path), "--quiet"]
    assert run_cli(["run", str(done), *arguments]) == 0
    (began,) = tmp_path.glob("training-??????????/adapter")
    (went_on,) = tmp_path.glob("training-mend-*/adapter")
    first, last = (load_file(folder / "adapter_model.safetensors") for folder in (began, went_on))
    assert first.keys() == last.keys()
    near = max(float(abs(first[k] - last[k]).max()) for k in first)
    far = max(float(abs(last[k]).max()) for k in last)
    assert 0 < near < far  # it went on from there, and went


def test_a_scenario_repeats_to_the_byte(done: Path, tmp_path: Path) -> None:
    assert run_cli(["run", str(done), "--out", str(tmp_path), "--quiet"]) == 0
    first, again = contents(done / "out"), contents(tmp_path)
    assert first.keys() == again.keys() and [name for name in first if first[name] != again[name]] == []


@pytest.mark.model
def test_rows_are_chosen_and_written_for_a_task(smollm2: Path, tmp_path: Path) -> None:
    folder = make(tmp_path / "s", smollm2)
    for name in ("mend", "shorten"):
        settings = "synthesis: {input_max_tokens: 32}\nselection: {encoder: student}\n"
        (folder / f"{name}.yaml").write_text((folder / f"{name}.yaml").read_text() + settings)
    arguments = ["tasks.mend.synthetic=24", "tasks.mend.select_synthetic=0.5", "tasks.mend.rows=4"]
    arguments += ["tasks.shorten.select=0.25", "evaluation.limit=1", "evaluation.baselines=[few_shot]"]
    assert run_cli(["run", str(folder), *arguments, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    (mixture,) = (tmp_path / "out").glob("mixture-*/make-up.json")
    made = json.loads(mixture.read_text())["tasks"]
    (written,) = (tmp_path / "out" / "tasks" / "mend").glob("synthesis-*/manifest.json")
    kept = json.loads(written.read_text())["outcome"]["kept"]
    assert kept >= 3 and made["shorten"]["rows"] == 4
    # k-centre's budget is a share of the pairs, rounded; none of those is a test row here.
    assert 4 < made["mend"]["rows"] <= 4 + round(kept * 0.5)


def test_weighing_edits_trains_other_weights(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done / "out", tmp_path / "out")
    arguments = ["training.edit_weight=3", "--out", str(tmp_path / "out"), "--quiet"]
    assert run_cli(["run", str(done), *arguments]) == 0
    adapters = [path.read_bytes() for path in (tmp_path / "out").glob("training-*/adapter/adapter_model.safetensors")]
    assert len(adapters) == 2 and adapters[0] != adapters[1]


def test_full_tuning_of_a_scenario(done: Path, tmp_path: Path) -> None:
    arguments = ["training.method=full", "evaluation.limit=2", "--out", str(tmp_path), "--quiet"]
    assert run_cli(["run", str(done), *arguments]) == 0
    assert list(tmp_path.glob("training-*/model/model.safetensors"))


def test_a_task_without_a_test_holds_out_some_of_its_sources(tiny_model: Path, tmp_path: Path) -> None:
    folder = make(tmp_path / "s", tiny_model)
    text = (folder / "mend.yaml").read_text().replace("test_where: {task: mend, split: test}\n", "")
    (folder / "mend.yaml").write_text(text)
    arguments = ["test_share=0.25", "tasks.shorten.rows=4", "--out", str(tmp_path / "out"), "--quiet"]
    assert run_cli(["run", str(folder), *arguments]) == 0
    tested = {task["name"]: task["rows"] for task in result(tmp_path / "out")["outcome"]["tasks"]}
    assert tested == {"mend": 4, "shorten": 8}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["data=nowhere.jsonl"], "nowhere.jsonl: no such file"),
        (["tasks.mend.ratio=0.5"], "task shorten: it has no ratio"),
        (["tasks.mend.ratio=0.5", "tasks.shorten.ratio=0.4"], "add up to 1"),
        (["rows=1"], "too few for 2 tasks"),
        (["tokens=3"], "too few for a single row"),
        (["generic.data=generic.jsonl", "generic.share=2"], "generic.share"),
        (["--budget", "10m"], "--budget fits a task"),
        (["prompt.specialist_demonstrations=true"], "asked without examples"),
    ],
)
def test_bad_input_is_the_users_mistake(
    done: Path, tmp_path: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["run", str(done), *arguments, "--out", str(tmp_path / "x"), "--quiet"]) == 2
    assert told in capsys.readouterr().err


def test_a_task_without_rows_is_named(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path, tiny_model)
    text = (folder / "rows.jsonl").read_text().splitlines()
    (folder / "rows.jsonl").write_text("\n".join(line for line in text if '"mend"' not in line))
    assert run_cli(["run", str(folder), "--out", str(tmp_path / "out"), "--quiet"]) == 2
    told = capsys.readouterr().err
    assert "task mend: " in told and "there are no rows in it with task mend, split train" in told


def test_a_stage_command_says_that_a_scenario_is_none_of_its(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["train", str(done)]) == 2
    assert "is a scenario" in capsys.readouterr().err


def test_studies_share_what_they_train_and_go_on(
    done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["study", str(done), f"generic.data={done / 'generic.jsonl'}", "--out", str(tmp_path), "--quiet"]
    studies = ("data", "left_out", "tuning", "sizes", "adapters", "wordings")
    asked = [word for name in studies for word in ("--of", name)]
    assert run_cli([*command, *asked, "--rows", "4", "--limit", "4"]) == 0
    found = {name: json.loads((tmp_path / f"study-{name}.json").read_text()) for name in studies}
    assert [v["name"] for v in found["data"]] == [
        "scenario data",
        "generic data, as many rows",
        "both, half and half",
        "no tuning",
    ]
    for variants in found.values():
        assert all(set(v["scores"]) == {"mend", "shorten"} for v in variants)
        assert variants[0]["mean_gain"] is None and all(v["mean_gain"] for v in variants[1:])
        assert (tmp_path / f"study-{next(iter(found))}.html").exists()
    both = {v["name"]: v["facts"].get("rows") for v in found["data"]}
    assert both["both, half and half"] > both["scenario data"]
    trained = sorted(path.name for path in tmp_path.glob("training*"))
    capsys.readouterr()
    assert run_cli([*command, *asked, "--rows", "4", "--limit", "4"]) == 0
    assert sorted(path.name for path in tmp_path.glob("training*")) == trained
    assert "left_out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "say what to vary"),
        (["--of", "colour"], "'colour' is not known"),
        (["--of", "data"], "no generic data"),
        (["--of", "models"], "there is one model"),
        (["--of", "left_out", "--task", "mend"], "there is one task"),
        (["--of", "sizes", "--task", "nothing"], "task 'nothing' is not in tiny"),
    ],
)
def test_a_study_says_what_it_lacks(
    done: Path, tmp_path: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["study", str(done), *arguments, "--out", str(tmp_path), "--quiet"]) == 2
    assert told in capsys.readouterr().err


# --- metier rewrite


def rewrite(done: Path, *arguments: str) -> int:
    return run_cli(["rewrite", "--task", "mend", "--run", str(done / "out"), *arguments])


def test_a_file_that_is_all_but_prose_comes_back_to_the_byte(
    done: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    text = "\ufeff# Title\r\n\r\n```\r\ncode. Here.\r\n```\r\n| a |\r\n|---|\r\n| b. C |\r\n<p>\r\n😀\r\n"
    path = tmp_path / "a.md"
    path.write_bytes(text.encode())
    assert rewrite(done, str(path)) == 0
    assert capfdbinary.readouterr().out == text.encode()


def test_in_place_keeps_what_was_there(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from metier.rewriting import rewrite as rewriting

    # What a random model writes is left alone; the file's own handling is what is tested here.
    def changed(texts: list[str], *rest: object) -> list[rewriting.Rewritten]:
        return [rewriting.Rewritten(text, text.replace("come", "came")) for text in texts]

    monkeypatch.setattr(rewriting, "_rewritten", changed)
    path = tmp_path / "a.md"
    path.write_bytes(b"- It come late.\r\n- Fine.\r\n")
    path.chmod(0o640)
    assert rewrite(done, "--in-place", "--quiet", str(path)) == 0
    assert path.read_bytes() == b"- It came late.\r\n- Fine.\r\n"
    assert (tmp_path / "a.md.bak").read_bytes() == b"- It come late.\r\n- Fine.\r\n"
    assert path.stat().st_mode & 0o777 == 0o640
    path.write_bytes(b"They come.\n")
    assert rewrite(done, "--in-place", "--quiet", str(path)) == 0
    assert (tmp_path / "a.md.bak2").read_bytes() == b"They come.\n"
    assert not list(tmp_path.glob(".*partial"))


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"\xff\xfe\x00a", "not text in UTF-8"), (b"text\0more", "it holds a zero byte")],
)
def test_a_binary_file_is_refused_and_not_touched(
    done: Path, tmp_path: Path, content: bytes, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    assert rewrite(done, "--in-place", str(path)) == 2
    assert told in capsys.readouterr().err and path.read_bytes() == content


@pytest.mark.parametrize(
    "text",
    [
        "",
        "word " * 10_000,
        "Great 😀 news 👩‍👩‍👧! هذه جملة قصيرة. Ende.\n",
        "| a | b |\n|---|---|\n| It go. | x |\n\n<div>It go.</div>\n",
        "No newline at the end. `code.` https://x.org/a?b=1. Mr. Smith has 3 cats.",
    ],
)
def test_standard_input_never_loses_a_text(
    done: Path, text: str, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The tiny model writes noise: every sentence it spoils must stay as it was, and nothing else may change."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert rewrite(done, "-", "--quiet") == 0
    out = capfdbinary.readouterr().out.decode()
    assert len(out) >= 0.3 * len(text)
    for kept in ("`code.`", "https://x.org/a?b=1", "| It go. | x |", "<div>It go.</div>"):
        assert (kept in text) == (kept in out)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--task", "sing"], "no model for the task 'sing'"),
        (["--task", "mend", "--by", "word"], "--by: 'word'"),
        (["--task", "mend", "--in-place"], "not standard input"),
        (["--task", "mend", "nowhere.txt"], "nowhere.txt: cannot be read"),
        ([], "say what to do with --task"),
    ],
)
def test_a_wrong_rewrite_command_is_explained(
    done: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"It go.")))
    assert run_cli(["rewrite", "--run", str(done / "out"), *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_task_with_labels_rewrites_nothing(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(done / "out", tmp_path / "out")
    path = tmp_path / "out" / "tasks" / "mend" / "task.json"
    held = json.loads(path.read_text()) | {"labels": ["the parcel came late", "I was charged twice"], "metric": None}
    path.write_text(json.dumps(held))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"It go.")))
    assert run_cli(["rewrite", "--task", "mend", "--run", str(tmp_path / "out")]) == 2
    assert "it rewrites nothing" in capsys.readouterr().err


def test_without_a_run_the_newest_is_found(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert run_cli(["rewrite", "--task", "mend"]) == 2
    assert "metier run writing" in capsys.readouterr().err
    (tmp_path / "runs").mkdir()
    shutil.copytree(done / "out", tmp_path / "runs" / "tiny")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert run_cli(["rewrite", "--task", "mend"]) == 0
