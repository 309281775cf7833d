"""`metier predict` and `metier.load` on a finished run: answers as evaluation had them, resumed to the byte."""

from __future__ import annotations

import csv
import datetime
import io
import json
import os
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
from metier.runs.answer_file import AnswerFile
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


def test_a_table_without_the_column_or_with_an_answers_is_refused_at_once(
    product: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    for header, told in (
        ("body,n", "rows.csv: no column named input, prompt, text or question (columns: body, n)"),
        ("input,prediction", "there is a column 'prediction' already"),
    ):
        source.write_text(f"{header}\na,1\n")
        assert run_cli(["predict", str(product), str(source), "-o", str(out), "--quiet"]) == 2
        assert told in capsys.readouterr().err and not out.exists()
    source.write_text("body,n\na,1\n")
    assert run_cli(["predict", str(product), str(source), "-o", str(out), "--column", "body", "--quiet"]) == 0


def test_bad_rows_of_a_table_are_listed_too(product: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    source.write_text('n,input\n1,a\n2,b,c\n3,\n4,"x\0"\n5,7\n')
    assert run_cli(["predict", str(product), str(source), "-o", str(out), "--quiet"]) == 1
    found = read(tmp_path / "out.csv.errors.jsonl")
    assert [row["place"] for row in found] == ["rows.csv:3", "rows.csv:4", "rows.csv:5"]
    with out.open(newline="") as file:
        assert [(row["n"], row["input"]) for row in csv.DictReader(file)] == [("1", "a"), ("5", "7")]


def test_a_column_is_kept_wherever_it_first_appears_and_whatever_it_holds(product: Path, tmp_path: Path) -> None:
    rows: list[object] = [{"input": f"row {i}", "n": i, "late": None} for i in range(5000)]
    rows.append({"input": "last", "n": 0.5, "late": "2024-01-01", "nested": {"a": [1]}, "odd": "\ud800", "big": 2**70})
    source = write(tmp_path / "rows.jsonl", rows)
    for ending in ("jsonl", "csv", "parquet"):
        out = tmp_path / f"out.{ending}"
        predicting.predict(opened(product), source, out, Reporter(quiet=True))
    jsonl = read(tmp_path / "out.jsonl")
    assert {k: jsonl[-1][k] for k in ("n", "late", "nested", "odd", "big")} == {
        "n": 0.5, "late": "2024-01-01", "nested": {"a": [1]}, "odd": "\ud800", "big": 2**70
    }  # fmt: skip
    with (tmp_path / "out.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert (last["late"], last["nested"], last["odd"]) == ("2024-01-01", '{"a": [1]}', "\\ud800")
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert table.num_rows == 5001 and table["n"].to_pylist()[-2:] == [4999.0, 0.5]
    assert table["late"][-1].as_py() == "2024-01-01" and table["big"][-1].as_py() == str(2**70)
    names = ["input", "n", "late", "nested", "odd", "big", "prediction", "probability", "abstained"]
    assert table.column_names == names


def test_a_carriage_return_in_a_text_ends_no_row_of_a_table(product: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "rows.jsonl", [{"input": "charged\rtwice", "n": 1}, {"input": "late", "n": 2}])
    for ending in ("csv", "tsv"):
        out = tmp_path / f"out.{ending}"
        assert run_cli(["predict", str(product), str(source), "-o", str(out), "--quiet"]) == 0
        with out.open(newline="") as file:
            rows = list(csv.DictReader(file, delimiter="," if ending == "csv" else "\t"))
        assert [row["input"] for row in rows] == ["charged\rtwice", "late"]


def test_the_columns_of_a_parquet_file_keep_their_types(product: Path, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"text": f"row {i}", "day": datetime.date(2024, 1, 1 + i % 9), "x": float("nan"), "raw": b"\xff", "tags": [i]}
        for i in range(700)
    ]
    for i in (0, 300, 699):
        rows[i]["text"] = None
    source, out = tmp_path / "rows.parquet", tmp_path / "out.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), source, row_group_size=100)
    found = predicting.predict(opened(product), source, out, Reporter(quiet=True))
    assert (found.rows, found.bad) == (697, 3)
    table, given = pyarrow.parquet.read_table(out), pyarrow.parquet.read_table(source)
    assert table.schema.names == [*given.schema.names, "prediction", "probability", "abstained"]
    assert [table.schema.field(name).type for name in given.schema.names] == given.schema.types
    assert table["day"].to_pylist() == [row["day"] for row in rows if row["text"]]
    assert table["prediction"].to_pylist() == [str(row["text"]).upper() for row in rows if row["text"]]


def test_a_file_of_bad_rows_alone_gives_an_empty_table(product: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "rows.jsonl", ["x", "y"])
    for ending in ("jsonl", "csv", "parquet"):
        found = predicting.predict(opened(product), source, tmp_path / f"out.{ending}", Reporter(quiet=True))
        assert (found.rows, found.bad) == (0, 2)
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").num_rows == 0


def test_two_processes_do_not_write_one_file(product: Path, tmp_path: Path) -> None:
    source, out = write(tmp_path / "rows.jsonl", [{"input": "a"}]), tmp_path / "out.jsonl"
    with AnswerFile(out, "other"), pytest.raises(UserError, match=rf"process {os.getpid()} on .+ is writing it"):
        predicting.predict(opened(product), source, out, Reporter(quiet=True))
    predicting.predict(opened(product), source, out, Reporter(quiet=True))
    assert {path.name for path in tmp_path.iterdir()} == {"rows.jsonl", "out.jsonl"}


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


def test_without_a_file_to_list_them_the_first_bad_rows_are_printed(
    product: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = b'{"input": "a"}\n' + b"broken\n" * 7
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert run_cli(["predict", str(product), "-", "--quiet"]) == 1
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 1
    assert "7 rows could not be answered\nstandard-input.jsonl:2: not JSON" in told.err
    assert "standard-input.jsonl:6" in told.err and "… and 2 more: -o FILE lists them all" in told.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere", "rows.jsonl"], "no such folder"),
        ([".", "rows.jsonl"], "there is no product in it"),
        (["RUN", "nowhere.jsonl", "-o", "out.jsonl"], "nowhere.jsonl: no such file"),
        (["RUN", "rows.jsonl", "-o", "out.xls"], "unknown format"),
        (["RUN", "rows.jsonl", "-o", "rows.jsonl"], "would replace the rows"),
        (["RUN", "empty.jsonl", "-o", "out.jsonl"], "there are no rows in it"),
        (["RUN", "header.csv", "-o", "out.jsonl"], "there are no rows in it"),
        (["RUN", "empty.parquet", "-o", "out.jsonl"], "not readable as Parquet"),
        (["RUN", "rows.json", "-o", "out.jsonl"], "not a file of rows"),
        (["RUN", "folder.csv", "-o", "out.jsonl"], "not a file of rows"),
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
    for name in ("empty.jsonl", "empty.parquet", "rows.json"):
        (tmp_path / name).write_text("")
    (tmp_path / "header.csv").write_text("input,n\n")
    (tmp_path / "folder.csv").mkdir()
    given = [str(product) if word == "RUN" else word for word in arguments]
    assert run_cli(["predict", *given, "--quiet"]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.glob("out*")), "nothing is left behind"


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


def test_a_product_whose_base_model_is_gone_says_so(product: Path, tmp_path: Path) -> None:
    folder = tmp_path / "product"
    shutil.copytree(product / "product", folder)
    told = json.loads((folder / "product.json").read_text())
    told["model"]["name"] = str(tmp_path / "gone")
    (folder / "product.json").write_text(json.dumps(told))
    with pytest.raises(MetierError, match=r"the base model of this product, .*gone, is not here") as caught:
        metier.load(folder)
    assert caught.value.hint is not None


def test_a_product_that_needs_an_extra_names_it(
    product: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = json.loads((product / "product" / "product.json").read_text())
    told |= {"form": "harper", "labels": None, "model": None, "confidence": None}
    (tmp_path / "product.json").write_text(json.dumps(told))
    source = write(tmp_path / "rows.jsonl", [{"input": "It go."}])
    monkeypatch.setitem(sys.modules, "harper", None)
    assert run_cli(["predict", str(tmp_path), str(source), "--quiet"]) == 1
    assert "harper-py is not installed (pip install 'metier[harper]')" in capsys.readouterr().err


def test_a_row_longer_than_the_context_is_withheld_and_the_others_are_answered(product: Path, tmp_path: Path) -> None:
    rows: list[object] = [{"input": "a"}, {"input": "word " * 5000, "id": 7}, {"input": "b"}]
    source, out = write(tmp_path / "rows.jsonl", rows), tmp_path / "out.jsonl"
    assert run_cli(["predict", str(product), str(source), "-o", str(out), "--quiet"]) == 0
    found = read(out)
    assert [row["abstained"] for row in found] == [False, True, False]
    assert found[1]["prediction"] == "" and found[1]["id"] == 7


def test_a_streamed_answer_is_the_answer(scenario_run: Path, product: Path) -> None:
    writer = metier.load(scenario_run / "out", "mend")
    while_writing = [list(writer.stream(text)) for text in ("the parcel come late", "it go", "word " * 5000)]
    assert ["".join(pieces) for pieces in while_writing] == [
        writer(text) for text in ("the parcel come late", "it go", "word " * 5000)
    ]
    classifier = metier.load(product)
    assert "".join(classifier.stream("I was charged twice")) == classifier("I was charged twice")


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
