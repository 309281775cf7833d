"""Leakage and files of outputs, each on small cases made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.core.errors import UserError
from metier.data.leakage import find_leaks
from metier.data.likeness import folded, jaccard, word_grams
from metier.evaluation.score_files import score_files

WORD = st.sampled_from(["the", "cat", "sat", "on", "a", "mat", "and", "saw", "two", "birds"])
WORDS = st.lists(WORD, min_size=3, max_size=9).map(" ".join)


@settings(deadline=None)
@given(st.lists(WORDS, max_size=8), st.lists(WORDS, max_size=8))
def test_leaks_are_those_of_plain_comparison(training: list[str], test: list[str]) -> None:
    found = {(leak.row, leak.pair) for leak in find_leaks(training, test, similarity=0.7)}
    grams = [word_grams(folded(t)) for t in training]
    plain = {
        (row, pair)
        for row, text in enumerate(test)
        for pair, other in enumerate(grams)
        if jaccard(word_grams(folded(text)), other) >= 0.7
    }
    assert found <= plain
    exact = {(row, pair) for row, text in enumerate(test) for pair, other in enumerate(training) if text == other}
    assert exact <= found


def test_a_leak_says_what_and_how_much() -> None:
    training = ["nothing at all like it", "The cat sat on the mat today"]
    (leak,) = find_leaks(training, ["the cat  sat on the MAT today."], similarity=0.7)
    assert (leak.row, leak.pair, leak.similarity) == (0, 1, 1.0)


def write(path: Path, lines: list[str]) -> str:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def test_files_of_outputs_are_scored_alike_in_every_format(tmp_path: Path) -> None:
    sources, outputs = ["He go home now .", "She have a cats ."], ["He goes home now .", "She have a cat ."]
    first, second = ["He goes home now .", "She has a cat ."], ["He is going home .", "She has cats ."]
    names = [write(tmp_path / f"{i}.txt", lines) for i, lines in enumerate((sources, outputs, first, second))]
    (plain,) = score_files(["sari"], names[1], names[2:], source=names[0])
    rows = [
        {"input": s, "prediction": p, "references": [a, b]}
        for s, p, a, b in zip(sources, outputs, first, second, strict=True)
    ]
    table = str(tmp_path / "all.jsonl")
    write(tmp_path / "all.jsonl", [json.dumps(row) for row in rows])
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "all.parquet")
    for name in (table, str(tmp_path / "all.parquet")):
        (found,) = score_files(["sari"], name, [name], source=f"{name}:input")
        assert found == plain
    assert plain.signature.startswith("sari|refs:2|case:lc") and plain.interval is not None
    (one,) = score_files(["rouge_l"], write(tmp_path / "p", ["a"]), [write(tmp_path / "r", ["a"])])
    assert one.interval is None and one.score == 100


def test_what_is_wrong_with_files_of_outputs(tmp_path: Path) -> None:
    two, one = write(tmp_path / "two", ["a", "b"]), write(tmp_path / "one", ["a"])
    empty = write(tmp_path / "none", [])
    nan = write(tmp_path / "nan.jsonl", ['{"prediction": NaN}'])
    cases: tuple[tuple[str, str, str, str | None, str], ...] = (
        ("rouge_l", two, one, None, "two has 2 rows, .*one has 1"),
        ("rouge_l", two, two, one, "one has 1"),
        ("sari", two, two, None, "needs the inputs"),
        ("macro_f1", two, two, None, "needs the labels"),
        ("rogue_l", two, two, None, "'rogue_l' is not known"),
        ("rouge_l", str(tmp_path / "no"), two, None, "no such file"),
        ("rouge_l", empty, empty, None, "the file is empty"),
        ("rouge_l", nan, one, None, "nan.jsonl:1: prediction is missing"),
        ("rouge_l", f"{nan}:other", one, None, "no column 'other'"),
    )
    for metric, prediction, reference, source, told in cases:
        with pytest.raises(UserError, match=told):
            score_files([metric], prediction, [reference], source=source)
