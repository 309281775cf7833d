from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metier.core.step import Artifact
from metier.systems import tuned
from metier.systems.base import Learned
from metier.systems.scored import Scorer
from metier.systems.written import Writer
from tests.systems.scripted import Opened, Scripted, make_material, make_tools


def learn(folder: Path, opened: Opened | None = None, **changes: Any) -> Learned:
    material = make_material(folder, weights={"task": Artifact("tuned", folder)}, **changes)
    return tuned.learn(material, make_tools(folder, Scripted(), opened=opened), tuned="task")


@pytest.mark.parametrize(("prior", "reading"), [("content_free", "prior"), ("synthetic", "prior"), ("none", "mean")])
def test_with_labels_the_likeliest_is_taken(tmp_path: Path, prior: str, reading: str) -> None:
    learned = learn(tmp_path, label_prior=prior)
    assert isinstance(learned, Scorer) and learned.reading == reading
    assert bool(learned.prior) == (reading == "prior")


def test_with_labels_it_writes_when_asked_to(tmp_path: Path) -> None:
    assert isinstance(learn(tmp_path, answer_by="writing"), Writer)


def test_free_text_is_written_however_labels_are_answered(tmp_path: Path) -> None:
    assert isinstance(learn(tmp_path, labels=None, answer_by="likelihood"), Writer)


@pytest.mark.parametrize("changes", [{}, {"answer_by": "writing"}, {"labels": None}])
def test_it_is_the_tuned_model_that_answers(tmp_path: Path, changes: dict[str, Any]) -> None:
    opened = Opened()
    learned = learn(tmp_path, opened, **changes)
    assert isinstance(learned, Writer | Scorer)
    assert learned.asker.weights == Artifact("tuned", tmp_path) and opened == ["tuned"]
