from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.core.errors import UserError
from metier.core.records import Example
from metier.data.pairs import read_examples, read_instructions
from metier.evaluation.metrics import get_metric
from metier.evaluation.score_files import score_files
from metier.evaluation.scored import Texts

ROWS = [{"input": "a", "output": "x"}, {"input": "b", "output": "y"}]
PAIRS = (Example("a", "x"), Example("b", "y"))


def jsonl(folder: Path, rows: list[Any], name: str = "data.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_every_format_reads_the_same(tmp_path: Path) -> None:
    paths = [jsonl(tmp_path, ROWS)]
    paths.append(tmp_path / "data.json")
    paths[-1].write_text(json.dumps(ROWS))
    paths.append(tmp_path / "data.csv")
    paths[-1].write_text("input,output\na,x\nb,y\n")
    paths.append(tmp_path / "data.tsv")
    paths[-1].write_text("input\toutput\na\tx\nb\ty\n")
    paths.append(tmp_path / "data.parquet")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), paths[-1])
    paths.append(tmp_path / "data.jsonl.gz")
    paths[-1].write_bytes(gzip.compress(jsonl(tmp_path, ROWS).read_bytes()))
    folder = tmp_path / "folder"
    folder.mkdir()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), folder / "part.parquet")
    for path in [*paths, folder]:
        assert read_examples(path, labels=None).examples == PAIRS, path


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "a", "completion": "x"},
        {"text": "a", "label": "x"},
        {"question": "a", "answer": "x"},
        {"instruction": "a", "input": "", "output": "x"},
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "x"}]},
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "x"}]},
    ],
)
def test_columns_are_known_by_name(tmp_path: Path, row: dict[str, Any]) -> None:
    assert read_examples(jsonl(tmp_path, [row]), labels=None).examples == (Example("a", "x"),)


def test_alpaca_input_follows_the_instruction(tmp_path: Path) -> None:
    row = {"instruction": "Fix it.", "input": "teh", "output": "the"}
    assert read_examples(jsonl(tmp_path, [row]), labels=None).examples[0].input == "Fix it.\n\nteh"


def test_numbers_become_text(tmp_path: Path) -> None:
    path = jsonl(tmp_path, [{"text": "a", "label": 1}])
    assert read_examples(path, labels=("0", "1")).examples == (Example("a", "1"),)


def test_duplicates_and_conflicts_are_counted(tmp_path: Path) -> None:
    file = read_examples(jsonl(tmp_path, [*ROWS, ROWS[0], {"input": "a", "output": "z"}]), labels=None)
    assert (len(file.examples), file.duplicates, file.conflicts) == (3, 1, 1)


def fed_back(text: str, correction: str) -> dict[str, str]:
    """Return a row as a server keeps what a person said of an answer."""
    return {"input": text, "answer": "x", "correction": correction, "system": "tfidf_train", "when": "2026-01-02"}


def test_a_correction_is_the_answer_and_the_last_one_of_an_input_stands(tmp_path: Path) -> None:
    rows = [
        fed_back("a", "y"),
        fed_back("b", "x"),
        {"input": "a", "output": "x"},
        fed_back("a", "z"),
        fed_back("b", "x"),
    ]
    file = read_examples(jsonl(tmp_path, rows), labels=("x", "y", "z"))
    assert file.examples == (Example("a", "z"), Example("b", "x"))
    assert (file.corrected, file.duplicates, file.conflicts) == (3, 0, 0)
    with pytest.raises(UserError, match=r"data.jsonl:1: correction: 'w' is not one of the labels \[x, y, z\]"):
        read_examples(jsonl(tmp_path, [fed_back("a", "w")]), labels=("x", "y", "z"))
    with pytest.raises(UserError, match=r"data.jsonl:1: correction is empty"):
        read_examples(jsonl(tmp_path, [fed_back("a", " ")]), labels=None)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc"), st.sampled_from("xyz")), min_size=1, max_size=12))
