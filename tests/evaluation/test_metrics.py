"""Reference values: exact match by the rules of Super-NaturalInstructions' script; ROUGE by rouge-score 0.1.2; BLEU and
chrF by sacreBLEU's own corpus functions; macro-F1 by scikit-learn; SARI and GLEU by their authors' code, in
reference_values.json; the character LCS by the textbook table in this file.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from metier.core.errors import MetierError, UserError
from metier.evaluation.metrics import METRICS, get_metric
from metier.evaluation.metrics.char_lcs_f1 import char_lcs_f1, lcs_length
from metier.evaluation.metrics.edits import edits_between
from metier.evaluation.scored import Scored, Texts

LABELS = ("entails", "neutral", "not entails")


def one(name: str, prediction: str, reference: str, labels: tuple[str, ...] | None = None) -> float:
    return float(get_metric(name).score(Texts([prediction], [[reference]], labels=labels)).rows[0])


REFERENCE = json.loads((Path(__file__).parent / "reference_values.json").read_text(encoding="utf-8"))
# errant needs a model of its own; its arithmetic is edit_f05's. So does meaning, which has its own test.
TEXT_METRICS = [name for name in METRICS if name not in ("errant", "macro_f1", "label_match", "meaning")]
TEXT = st.text(alphabet="ab cé.,漢😀\n", max_size=24)
ROWS = st.lists(st.tuples(TEXT, TEXT, st.lists(TEXT, min_size=1, max_size=3)), min_size=1, max_size=5)


def scored(name: str, rows: list[tuple[str, str, list[str]]]) -> Scored:
    return get_metric(name).score(Texts([p for _, p, _ in rows], [r for _, _, r in rows], [s for s, _, _ in rows]))


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


@pytest.mark.parametrize("name", TEXT_METRICS)
@settings(deadline=None, max_examples=40)  # the first example imports a library
@given(rows=ROWS)
def test_scores_are_in_their_range(name: str, rows: list[tuple[str, str, list[str]]]) -> None:
    result = scored(name, rows)
    low, high = {"ibleu": (-20, 80), "length_ratio": (0, np.inf), "readability": (-22, np.inf)}.get(name, (0, 100))
    assert len(result.rows) == len(rows)
    assert np.isfinite(result.rows).all() and np.isfinite(result.corpus)
    assert (low - 1e-9 <= result.rows).all() and (result.rows <= high + 1e-9).all()
    assert low - 1e-9 <= result.corpus <= high + 1e-9


@pytest.mark.parametrize("name", TEXT_METRICS)
@settings(deadline=None, max_examples=40)
@given(rows=ROWS, seed=st.randoms())
def test_neither_the_order_of_rows_nor_of_references_counts(
    name: str, rows: list[tuple[str, str, list[str]]], seed: Any
) -> None:
    other = [(s, p, seed.sample(r, len(r))) for s, p, r in rows]
    one, two = scored(name, rows), scored(name, other)
    assert two.rows == pytest.approx(one.rows)
    # GLEU draws references by their place, and of references equally near chrF counts the first.
    if name not in ("gleu", "chrf"):
        assert two.corpus == pytest.approx(one.corpus)
    back = scored(name, rows[::-1])
    assert back.rows[::-1] == pytest.approx(one.rows)
    assert float(back.combine(back.stats.sum(axis=0))) == pytest.approx(float(one.combine(one.stats.sum(axis=0))))


@pytest.mark.parametrize("name", [n for n in TEXT_METRICS if METRICS[n].judges and n not in ("ibleu", "gleu", "bleu")])
@settings(deadline=None, max_examples=60)  # the first example imports a library
@given(text=st.text(alphabet="abc XYZ", min_size=1).filter(lambda t: t.strip()))
def test_a_text_equals_itself(name: str, text: str) -> None:
    words = [f"{word}{i}" for i, word in enumerate(f"{text} u v w x y z".split())]
    long = " ".join(words)
    source = " ".join(["other", *words[1:]])  # something to add, to keep and to delete in runs of four words
    assert scored(name, [(source, long, [long])]).corpus == pytest.approx(100)


@pytest.mark.parametrize("name", ["gleu", "bleu"])
def test_a_text_of_four_words_equals_itself(name: str) -> None:
    assert scored(name, [("He go home now", "He goes home now", ["He goes home now"])]).corpus == pytest.approx(100)


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=[c["case"] for c in REFERENCE["cases"]])
def test_sari_and_gleu_are_their_authors(case: dict[str, Any]) -> None:
    texts = Texts(case["predictions"], case["references"], case["sources"])
    assert get_metric("sari").score(texts).corpus == pytest.approx(case["sari"], abs=1e-5)
    assert get_metric("sari_cased").score(texts).corpus == pytest.approx(case["sari_cased"], abs=1e-5)
    gleu = get_metric("gleu").score(texts)
    assert gleu.corpus == pytest.approx(case["gleu"], abs=1e-5)
    assert gleu.rows == pytest.approx(case["gleu_rows"], abs=1e-5)


def test_gleu_draws_as_pythons_generator_does() -> None:
    case = REFERENCE["cases"][-2]
    texts = Texts(case["predictions"], case["references"], case["sources"])
    more = Texts(
        [*texts.predictions, "a"], [*texts.references, ["a"]], [*(texts.sources or ()), "a"]
    )  # one row with fewer references: the slow way round
    slow = get_metric("gleu").score(more)
    assert slow.rows[:-1] == pytest.approx(get_metric("gleu").score(texts).rows)
    assert 0 < slow.corpus < 100


@settings(deadline=None, max_examples=60)
@given(rows=ROWS)
def test_bleu_and_chrf_are_sacrebleus(rows: list[tuple[str, str, list[str]]]) -> None:
    most = max(len(r) for _, _, r in rows)
    streams = [[r[i] if i < len(r) else None for _, _, r in rows] for i in range(most)]
    outputs = [p for _, p, _ in rows]
    assert scored("bleu", rows).corpus == pytest.approx(sacrebleu.corpus_bleu(outputs, streams).score)
    assert scored("chrf", rows).corpus == pytest.approx(sacrebleu.corpus_chrf(outputs, streams).score)
    # Row by row too, where orders without a word count for nothing.
    for score, (_, p, r) in zip(scored("chrf", rows).rows, rows, strict=True):
        assert score == pytest.approx(sacrebleu.sentence_chrf(p, r).score)
    for score, (_, p, r) in zip(scored("bleu", rows).rows, rows, strict=True):
        assert score == pytest.approx(sacrebleu.sentence_bleu(p, r).score)


@settings(deadline=None)
@given(
    pairs=st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["a", "b", "c", "d", "none"])), min_size=1),
)
def test_macro_f1_is_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    wanted, given_ = (list(x) for x in zip(*pairs, strict=True))
    occurring = sorted({*wanted, *given_} - {"none"})
    theirs = f1_score(wanted, given_, labels=occurring, average="macro", zero_division=0)
    ours = get_metric("macro_f1").score(Texts(given_, [[w] for w in wanted], labels=tuple("abcd")))
    assert ours.corpus == pytest.approx(100 * theirs)


def test_edits() -> None:
    assert edits_between("He go home now .", "He goes home .") == {(1, 2, "goes"), (3, 4, "")}
    right = ("He go to a school .", "He goes to a school .", ["He goes to school ."])
    # one of one edit is right, one of two is found: 1.25 * 1 * 0.5 / (0.25 + 0.5)
    assert scored("edit_f05", [right]).corpus == pytest.approx(100 * 0.625 / 0.75)
    assert scored("edit_match", [right]).corpus == 0
    same = ("All is well .", "All is well .", ["All is well .", "Everything is well ."])
    assert scored("edit_f05", [same]).corpus == 100
    assert scored("edit_match", [same, right]).corpus == 50


def test_what_an_output_does_to_its_source() -> None:
    rows = [("a b c d", "a b", ["x"]), ("e f", " e  f ", ["x"])]
    assert scored("length_ratio", rows).corpus == pytest.approx(100 * 4 / 6)
    assert scored("copied_rate", rows).corpus == 50
    assert scored("self_similarity", [("a b c d e", "a b c d e", ["x"])]).corpus == pytest.approx(100)
    copied, new = ("a b c d e", "a b c d e", ["a b c d e"]), ("v w x y z", "a b c d e", ["a b c d e"])
    assert scored("ibleu", [copied]).corpus == pytest.approx(60)
    assert scored("ibleu", [new]).corpus == pytest.approx(80)


@pytest.mark.parametrize("name", ["sari", "gleu"])
def test_ten_thousand_rows_take_seconds(name: str) -> None:
    row = ("He go to school every day with his old friends and a bag .", "He goes to school daily with his friends .")
    texts = Texts([row[1]] * 10_000, [[row[0], row[1]]] * 10_000, [row[0]] * 10_000)
    start = time.process_time()
    get_metric(name).score(texts)
    assert time.process_time() - start < 5


def test_wrong_calls_are_refused() -> None:
    with pytest.raises(MetierError, match="1 predictions for 2 references"):
        Texts(["a"], [["a"], ["b"]])
    with pytest.raises(MetierError, match="no rows"):
        Texts([], [])
    with pytest.raises(MetierError, match="row 2 has no reference"):
        Texts(["a", "b"], [["a"], []])
    with pytest.raises(MetierError, match="1 sources for 2 predictions"):
        Texts(["a", "b"], [["a"], ["b"]], ["a"])
    with pytest.raises(UserError, match="'rougel' is not known") as caught:
        get_metric("rougel")
    assert caught.value.hint == "did you mean rouge_l?"
    for name, metric in METRICS.items():
        if metric.needs == "sources" and name != "errant":
            with pytest.raises(MetierError, match="sources"):
                metric.score(Texts(["a"], [["a"]]))
    with pytest.raises(MetierError, match="needs labels"):
        METRICS["macro_f1"].score(Texts(["a"], [["a"]]))
    with pytest.raises(MetierError, match="row 1: the reference 'c' is not a label"):
        METRICS["macro_f1"].score(Texts(["a"], [["c"]], labels=("a", "b")))


def test_signatures_say_what_was_set() -> None:
    assert METRICS["sari"].signature(10).startswith("sari|refs:10|case:lc|tok:13a|sacrebleu:2.")
    assert METRICS["exact_match"].signature(1).startswith("exact_match|refs:1|norm:superni|metier:")


@pytest.mark.parametrize(
    ("source", "prediction", "references", "share"),
    [
        ("he go home now", "he goes home now", ["he goes home now"], 0),
        ("he go home now", "he walks home now", ["he goes home now"], 0),  # another edit at a place that needs one
        ("he go home now", "he go home soon", ["he goes home now"], 100),
        ("he go home now", "he goes home soon", ["he goes home now"], 50),
        ("he goes home", "he goes home", ["he went home"], 0),
        ("he goes home", "she goes home", ["he goes home", "she went home"], 0),  # one reference is enough
        ("he goes home", "", ["he goes home"], 100),
    ],
)
def test_over_editing(source: str, prediction: str, references: list[str], share: float) -> None:
    assert scored("over_editing", [(source, prediction, references)]).corpus == pytest.approx(share)


def test_readability_is_textstats_own_grade() -> None:
    import textstat

    texts = [
        "The committee nevertheless postponed its deliberations. It rained heavily all over the country.",
        "Cats sit on the mat.",
        "A castle was built in the 13th century! Who lives there now? Nobody knows.",
    ]
    rows = scored("readability", [("", text, [""]) for text in texts]).rows
    assert rows == pytest.approx([textstat.automated_readability_index(text) for text in texts])


@pytest.mark.model
def test_meaning_is_kept_by_a_copy_and_lost_by_another_sentence(encoder: Path) -> None:
    source = "A man is playing a guitar."
    found = scored(
        "meaning", [(source, p, [source]) for p in (source, "A man plays the guitar.", "Prices rose in May.")]
    )
    same, near, far = found.rows
    assert same == pytest.approx(100, abs=0.1) and same > near > 80 and far < 40
