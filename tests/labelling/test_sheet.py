from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.core.errors import UserError
from metier.data.likeness import folded
from metier.data.pairs import read_examples
from metier.labelling.draw import Question
from metier.labelling.sheet import FORMATS, Sheet, held
from tests.runs.made import read_rows, write_rows

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(str.strip)
ROWS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6, unique_by=lambda row: folded(row[0]))


@given(st.sampled_from(FORMATS), ROWS)
def test_answers_come_back_from_every_format_and_can_be_trained_on(kind: str, rows: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"answers{kind}"
        sheet = Sheet(path, None)
        for i, (text, answer) in enumerate(rows):
            sheet.put(Question(text, ("random", "varied")[i % 2]), answer)
        again = Sheet(path, None)
        assert [(q.input, answer) for q, answer in again.answered] == [(text, said.strip()) for text, said in rows]
        assert [q.part for q, _ in again.answered] == [("random", "varied")[i % 2] for i in range(len(rows))]
        assert len(read_examples(path, labels=None).examples) == len(rows)


@pytest.mark.parametrize("kind", FORMATS)
def test_what_was_filled_in_and_other_columns_stay_when_rows_are_added(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"form{kind}"
    sheet = Sheet(path, ("a", "b"))
    sheet.add([Question("one", "random"), Question("two", "varied")], [None, "b"])
    assert sheet.answer("one") is None and sheet.answer("TWO ") == "b"
    if kind == ".jsonl":
        write_rows(path, [row | {"output": "a", "note": "sure"} for row in read_rows(path)])
    else:
        rows = (("part", "note", "output", "input"), ("random", "sure", "a", "one"))
        path.write_text("\n".join(("," if kind == ".csv" else "\t").join(row) for row in rows))
    filled = Sheet(path, ("a", "b"))
    filled.add([Question("one", "random"), Question("three", "random")], ["b", None])
    assert filled.answer("one") == "a" == Sheet(path, ("a", "b")).answer("one"), "an answer that is there stays"
    assert "sure" in path.read_text() and "three" in path.read_text()


def test_an_answer_is_replaced_and_its_part_stays(tmp_path: Path) -> None:
    sheet = Sheet(tmp_path / "a.jsonl", None)
    sheet.put(Question("x", "random"), "one")
    sheet.put(Question("X", "uncertain"), "two")
    assert read_rows(tmp_path / "a.jsonl") == [{"input": "x", "output": "two", "part": "random"}]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"input": "x", "output": "c"}, r"a.jsonl:1: output: 'c' is not one of the labels \[a, 1\]"),
        ({"text": "x", "output": "a"}, "a.jsonl:1: no input"),
        ({"input": "x", "output": ["a"]}, "a.jsonl:1: output is not text"),
    ],
)
def test_what_is_no_answer_is_said(tmp_path: Path, row: dict[str, Any], told: str) -> None:
    write_rows(tmp_path / "a.jsonl", [row])
    with pytest.raises(UserError, match=told):
        Sheet(tmp_path / "a.jsonl", ("a", "1"))


def test_a_number_may_be_a_label(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", [{"input": "x", "output": 1}])
    assert Sheet(tmp_path / "a.jsonl", ("a", "1")).answer("x") == "1"


def test_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="rows cannot be kept in this format") as caught:
        Sheet(tmp_path / "a.parquet", None)
    assert caught.value.hint == "use one of: .jsonl, .csv, .tsv"


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with held(path), pytest.raises(UserError, match="another process asks for these answers"), held(path):
        raise AssertionError
    with held(path):
        pass
    assert list(tmp_path.iterdir()) == []