def test_what_stands_is_each_inputs_last_correction_and_what_came_after_it(said: list[tuple[bool, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = [fed_back(t, o) if corrects else {"input": t, "output": o} for corrects, t, o in said]
        file = read_examples(jsonl(Path(folder), rows), labels=None)
    stand: dict[str, list[str]] = {}
    for corrects, text, output in said:
        stand[text] = [output] if corrects else [*stand.get(text, []), output]
    assert {(e.input, e.output) for e in file.examples} == {(t, o) for t, several in stand.items() for o in several}
    assert len(file.examples) + file.duplicates + file.corrected == len(said)


def test_equal_references_are_all_kept(tmp_path: Path) -> None:
    row = {"input": "a", "references": ["x", "y", "x"]}
    file = read_examples(jsonl(tmp_path, [row, row]), labels=None)
    assert file.examples[0].references == ("x", "y", "x")
    assert (len(file.examples), file.duplicates, file.conflicts) == (1, 1, 0)
    merged = read_examples(jsonl(tmp_path, [{"input": "a", "references": ["x", "y"]}], "merged.jsonl"), labels=None)
    assert file.sha256 != merged.sha256


def test_a_repeated_reference_is_no_second_output(tmp_path: Path) -> None:
    rows = [{"input": "a", "references": ["x", "x"]}, {"input": "a", "output": "x"}]
    assert read_examples(jsonl(tmp_path, rows), labels=None).conflicts == 0


@pytest.mark.parametrize("metric", ["sari", "gleu"])
def test_rows_score_as_files_of_references_do(tmp_path: Path, metric: str) -> None:
    source, output = "about 95 species are currently accepted .", "about 95 species are now accepted ."
    references = ["about 95 species are known .", "about 95 species are now accepted .", "about 95 species are known ."]
    test = read_examples(jsonl(tmp_path, [{"input": source, "references": references}]), labels=None).examples
    read = get_metric(metric).score(Texts([output], [row.references for row in test], [row.input for row in test]))
    paths = {"source": source, "output": output, **{f"reference{i}": text for i, text in enumerate(references)}}
    for name, text in paths.items():
        (tmp_path / name).write_text(f"{text}\n", encoding="utf-8")
    names = [str(tmp_path / f"reference{i}") for i in range(len(references))]
    (scored,) = score_files([metric], str(tmp_path / "output"), names, source=str(tmp_path / "source"))
    assert read.corpus == pytest.approx(scored.score)


@pytest.mark.parametrize(
    ("rows", "labels", "told"),
    [
        ([], None, "there are no rows"),
        ([{"input": "a"}], None, "data.jsonl:1: there is no output beside input"),
        ([ROWS[0], {"input": "", "output": "x"}], None, "data.jsonl:2: input is empty"),
        ([{"input": "a", "output": "postive"}], ("positive", "negative"), "'postive' is not one of the labels"),
        ([{"input": {"deep": 1}, "output": "x"}], None, "input is not text"),
        ([{"inputs": "a", "outputs": "x"}], None, r"unknown columns \[inputs, outputs\]"),
        ([["a", "x"]], None, "data.jsonl:1: not an object"),
        ([{"input": "a"}] * 9, None, "and 4 more"),
    ],
)
def test_wrong_rows_are_told_with_their_line(
    tmp_path: Path, rows: list[Any], labels: tuple[str, ...] | None, told: str
) -> None:
    with pytest.raises(UserError, match=told):
        read_examples(jsonl(tmp_path, rows), labels=labels)


def test_unreadable_files(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(b'{"input": "a", "output": "x"}\n{"input": "\xff", "output": "x"}\n')
    with pytest.raises(UserError, match="bad.jsonl:2: not UTF-8"):
        read_examples(bad, labels=None)
    bad.write_text('{"input": "a", "output": "x"}\n{"input": \n')
    with pytest.raises(UserError, match="bad.jsonl:2: not JSON"):
        read_examples(bad, labels=None)
    with pytest.raises(UserError, match="no such file"):
        read_examples(tmp_path / "none.jsonl", labels=None)
    other = tmp_path / "data.xlsx"
    other.write_bytes(b"PK")
    with pytest.raises(UserError, match="unknown format"):
        read_examples(other, labels=None)
    parquet = tmp_path / "bad.parquet"
    parquet.write_bytes(b"PAR1 not really")
    with pytest.raises(UserError, match="not readable as Parquet"):
        read_examples(parquet, labels=None)


def test_a_line_of_a_hundred_megabytes_is_refused_without_being_held(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "long.jsonl"
    with path.open("wb") as file:
        file.write(b'{"input": "a", "output": "x"}\n{"input": "')
        for _ in range(100):
            file.write(b"y" * 1_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match="long.jsonl:2: the line is longer than 10 MB"):
            read_examples(path, labels=None)
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()


def test_generic_instructions_keep_what_is_asked_apart_and_count_empty_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [
        {"instruction": "Add.", "input": "1 and 2", "output": "3"},
        {"instruction": "Say hello.", "input": "", "output": "hello"},
        {"instruction": "Say nothing.", "input": "", "output": " "},
        {"instruction": "Say hello.", "input": "", "output": "hello"},
        {"prompt": "What is up?", "completion": "All is."},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_instructions(path) == (
        [
            Example("1 and 2", "3", instruction="Add."),
            Example("Say hello.", "hello", instruction=""),
            Example("What is up?", "All is.", instruction=""),
        ],
        1,
    )
    path.write_text(json.dumps({"instruction": "Say 3.", "output": [3]}) + "\n")
    with pytest.raises(UserError, match="rows.jsonl:1: output is not text"):
        read_instructions(path)


def test_rows_are_taken_by_their_columns(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("input,output,task,split\na,b,one,train\nc,d,one,test\ne,f,two,test\ng,h,one,dev\n")
    taken = read_examples(path, labels=None, where={"task": ("one",), "split": ("train", "dev")})
    assert [e.input for e in taken.examples] == ["a", "g"]
    with pytest.raises(UserError, match="no rows in it with task three"):
        read_examples(path, labels=None, where={"task": ("three",)})
    with pytest.raises(UserError, match="no column 'kind'"):
        read_examples(path, labels=None, where={"kind": ("x",)})
