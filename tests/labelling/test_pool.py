from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.core.errors import UserError
from metier.data.likeness import folded
from metier.labelling.pool import pool_sentences, read_pool
from tests.runs.made import write_rows

WORDS = st.lists(st.sampled_from(["a", "A", "b ", " b", "c  d", "c d", "e"]), min_size=1, max_size=12)


@given(rows=WORDS, known=WORDS)
def test_every_new_input_is_there_once_and_every_row_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, rows: list[str], known: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "pool.jsonl"
    write_rows(path, ({"text": text} for text in rows))
    new = {folded(text) for text in rows} - {folded(text) for text in known}
    if not new:
        with pytest.raises(UserError, match="all .* are known already"):
            read_pool(path, known)
        return
    pool = read_pool(path, known)
    assert [folded(text) for text in pool.inputs] == list(dict.fromkeys(f for t in rows if (f := folded(t)) in new))
    assert len(pool.inputs) + pool.known + pool.repeated == len(rows)
    assert len(pool_sentences(pool)) == bool(pool.known or pool.repeated)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"colour": "red"}, "pool.jsonl:1: no input column"),
        ({"text": "\ud800"}, "pool.jsonl:1: text holds half of a surrogate pair"),
        ({"text": " "}, "there are no rows in it"),
    ],
)
def test_what_cannot_be_asked_about_is_said(tmp_path: Path, row: dict[str, str], told: str) -> None:
    write_rows(tmp_path / "pool.jsonl", [row])
    with pytest.raises(UserError, match=told):
        read_pool(tmp_path / "pool.jsonl", [])
