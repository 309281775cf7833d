from __future__ import annotations

from pathlib import Path
from typing import Any

from metier.core.step import Artifact
from metier.systems import unseen_wordings
from metier.systems.base import Learned
from tests.systems.scripted import Scripted, input_of, make_material, make_tools

WORDINGS = ("Which team?", "Who answers this?", "Route it.")


def learn(folder: Path, engine: Scripted, **changes: Any) -> Learned:
    material = make_material(folder, unseen_wordings=WORDINGS, weights={"task": Artifact("tuned", folder)}, **changes)
    return unseen_wordings.learn(material, make_tools(folder, engine), tuned="task")


def test_the_wordings_take_turns_over_the_inputs_and_the_order_stays(tmp_path: Path) -> None:
    engine = Scripted(write=lambda prompt, sample: f" {input_of(prompt)} by {prompt.partition(chr(10))[0]}")
    texts = [f"row {i}" for i in range(5)]
    found = learn(tmp_path, engine, labels=None).answer(texts)
    assert found.texts == tuple(f"row {i} by {WORDINGS[i % 3]}" for i in range(5))
    assert len(engine.generated) == 5, "every row is asked once"


def test_fewer_rows_than_wordings(tmp_path: Path) -> None:
    engine = Scripted(write=lambda prompt, sample: prompt.partition("\n")[0])
    assert learn(tmp_path, engine, labels=None).answer(["a"]).texts == WORDINGS[:1]


def test_with_labels_every_wording_is_scored(tmp_path: Path) -> None:
    engine = Scripted(likely=lambda prompt, answer: 0.0 if ("Route" in prompt) == (answer == " delivery") else -9.0)
    assert learn(tmp_path, engine, label_prior="none").answer(["a", "b", "c"]).texts == (
        "billing",
        "billing",
        "delivery",
    )


def test_rows_that_do_not_fit_are_counted_over_all_wordings(tmp_path: Path) -> None:
    found = learn(tmp_path, Scripted(context_length=300), labels=None).answer(["x" * 300] * 2 + ["a"])
    assert found.unasked == 2 and found.texts == ("", "", "billing")
