"""Rows of today labelled for finished runs: what is asked, what is kept, and what it says of the product."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

import metier
from metier.cli import run_cli
from metier.core.errors import UserError
from metier.core.progress import Reporter
from metier.core.records import Interval
from metier.data.pairs import read_examples
from metier.evaluation.drift import compare_samples
from metier.evaluation.scored import mean_of
from metier.evaluation.shares import Share
from metier.labelling.draw import RANDOM, UNCERTAIN, VARIED, Question
from metier.labelling.label import ANSWERS, FORM, Labelled, Score, Wanted, label
from metier.labelling.sentences import label_sentences, score_sentences
from tests.labelling.test_ask import Typed
from tests.runs.made import mixed, read_rows, write_rows
from tests.systems.test_product import saved

QUIET = Reporter(quiet=True)
TODAY = [f"{('the invoice', 'my parcel', 'the invoice of my parcel')[i % 3]} is wrong, {i}" for i in range(30)]


@pytest.fixture(scope="module")
def run(task_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that ended with TF-IDF. Copy it before use."""
    folder = tmp_path_factory.mktemp("labelled") / "task"
    shutil.copytree(task_run, folder)
    command = ["run", str(folder / "task.yaml"), "ship=tfidf_synthetic", "--out", str(folder / "out"), "--quiet"]
    assert run_cli(command) == 0
    return folder / "out"


@pytest.fixture
def own(run: Path, tmp_path: Path) -> Path:
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


def write_today(folder: Path, more: list[str] | None = None) -> Path:
    write_rows(folder / "today.jsonl", ({"text": text} for text in (*TODAY, *(more or ()))))
    return folder / "today.jsonl"


def fill_in(path: Path, answer: str = "billing") -> None:
    write_rows(path, [row | {"output": row["output"] or answer} for row in read_rows(path)])


def parts(found: Labelled, part: str) -> list[str]:
    return [question.input for question in found.asked if question.part == part]


def test_half_are_random_and_half_are_those_the_product_is_least_sure_of(own: Path, tmp_path: Path) -> None:
    known = ["case 3 charged", "I was charged twice", mixed(own)[-1]["input"]]
    found = label(Wanted(own, write_today(tmp_path, known), 10), None, QUIET)
    random_rows, uncertain = parts(found, RANDOM), parts(found, UNCERTAIN)
    assert len(random_rows) == len(uncertain) == 5 and found.pool.known == 3, "what the run knows is not asked about"
    assert not set(known) & {question.input for question in found.asked}
    model = metier.load(own)
    sure = {text: model.classify(text).probability or 0 for text in TODAY}
    rest = sorted(share for text, share in sure.items() if text not in random_rows)
    assert [sure[text] for text in uncertain] == pytest.approx(rest[:5])
    rows = read_rows(own / FORM)
    assert [set(row) for row in rows] == [{"input", "output", "part"}] * 10, "no answer of the product is shown"
    assert found.score is None and not (own / ANSWERS).exists()
    assert f"Fill in the column output in {own / FORM}; the same command then reads it." in label_sentences(found)


def test_what_was_filled_in_is_read_kept_and_compared_with_the_test(own: Path, tmp_path: Path) -> None:
    wanted = Wanted(own, write_today(tmp_path), 10, out=tmp_path / "form.csv")
    first = label(wanted, None, QUIET)
    text = (tmp_path / "form.csv").read_text().replace('""', '"billing"')
    (tmp_path / "form.csv").write_text(text)
    found = label(wanted, None, QUIET)
    assert found.asked == first.asked == found.answered and found.score is not None
    rows = read_rows(own / ANSWERS)
    assert [(row["input"], row["output"]) for row in rows] == [(q.input, "billing") for q in found.asked]
    assert [row["part"] for row in rows] == [q.part for q in found.asked]
    right = sum(text == "billing" for text in metier.load(own)(parts(found, RANDOM)))
    every = read_rows(next(own.glob("evaluation-*")) / "predictions.jsonl")
    tested = [row for row in every if row["system"] == "tfidf_synthetic"]
    drift = found.score.drift
    assert drift.today == Share(right, 5).interval
    assert drift.test == Share(sum(row["score"] == 100 for row in tested), 10).interval
    assert label_sentences(found)[-3].startswith("In its test it was ")
    more = label(dataclasses.replace(wanted, several=14), None, QUIET)
    assert parts(more, RANDOM)[:5] == parts(found, RANDOM), "a larger draw goes on where a smaller one ended"
    assert {q.input for q in more.answered} >= set(parts(found, RANDOM)) and len(more.answered) < len(more.asked)
    assert len(read_rows(own / ANSWERS)) == 10


def test_a_person_is_asked_and_the_same_command_goes_on(own: Path, tmp_path: Path) -> None:
    wanted = Wanted(own, write_today(tmp_path), 6)
    first = label(wanted, Typed("12q"), QUIET)
    assert [q.part for q in first.answered] == [RANDOM, UNCERTAIN] and first.form is None
    found = label(wanted, Typed("1111"), QUIET)
    assert len(found.answered) == 6 and found.asked == first.asked
    assert found.score is not None and found.score.drift.rows == 3
    assert read_examples(own / ANSWERS, labels=("billing", "delivery")).examples[1].output == "delivery"


