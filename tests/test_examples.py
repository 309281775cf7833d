"""The example tasks are whole: they load, their test rows are clean, and no row is also an example."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from metier.data import read_examples
from metier.taskfile import load_task

FOLDERS = sorted(p.parent for p in (Path(__file__).parent.parent / "examples").glob("*/task.yaml"))


def test_they_are_all_here() -> None:
    assert [f.name for f in FOLDERS] == ["event-extraction", "newspaper-sections", "plain-words", "ticket-routing"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.name)
def test_an_example_is_whole(folder: Path) -> None:
    task = load_task(folder / "task.yaml")
    assert task.test is not None
    file = read_examples(Path(task.test), labels=task.labels)
    assert file.duplicates == file.conflicts == 0
    assert len(file.examples) >= 60
    shown = {e.input.lower() for e in task.examples}
    assert not [row for row in file.examples if row.input.lower() in shown]
    assert (folder / "README.md").exists()
    assert f"metier run examples/{folder.name}/task.yaml" in (folder / "task.yaml").read_text().splitlines()[0]


@pytest.mark.parametrize("name", ["newspaper-sections", "ticket-routing"])
def test_every_label_has_as_many_rows(name: str) -> None:
    folder = next(f for f in FOLDERS if f.name == name)
    task = load_task(folder / "task.yaml")
    counts = Counter(row.output for row in read_examples(Path(str(task.test)), labels=task.labels).examples)
    assert counts == dict.fromkeys(task.labels or (), 30)


def test_events_are_copied_word_for_word() -> None:
    folder = next(f for f in FOLDERS if f.name == "event-extraction")
    task = load_task(folder / "task.yaml")
    rows = read_examples(Path(str(task.test)), labels=None).examples
    pairs = [(r.input, r.output) for r in rows] + [(e.input, e.output) for e in task.examples]
    for text, event in pairs:
        parts = event.split(" | ")
        assert len(parts) == 3
        assert all(part == "-" or part in text for part in parts), text
