"""Row files of each format, and what is wrong with them told by its place."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from metier.core.errors import UserError
from metier.data.files import read_rows

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
        ("a.jsonl.gz", gzip.compress(b'{"input": "a"}\n' * 99)[:40], "incomplete or damaged gzip data"),
        ("a.txt", b"a", "unknown format"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=told):
        rows(tmp_path / name)
