"""Test sets drafted for tasks: what is drawn, what stays, and what so many rows would show."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.core.progress import Reporter
from metier.data.pairs import read_examples
from metier.labelling import testset
from metier.labelling.draw import RANDOM, VARIED
from metier.labelling.testset import Drafted, Wanted, draft, draft_sentences, power_words
from metier.tasks.read_task import load_task
from metier.tasks.task import Task
from tests.labelling.test_ask import Typed
from tests.runs.made import make_labelled, make_task, read_rows, write_rows

QUIET = Reporter(quiet=True)
TODAY = [f"{('the invoice', 'my parcel', 'the page')[i % 3]} is wrong, {i}" for i in range(30)]


@pytest.fixture
def task(tiny_model: Path, tmp_path: Path) -> Task:
    make_labelled(tmp_path)
    path = make_task(tmp_path, tiny_model, "train: train.jsonl\n")
    return load_task(path, [f"evaluation.encoder={tiny_model}"])


def wanted(task: Task, folder: Path, several: int = 8, out: str = "mine.jsonl") -> Wanted:
    write_rows(folder / "today.jsonl", ({"text": text} for text in (*TODAY, "I was charged twice", "line 3 is down")))
    return Wanted(task, folder / "today.jsonl", several, 10.0, folder / out)


def inputs(found: Drafted, part: str) -> list[str]:
    return [question.input for question in found.asked if question.part == part]


def test_half_are_random_half_varied_and_none_is_an_example_or_trained_on(task: Task, tmp_path: Path) -> None:
    found = draft(wanted(task, tmp_path), None, QUIET)
    assert found.pool.known == 2 and set(found.pool.inputs) == set(TODAY)
    assert len(set(inputs(found, RANDOM))) == len(set(inputs(found, VARIED))) == 4
    assert read_rows(tmp_path / "mine.jsonl") == [
        {"input": question.input, "output": "", "part": question.part} for question in found.asked
    ]
    assert draft(wanted(task, tmp_path), None, QUIET).asked == found.asked
    other = draft(wanted(task.but(seed=1), tmp_path, out="other.jsonl"), None, QUIET)
    assert inputs(other, RANDOM) != inputs(found, RANDOM)


def test_a_person_answers_and_goes_on_and_the_file_is_the_test(task: Task, tmp_path: Path) -> None:
    first = draft(wanted(task, tmp_path), Typed("12sq"), QUIET)
    assert len(first.answered) == 2
    terminal = Typed("111111")
    found = draft(wanted(task, tmp_path), terminal, QUIET)
    assert found.asked == first.asked and len(found.answered) == 8
    assert any("] 2 rows: 79.7 points would show; 10 points take 150 rows" in text for text in terminal.shown)
    path = tmp_path / "mine.jsonl"
    assert len(read_examples(path, labels=task.labels).examples) == 8
    assert len(read_examples(path, labels=task.labels, where={"part": ["random"]}).examples) == 4


def test_rows_that_were_written_by_hand_stay_and_are_not_drawn(task: Task, tmp_path: Path) -> None:
    by_hand = [{"input": text, "output": "billing"} for text in TODAY[:5]]
    write_rows(tmp_path / "mine.jsonl", by_hand)
    found = draft(wanted(task, tmp_path), Typed("1111q"), QUIET)
    assert not {question.input for question in found.asked} & set(TODAY[:5])
    assert read_rows(tmp_path / "mine.jsonl")[:5] == by_hand and len(found.answered) == 9
    again = draft(wanted(task, tmp_path), Typed("q"), QUIET)
    assert again.asked == found.asked, "what was answered meanwhile does not change what is drawn"
    said = draft_sentences(wanted(task, tmp_path), again)
    assert f"{tmp_path / 'mine.jsonl'} has 5 further rows with an answer." in said
    assert "9 rows: 46.6 points would show; 10 points take 150 rows." in said
    assert "Once all are answered, 13 rows: 37.6 points would show; 10 points take 150 rows." in said


@pytest.mark.parametrize(
    ("rows", "points", "said"),
    [
        (0, 10, "no rows yet; 10 points take 150 rows"),
        (150, 10, "150 rows: 10.0 points would show"),
        (40, 17.5, "40 rows: 18.1 points would show; 17.5 points take 44 rows"),
        (1, 100, "1 row: 88.7 points would show; 100 points take 2 rows"),
    ],
)
def test_what_so_many_rows_would_show_and_when_the_wanted_would(rows: int, points: float, said: str) -> None:
    assert power_words(rows, points) == said


def test_without_labels_the_answer_is_a_line_and_graded_scores_need_fewer_rows(task: Task, tmp_path: Path) -> None:
    free = task.but(labels=None)
    found = draft(wanted(free, tmp_path, 4), Typed(["an answer", ":q"]), QUIET)
    assert found.answered[0].part == RANDOM
    assert "scores between right and wrong usually need fewer" in " ".join(
        draft_sentences(wanted(free, tmp_path, 4), found)
    )
    assert testset.draft_sentences(wanted(task, tmp_path, 4), found)[-2].endswith("on 20% of the rows.)")
