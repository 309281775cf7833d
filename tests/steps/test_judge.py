from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from metier.core.errors import MetierError
from metier.core.records import Example, MissingSystem, SystemAnswers, SystemKind
from metier.core.step import Done
from metier.data.mixture import MixedRow
from metier.steps.judge import Judged, judge
from metier.tasks.task import Task
from tests.steps.made import alone, make_rows, make_task, pairs_of, said

TEST = pairs_of("test", 12)
RIGHT = tuple(row.output for row in TEST)
LONG = "the old bridge over the river was closed to all cars in the spring of last year"


def system(key: str, kind: SystemKind, texts: Sequence[str], **more: Any) -> SystemAnswers:
    return SystemAnswers(key, key.replace("_", " "), kind, tuple(texts), **more)


SYSTEMS = (
    system("majority", "constant", ["billing"] * 12),
    system("few_shot", "prompted", [*RIGHT[:6], *["billing"] * 6]),
    system("specialist", "specialist", RIGHT, seconds=2.0, learning_seconds=9.0, latencies=(0.1,)),
)
TASK = make_task(evaluation={"resamples": 100})


def judged(
    folder: Path,
    task: Task = TASK,
    systems: Sequence[SystemAnswers] = SYSTEMS,
    test: Sequence[Example] = TEST,
    trained_on: Sequence[MixedRow] = (),
    **more: Any,
) -> Done[Judged]:
    given = {"missing": [], "more_seeds": {}} | more
    return judge(alone(folder, task)[0], make_rows(task, test=test), systems, trained_on=trained_on, **given)


def trained(text: str, origin: Any = "labelled") -> MixedRow:
    return MixedRow("routing", origin, "Do routing.", text, "billing", 9)


def test_every_systems_answers_are_scored_on_the_same_rows(tmp_path: Path) -> None:
    done = judged(tmp_path)
    found = done.value
    scores = {s.system: s.scores["exact_match"] for s in found.comparison.systems}
    assert scores == pytest.approx({"majority": 50.0, "few_shot": 75.0, "specialist": 100.0})
    assert found.comparison.baseline == "few_shot" and found.comparison.gain is not None
    assert found.comparison.gain.value == pytest.approx(25.0)
    assert found.rows == TEST and len(found.predictions) == 36
    assert found.comparison.predictions == (), "they are a table of their own"
    assert done.path.parent == tmp_path / "run" and done.path.name.startswith("evaluation-")


def test_what_answers_took_changes_nothing(tmp_path: Path) -> None:
    slower = [dataclasses.replace(s, seconds=99.0, learning_seconds=99.0, latencies=(9.0,)) for s in SYSTEMS]
    first, again = judged(tmp_path), judged(tmp_path, systems=slower)
    assert again.before and again.key == first.key
    other = dataclasses.replace(SYSTEMS[2], texts=("billing",) * 12)
    assert judged(tmp_path, systems=[*SYSTEMS[:2], other]).key != first.key


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"evaluation": {"resamples": 200}}, True),
        ({"metric": "macro_f1", "evaluation": {"resamples": 100}}, True),
        ({"seed": 1, "evaluation": {"resamples": 100}}, True),
        ({"training": {"epochs": 9}, "evaluation": {"resamples": 100}}, False),
        ({"instruction": "Do it.", "evaluation": {"resamples": 100}}, False),
    ],
)
def test_what_the_key_depends_on(tmp_path: Path, changes: dict[str, Any], differs: bool) -> None:
    assert (judged(tmp_path, make_task(**changes)).key != judged(tmp_path).key) is differs


def test_what_is_nearly_a_test_row_is_found_and_the_gain_is_given_without_it(tmp_path: Path) -> None:
    test = (*TEST, Example(f"{LONG} again", "billing"))
    systems = [dataclasses.replace(s, texts=(*s.texts, "billing")) for s in SYSTEMS]
    found = judged(tmp_path, systems=systems, test=test, trained_on=[trained(LONG), trained("nothing like it")]).value
    (leak,) = found.leakage
    assert (leak.row, leak.training_input) == (12, LONG) and leak.similarity >= 0.7
    assert found.comparison.leaked_rows == 1
    assert found.comparison.clean_gain is not None and found.comparison.clean_gain.value == pytest.approx(25.0)


def test_an_example_in_the_test_is_one_leak_though_it_is_also_trained_on(tmp_path: Path) -> None:
    text = TASK.examples[0].input
    test = (*TEST, Example(text, "billing"))
    systems = [dataclasses.replace(s, texts=(*s.texts, "billing")) for s in SYSTEMS]
    found = judged(tmp_path, systems=systems, test=test, trained_on=[trained(text, "example")]).value
    assert [leak.training_input for leak in found.leakage] == [text]


def test_systems_that_could_not_be_had_and_further_seeds_are_told(tmp_path: Path) -> None:
    missing = [MissingSystem("tfidf_train", "TF-IDF on train", "classic", "no words")]
    found = judged(tmp_path, missing=missing, more_seeds={1: ["billing"] * 12}).value.comparison
    assert {s.system: s.note for s in found.systems}["tfidf_train"] == "no words"
    assert len(found.seeds) == 2 and found.seed_spread is not None and found.seed_spread > 0


def test_without_a_specialist_there_is_nothing_to_judge(tmp_path: Path) -> None:
    with pytest.raises(MetierError, match="there is no specialist"):
        judged(tmp_path, systems=SYSTEMS[:2])


def test_what_was_judged_before_is_said(tmp_path: Path) -> None:
    judged(tmp_path)
    c, _ = alone(tmp_path, TASK)
    judge(c, make_rows(TASK, test=TEST), SYSTEMS, [], {}, [])
    assert said(c) == "evaluation: done before"
