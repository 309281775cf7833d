"""Row files of each format, and what is wrong with them told by its place."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from metier.core.errors import UserError
from metier.data import files
from metier.data.files import read_rows, read_rows_or_problems

ROWS = [{"input": "a", "output": "x"}, {"input": "b", "output": "y"}]


def rows(path: Path) -> list[dict[str, Any]]:
    return [dict(row) for _, row in read_rows(path, "test")]


def test_every_format_gives_the_same_rows(tmp_path: Path) -> None:
    lines = '{"input": "a", "output": "x"}\n{"input": "b", "output": "y"}\n'
    (tmp_path / "a.jsonl").write_text("\ufeff" + lines, encoding="utf-8")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "a.json").write_text("[" + ",".join(lines.split("\n")[:2]) + "]")
    (tmp_path / "a.csv").write_text("input,output\na,x\nb,y\n")
    (tmp_path / "a.tsv").write_text("input\toutput\na\tx\nb\ty\n")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "arrow")
    for name in ("a.jsonl", "a.jsonl.gz", "a.json", "a.csv", "a.tsv", "a.parquet", "arrow"):
        assert rows(tmp_path / name) == ROWS, name


def test_class_numbers_become_their_names(tmp_path: Path) -> None:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    data = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    data.save_to_disk(tmp_path / "arrow")
    data.to_parquet(tmp_path / "a.parquet")
    for name in ("arrow", "a.parquet"):
        assert [row["label"] for row in rows(tmp_path / name)] == ["yes", "no", None]


def test_a_folder_with_several_splits_is_not_read_as_one(tmp_path: Path) -> None:
    for split in ("train", "test"):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / f"{split}-00000-of-00001.parquet")
    with pytest.raises(UserError, match=r"several splits \(test, train\)"):
        rows(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl", b'{"input": "a"}\n{"input"\n', "a.jsonl:2: not JSON"),
        ("a.jsonl", b'{"input": "a\xff"}\n', "a.jsonl:1: not UTF-8"),
        ("a.jsonl", b"[" * 100_000, "a.jsonl:1: not JSON"),
        ("a.csv", b"input,input\na,b\n", "the column 'input' appears twice"),
        ("a.csv", b"input,output\na,b,c\n", "a.csv:2: more fields"),
        ("a.json", b'{"input": "a"}', "must hold a list"),
        ("a.parquet", b"PAR1 not", "not readable as Parquet"),
        ("a.jsonl.gz", gzip.compress(b'{"input": "a"}\n' * 99, mtime=0)[:40], "incomplete or damaged gzip data"),
        ("a.txt", b"a", "unknown format"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=told):
        rows(tmp_path / name)


def told(path: Path) -> list[tuple[str, object]]:
    """Return what a file's lines hold: of each its number, and its row or the problem."""
    found = list(read_rows_or_problems(path))
    return [(place.rpartition(":")[2], row if isinstance(row, str) else dict(row)) for place, row in found]


def test_a_broken_line_does_not_end_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_LONGEST_LINE", 40)
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"input": "a"}\nbroken\n\n{"input": "\xff"}\n{"input": "' + b"x" * 500 + b'"}\n{"input": "b"}'
    )
    found = told(path)
    assert [number for number, _ in found] == ["1", "2", "4", "5", "6"]
    assert found[0][1] == {"input": "a"} and found[4][1] == {"input": "b"}
    assert "not JSON" in str(found[1][1]) and "not UTF-8" in str(found[2][1])
    assert "a.jsonl:5: the line is longer than" in str(found[3][1])


def test_a_broken_row_of_a_table_does_not_end_the_others(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('input,n\na,1\nb,2,3\n"c"x,4\n\n"two\nlines",5\ne\n')
    found = told(path)
    assert [number for number, _ in found] == ["2", "3", "4", "7", "8"]
    assert [row for _, row in found if isinstance(row, dict)] == [
        {"input": "a", "n": "1"},
        {"input": "two\nlines", "n": "5"},
        {"input": "e", "n": None},
    ]
    assert "more fields than columns" in str(found[1][1]) and "cannot be read" in str(found[2][1])


@pytest.mark.parametrize("content", [b'input,n\n"a,1\n', b'"in"put,n\na,1\n', b"input\n\xff\n"])
def test_what_a_table_cannot_go_on_from_is_told_and_nothing_is_lost(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    try:
        found = told(path)
    except UserError as error:
        assert "a.csv:" in error.message
    else:
        assert ["cannot be read" in str(row) for _, row in found] == [True]


def test_a_line_without_an_end_is_never_held_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(b'{"input": "a"}\n')
        file.truncate(2 * 10**8)  # a hole: it takes no space
    tracemalloc.start()
    found = told(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found[0] == ("1", {"input": "a"}) and "longer than 10 MB" in str(found[1][1]) and len(found) == 2
    assert peak < 60_000_000


def test_a_parquet_column_whose_name_is_not_utf8_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"inpüt": "a"}]), path)
    path.write_bytes(path.read_bytes().replace("ü".encode(), b"\xf0\x41"))
    with pytest.raises(UserError, match=r"a\.parquet: not readable as Parquet \('utf-8' codec can't decode"):
        rows(path)
