"""`metier predict` and `metier.load` on a finished run: answers as evaluation had them, resumed to the byte."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest

import metier
from metier.cli import run_cli
from metier.core.errors import MetierError, UserError
from metier.core.progress import Reporter
from metier.runs import predict as predicting
from metier.runs.use import open_at, product_folder
from metier.systems.product import Answer, OpenProduct


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path: Path, rows: list[object]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def product(task_run: Path) -> Path:
    """The folder of a finished run, which ended with a product."""
    return task_run / "out"


def test_the_test_rows_are_answered_as_evaluation_answered_them(task_run: Path, product: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.jsonl"
    assert run_cli(["predict", str(product), str(task_run / "test.jsonl"), "-o", str(out), "--quiet"]) == 0
    system = metier.load(product).product.system
    (step,) = product.glob("evaluation-??????????")
    judged = [row["prediction"] for row in read(step / "predictions.jsonl") if row["system"] == system]
    given, answered = read(task_run / "test.jsonl"), read(out)
    assert [row["prediction"] for row in answered] == judged
    assert [{k: row[k] for k in given[0]} for row in answered] == given, "columns and order are kept"
    assert not list(tmp_path.glob("*.partial")) and not list(tmp_path.glob("*.progress.json"))


def test_another_process_answers_alike(product: Path, task_run: Path) -> None:
    texts = [str(row["input"]) for row in read(task_run / "test.jsonl")]
    code = "import json, sys, metier; print(json.dumps(metier.load(sys.argv[1])(json.loads(sys.argv[2]))))"
    other = subprocess.run(
        [sys.executable, "-c", code, str(product), json.dumps(texts)], capture_output=True, text=True, check=True
    )
    assert json.loads(other.stdout.splitlines()[-1]) == metier.load(product)(texts)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
def test_every_format_holds_the_same_answers(product: Path, task_run: Path, tmp_path: Path, ending: str) -> None:
    plain, out = tmp_path / "a.jsonl", tmp_path / f"a{ending}"
    for target in (plain, out):
        assert run_cli(["predict", str(product), str(task_run / "test.jsonl"), "-o", str(target), "--quiet"]) == 0
    wanted = [row["prediction"] for row in read(plain)]
    if ending == ".parquet":
        assert pyarrow.parquet.read_table(out)["prediction"].to_pylist() == wanted
    else:
        separator = "," if ending == ".csv" else "\t"
        with out.open(newline="") as file:
            assert [row["prediction"] for row in csv.DictReader(file, delimiter=separator)] == wanted


def opened(product: Path, stop_after: int | None = None) -> OpenProduct:
    """Return the run's product with answers that cost nothing."""
    real = open_at(product_folder(product))
    left = [stop_after]

    class Fast(OpenProduct):
        def answer(self, inputs: object) -> list[Answer]:
            if left[0] is not None:
                if left[0] == 0:
                    raise KeyboardInterrupt
                left[0] -= 1
            assert isinstance(inputs, list)
            return [Answer(text.upper(), 0.5, len(text) % 2 == 0, None) for text in inputs]

    return Fast(real.product, real.learned)


def test_a_stopped_file_is_resumed_to_the_same_bytes(product: Path, tmp_path: Path) -> None:
    rows: list[object] = [{"input": f"row {i}", "n": i} for i in range(1000)]
    rows[300:300] = ["broken", {"nothing": 1}, {"input": ""}]
    source = write(tmp_path / "rows.jsonl", rows)
    whole = predicting.predict(opened(product), source, tmp_path / "whole.jsonl", Reporter(quiet=True))
    assert (whole.rows, whole.bad) == (1000, 3)
    out = tmp_path / "out.jsonl"
    for stop in (0, 1, 1):
        with pytest.raises(KeyboardInterrupt):
            predicting.predict(opened(product, stop), source, out, Reporter(quiet=True))
        with (tmp_path / "out.jsonl.partial").open("ab") as file:
            file.write(b'{"torn')  # what a kill in the middle of a write leaves
    assert predicting.predict(opened(product), source, out, Reporter(quiet=True)) == whole
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert (tmp_path / "out.jsonl.errors.jsonl").read_bytes() == (tmp_path / "whole.jsonl.errors.jsonl").read_bytes()


