"""Reference values: exact match by the rules of Super-NaturalInstructions' script; ROUGE-L by rouge-score 0.1.2;
the character LCS by the textbook table in this file.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.errors import MetierError, UserError
from metier.evaluation.metrics import METRICS, get_metric
from metier.evaluation.metrics.char_lcs_f1 import char_lcs_f1, lcs_length

LABELS = ("entails", "neutral", "not entails")


def one(name: str, prediction: str, reference: str, labels: tuple[str, ...] | None = None) -> float:
    return float(get_metric(name).rows([prediction], [reference], labels=labels)[0])


@pytest.mark.parametrize(
    ("prediction", "reference", "score"),
    [
        ("Yes.", "yes", 100),
        ("B_entails_A", "b entails a", 0),
        ("B_entails_A", " B_entails_A", 100),
        ("two  words", "two words", 100),
        ("1: a 2: b", "1 a 2 b", 100),
        ("naïve", "naive", 0),
        ("", "", 100),
        ("the yes", "yes", 0),
    ],
)
def test_exact_match(prediction: str, reference: str, score: float) -> None:
    assert one("exact_match", prediction, reference) == score


@pytest.mark.parametrize("name", ["exact_match", "label_match"])
@pytest.mark.parametrize("labels", [("A+", "A-"), ("+", "-"), ("C", "C++"), ("US", "us")])
def test_labels_that_differ_in_punctuation_or_case_alone_are_kept_apart(name: str, labels: tuple[str, ...]) -> None:
    first, second = labels
    assert one(name, first, first, labels) == one(name, second, second, labels) == 100
    assert one(name, first, second, labels) == one(name, second, first, labels) == 0


def test_label_match_is_never_stricter_than_exact_match() -> None:
    labels = ("Very good!", "Bad!")
    assert one("exact_match", "very good", "Very good!", labels) == 100
    assert one("label_match", "very good", "Very good!", labels) == 100
    assert one("label_match", "very good", "Bad!", labels) == 0


def test_label_match_without_labels_is_exact_match() -> None:
    assert one("label_match", "no, or yes", "yes") == 0
    assert one("label_match", "Yes.", "yes") == 100
    assert one("label_match", "something", "") == 0


def test_label_match_takes_the_last_label() -> None:
    assert one("label_match", "I think it is neutral.", "neutral", LABELS) == 100
    assert one("label_match", "neutral, or rather entails", "neutral", LABELS) == 0
    assert one("label_match", "not entails", "entails", LABELS) == 0
    assert one("label_match", "no idea", "neutral", LABELS) == 0


@pytest.mark.parametrize(
    ("prediction", "reference", "score"),
    [
        # rouge-score 0.1.2: RougeScorer(["rougeL"], use_stemmer=True).score(reference, prediction)["rougeL"].fmeasure
        ("the cat sat on the mat", "the cat lay on the mat", 83.3333),
        ("police killed the gunman", "police kill the gunman", 100.0),
        ("the gunman kill police", "police kill the gunman", 50.0),
        ("pollution harms.", "modern farming pesticide.", 0.0),
        ("", "something", 0.0),
        ("", "", 0.0),
        ("漢字", "漢字", 0.0),  # its words are made of a-z and 0-9 alone
    ],
)
def test_rouge_l(prediction: str, reference: str, score: float) -> None:
    assert one("rouge_l", prediction, reference) == pytest.approx(score, abs=1e-3)


def table_lcs(first: str, second: str) -> int:
    row = [0] * (len(second) + 1)
    for a in first:
        above = row
        row = [0]
        for j, b in enumerate(second):
            row.append(above[j] + 1 if a == b else max(row[-1], above[j + 1]))
    return row[-1]


@given(st.text(alphabet="abcé漢 ", max_size=80), st.text(alphabet="abcé漢 ", max_size=80))
def test_the_bit_parallel_lcs_is_the_tables(first: str, second: str) -> None:
    assert lcs_length(first, second) == table_lcs(first, second)


def test_char_lcs_f1_of_known_texts() -> None:
    assert char_lcs_f1("abcd", "abxd") == pytest.approx(75.0)
    assert char_lcs_f1("", "abc") == 0.0
    assert char_lcs_f1("", "") == 100.0


@pytest.mark.parametrize("name", list(METRICS))
@settings(deadline=None)  # the first example imports a library
@given(prediction=st.text(max_size=40), reference=st.text(max_size=40))
def test_scores_are_between_0_and_100(name: str, prediction: str, reference: str) -> None:
    assert 0 <= one(name, prediction, reference) <= 100


@pytest.mark.parametrize("name", list(METRICS))
@settings(deadline=None)  # the first example imports a library
@given(text=st.text(alphabet="abc XYZ", min_size=1).filter(lambda t: t.strip()))
def test_a_text_equals_itself(name: str, text: str) -> None:
    assert one(name, text, text) == pytest.approx(100)


def test_wrong_calls_are_refused() -> None:
    with pytest.raises(MetierError, match="1 predictions for 2 references"):
        METRICS["rouge_l"].rows(["a"], ["a", "b"])
    with pytest.raises(MetierError, match="no rows"):
        METRICS["rouge_l"].rows([], [])
    with pytest.raises(UserError, match="'rougel' is not known") as caught:
        get_metric("rougel")
    assert caught.value.hint == "did you mean rouge_l?"


def test_rows_are_an_array() -> None:
    assert np.array_equal(METRICS["exact_match"].rows(["a", "b"], ["a", "c"]), [100.0, 0.0])