def test_what_was_learnt_from_is_not_asked_about_again(own: Path, tmp_path: Path) -> None:
    wanted = Wanted(own, write_today(tmp_path), 6)
    first = label(wanted, Typed("121212"), QUIET)
    (mixture,) = own.glob("mixture-*/rows.jsonl")
    write_rows(mixture, [*read_rows(mixture), *({"task": "tiny", "input": q.input} for q in first.asked)])
    again = label(wanted, Typed("q"), QUIET)
    assert not {q.input for q in again.asked} & {q.input for q in first.asked}


def test_a_product_by_itself_has_no_test_to_compare_with(tmp_path: Path) -> None:
    product = saved(tmp_path)
    found = label(Wanted(product, write_today(tmp_path), 8), Typed("11111111"), QUIET)
    assert found.score is not None and found.score.drift.test is None and found.answers == product / ANSWERS
    assert label_sentences(found)[-1] == "There is no test of it here to compare with."
    assert metier.load(product)("the invoice is wrong") == "billing"


def test_a_product_without_probabilities_is_asked_for_rows_unlike_those_it_knows(
    own: Path, tmp_path: Path, tiny_model: Path
) -> None:
    path = own / "product" / "product.json"
    (own / "task.json").write_text((own / "task.json").read_text().replace("all-minilm-l6-v2", str(tiny_model)))
    path.write_text(path.read_text().replace('"form": "tfidf"', '"form": "copied"'))
    (own / "product" / "files.json").unlink()  # it knows what was written
    found = label(Wanted(own, write_today(tmp_path), 6), None, QUIET)
    assert len(parts(found, RANDOM)) == len(parts(found, VARIED)) == 3


def test_of_several_tasks_one_is_named_and_free_text_is_scored_by_the_tasks_metric(
    scenario_run: Path, tmp_path: Path, tiny_model: Path
) -> None:
    shutil.copytree(scenario_run / "out", tmp_path / "run")
    own = tmp_path / "run" / "tasks" / "mend"
    (own / "task.json").write_text((own / "task.json").read_text().replace("all-minilm-l6-v2", str(tiny_model)))
    wanted = Wanted(tmp_path / "run", write_today(tmp_path), 4, task="mend")
    found = label(wanted, Typed(["the invoice was wrong", "", "my parcel", ":q"]), QUIET)
    assert [q.part for q in found.asked] == [RANDOM, VARIED] * 2 and found.answers == own / ANSWERS
    assert found.score is not None and found.score.metric == "gleu"
    assert label_sentences(found)[-1] == "2 random rows are too few for a score by GLEU."


def test_the_form_is_no_place_for_the_answers(own: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the answers are kept in this file"):
        label(Wanted(own, write_today(tmp_path), 6, out=own / ANSWERS), None, QUIET)


ASKED = [Question(str(i), RANDOM) for i in range(40)]


@pytest.mark.parametrize(
    ("right", "of", "tested", "said"),
    [
        (25, 40, (140, 150), "Drift: it has become worse; the difference is -30.8 [-46.6, -16.6] points."),
        (36, 40, (75, 150), "It has become better; the difference is +40.0 [+24.7, +49.9] points."),
        (17, 20, (138, 150), "Whether it has changed cannot be told: the difference is -7.0 [-28.3, +4.2] points"),
        (17, 20, (138, 150), "189 random rows would show a drop of 10 points four times in five (--rows 378)."),
        (18, 20, (18, 20), "The test itself has too few rows to show a drop of 10 points four times in five"),
        (17, 20, (138, 150), "20 random rows have no answer: if they are harder,"),
        (180, 200, (138, 150), "So many rows would have shown a drop of 10 points four times in five."),
    ],
)
def test_whether_there_is_drift_is_said_or_that_it_cannot_be_told(
    right: int, of: int, tested: tuple[int, int], said: str
) -> None:
    today, test = (mean_of([100.0] * n + [0.0] * (m - n)) for n, m in ((right, of), tested))
    score = Score("exact_match", compare_samples(today, test, seed=0))
    assert said in " ".join(score_sentences(score, ASKED))


def test_that_a_choice_by_a_test_flatters_is_said_where_it_matters() -> None:
    drift = compare_samples(mean_of([100.0] * 20), mean_of([100.0] * 90 + [0.0] * 10), seed=0)
    for unseen, said in ((88.5, True), (89.5, False)):
        told = score_sentences(Score("exact_match", drift, unseen=Interval(unseen, 80, 95)), ASKED)
        assert (f"such a choice has {unseen} on rows without a part in it" in " ".join(told)) == said


def test_several_right_answers_are_no_measure_for_one() -> None:
    score = Score("gleu", compare_samples(mean_of([40.0, 50.0] * 10), None, seed=0), True)
    told = score_sentences(score, [])
    assert told[-1].startswith("Its test rows have several right answers") and "has a score (GLEU) of 45.0 [" in told[0]