def test_bad_rows_are_listed_with_their_lines_and_the_command_ends_with_1(
    product: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[object] = [{"input": "a"}, "not json", {"text": 5}, {"input": "z\0"}, {"input": None}, {"other": 1}]
    source, out = write(tmp_path / "rows.jsonl", rows), tmp_path / "out.jsonl"
    assert run_cli(["predict", str(product), str(source), "-o", str(out), "--quiet"]) == 1
    assert "4 rows could not be answered" in capsys.readouterr().err
    found = read(tmp_path / "out.jsonl.errors.jsonl")
    assert [str(row["place"]).rpartition(":")[2] for row in found] == ["2", "4", "5", "6"]
    problems = [str(row["problem"]) for row in found]
    assert "not JSON" in problems[0] and "zero byte" in problems[1] and "is empty" in problems[2]
    assert "no column named input" in problems[3]
    assert len(read(out)) == 2, "a number is asked as its text"


def test_strict_stops_at_the_first(product: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "rows.jsonl", [{"input": "a"}, {"x": 1}])
    out = tmp_path / "out.jsonl"
    assert run_cli(["predict", str(product), str(source), "-o", str(out), "--strict", "--quiet"]) == 2
    assert "rows.jsonl:2: no column" in capsys.readouterr().err and not out.exists()


def test_standard_input_is_answered_on_standard_output(
    product: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"prompt": "I was charged twice"}\n')))
    assert run_cli(["predict", str(product), "-", "--quiet"]) == 0
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert row["prompt"] == "I was charged twice" and row["prediction"] in ("billing", "delivery")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere", "rows.jsonl"], "no such folder"),
        ([".", "rows.jsonl"], "there is no product in it"),
        (["RUN", "nowhere.jsonl", "-o", "out.jsonl"], "nowhere.jsonl: no such file"),
        (["RUN", "rows.jsonl", "-o", "out.xls"], "unknown format"),
        (["RUN", "rows.jsonl", "-o", "rows.jsonl"], "would replace the rows"),
        (["RUN", "empty.jsonl", "-o", "out.jsonl"], "there are no rows in it"),
        (["RUN", "rows.jsonl", "-o", "out.jsonl", "--task", "sing"], "no product"),
    ],
)
def test_what_is_wrong_is_said(
    product: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "rows.jsonl", [{"input": "a"}])
    (tmp_path / "empty.jsonl").write_text("")
    given = [str(product) if word == "RUN" else word for word in arguments]
    assert run_cli(["predict", *given, "--quiet"]) == 2
    assert told in capsys.readouterr().err


def test_a_product_of_another_base_model_is_refused(product: Path, tmp_path: Path) -> None:
    folder = tmp_path / "product"
    shutil.copytree(product / "product", folder)
    told = json.loads((folder / "product.json").read_text())
    if told["model"] is None:
        pytest.fail("the tiny run's product asks its model: this test needs one that does")
    told["model"]["digest"] = "another"
    (folder / "product.json").write_text(json.dumps(told))
    with pytest.raises(MetierError, match="is not the one that this product was made with"):
        metier.load(folder)


def test_a_model_classifies_and_says_how_sure_it_is(product: Path) -> None:
    model = metier.load(product)
    one = model.classify("I was charged twice")
    assert one == model.classify(["I was charged twice"])[0] and one.text == model("I was charged twice")
    assert one.probabilities is not None and abs(sum(one.probabilities.values()) - 1) < 1e-4
    assert one.probability == one.probabilities[one.text]
    with pytest.raises(UserError, match="it rewrites nothing"):
        model.rewrite("It is late.")


def test_metier_is_imported_quickly() -> None:
    code = "import sys, metier; assert not {'torch', 'transformers', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
