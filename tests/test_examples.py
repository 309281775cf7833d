"""The example tasks are whole: they load, their test rows are clean, and no row is also an example."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from pathlib import Path

import pytest

from metier.core.records import Example
from metier.data.pairs import read_examples
from metier.tasks.read_task import load_task
from metier.tasks.task import Task

FOLDERS = {p.parent.name: p.parent for p in (Path(__file__).parent.parent / "examples").glob("*/task.yaml")}
ROWS = {"event-extraction": 60, "newspaper-sections": 150, "plain-words": 80, "ticket-routing": 150}
LABELLED = ["newspaper-sections", "ticket-routing"]


def _whole(name: str) -> tuple[Task, tuple[Example, ...]]:
    task = load_task(FOLDERS[name] / "task.yaml")
    assert task.test is not None
    file = read_examples(Path(task.test), labels=task.labels)
    assert file.duplicates == file.conflicts == 0
    return task, file.examples


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def test_they_are_all_here() -> None:
    assert set(FOLDERS) == set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_no_row_is_there_twice_or_shown_as_an_example(name: str) -> None:
    task, rows = _whole(name)
    assert len(rows) == ROWS[name]
    times = Counter(_plain(text) for text in [r.input for r in rows] + [e.input for e in task.examples])
    assert [text for text, n in times.items() if n > 1] == []


@pytest.mark.parametrize("name", ROWS)
def test_it_says_how_to_run_it_and_whose_it_is(name: str) -> None:
    folder = FOLDERS[name]
    first = (folder / "task.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("#") and f"metier run examples/{name}/task.yaml" in first
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert f"{ROWS[name]} test rows" in readme
    assert "by hand" in " ".join(readme.split()) and "CC0-1.0" in readme


@pytest.mark.parametrize("name", LABELLED)
def test_every_label_has_as_many_rows_and_an_example(name: str) -> None:
    task, rows = _whole(name)
    labels = task.labels or ()
    assert Counter(row.output for row in rows) == dict.fromkeys(labels, 30)
    assert Counter(e.output for e in task.examples) == dict.fromkeys(labels, 1)


@pytest.mark.parametrize("name", LABELLED)
def test_the_rows_are_shuffled_and_seldom_hold_their_label(name: str) -> None:
    _, rows = _whole(name)
    told = [row.input for row in rows if re.search(rf"\b{row.output}\b", row.input, re.IGNORECASE)]
    assert len(told) <= len(rows) / 10
    same = sum(a.output == b.output for a, b in itertools.pairwise(rows))
    assert same <= len(rows) / 3  # about a fifth by chance; nearly all if sorted by label


def test_events_are_copied_word_for_word() -> None:
    task, rows = _whole("event-extraction")
    assert task.main_metric == "rouge_l"
    for text, event in [(r.input, r.output) for r in rows] + [(e.input, e.output) for e in task.examples]:
        what, when, where = event.split(" | ")
        assert what != "-", text
        for span in (what, when, where):
            whole = rf"(?<!\w){re.escape(span)}(?!\w)"
            assert span == "-" or re.search(whole, text), f"{span!r} is not in {text!r}"


def test_plain_words_are_fewer() -> None:
    task, rows = _whole("plain-words")
    assert task.main_metric == "rouge_l"
    wordier = [r.input for r in rows if len(r.output.split()) > len(r.input.split()) + 1]
    assert wordier == []
    saved = [1 - len(r.output.split()) / len(r.input.split()) for r in rows]
    assert sum(saved) / len(saved) > 0.25
