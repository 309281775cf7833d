"""The shipping step: what becomes the product, and the sentence that says why."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from metier.core.errors import UserError
from metier.core.records import Answers, Example
from metier.core.run_folder import Run
from metier.core.step import Artifact, Cost, Done, Work, once
from metier.data.mixture import MixedRow
from metier.steps.answer import Answered, material_of
from metier.steps.context import Context
from metier.steps.ship import Shipped, ship
from metier.systems.base import Material
from metier.systems.product import open_product, read_product
from metier.tasks.task import Task
from tests.steps.made import alone, make_rows, make_task, pairs_of, said
from tests.systems.scripted import Scripted

TEST = pairs_of("test", 200)
RIGHT = tuple(row.output for row in TEST)
LABELLED = [
    MixedRow("routing", "labelled", "Do routing.", pair.input, pair.output, 9) for pair in pairs_of("train", 20)
]
ONLY: dict[str, float] = {"majority": 0.0, "tfidf_train": 0.001, "few_shot": 0.1, "specialist": 1.0}
"""Systems and the seconds that a row takes them."""


@dataclasses.dataclass(frozen=True)
class _Inputs:
    system: str
    wrong: int


def wrong_on(several: int) -> tuple[str, ...]:
    """Return answers that are wrong on the first rows."""
    other = {"billing": "delivery", "delivery": "billing"}
    return tuple(other[a] if i < several else a for i, a in enumerate(RIGHT))


def answered(run: Run, wrong: Mapping[str, int], rows: int = 200) -> list[Done[Answered]]:
    """Return the answering steps of some Systems, each wrong on so many rows."""

    def of(system: str) -> Done[Answered]:
        def make(inputs: _Inputs, work: Work) -> Answered:
            texts = wrong_on(inputs.wrong)[:rows]
            shares = None
            if system.startswith("tfidf"):
                # Less sure where it is wrong, and no two rows alike.
                sure = [(0.6 if i < inputs.wrong else 0.8) + i / 2000 for i in range(rows)]
                shares = tuple((p, 1 - p) if t == "billing" else (1 - p, p) for p, t in zip(sure, texts, strict=True))
            work._keep(Cost(latencies=(ONLY.get(system, 0.5),)))
            return Answered(Answers(texts, shares), 100)

        return once(run, f"answers-{system}", _Inputs(system, wrong[system]), make)

    return [of(system) for system in wrong]


def task(**changes: Any) -> Task:
    return make_task(evaluation={"answer_by": "writing"}, **changes)


def had(c: Context, given: Task, folder: Path) -> Material:
    (folder / "tuned").mkdir(exist_ok=True)
    (folder / "tuned" / "adapter_model.safetensors").write_bytes(b"weights")
    return material_of(c, make_rows(given, test=TEST), LABELLED, {"task": Artifact("tuned", folder / "tuned")})


def shipped(folder: Path, wrong: Mapping[str, int], given: Task | None = None, rows: int = 200) -> Shipped:
    """Ship one of some Systems."""
    given = given or task()
    c, _ = alone(folder, given, Scripted())
    test: tuple[Example, ...] = TEST[:rows]
    return ship(c, make_rows(given, test=test), had(c, given, folder), answered(c.run, wrong, rows), None)


GOOD = {"majority": 100, "tfidf_train": 11, "few_shot": 60, "specialist": 10}


def test_the_cheapest_that_is_good_enough_ships_and_can_be_opened(tmp_path: Path) -> None:
    found = shipped(tmp_path, GOOD)
    product = found.product
    assert (product.system, product.form, product.kind) == ("tfidf_train", "tfidf", "classic")
    assert found.choice is not None and found.choice.best == "specialist"
    assert product.why.startswith("it is the cheapest of 2 Systems that lose at most 2 points to the best (specialist)")
    assert product.measured is not None and product.measured.score.value == pytest.approx(94.5)
    assert product.measured.milliseconds == 1.0 and product.measured.scores["specialist"].value == pytest.approx(95)
    assert product.model is None and product.confidence is not None and product.threshold is None
    assert found.folder == tmp_path / "run" / "product" and read_product(found.folder) == product
    c, _ = alone(tmp_path, task())
    opened = open_product(found.folder, product, c.tools(c.run))
    assert opened.answer([LABELLED[0].input])[0].text == "billing"


def test_the_best_ships_where_the_cheap_ones_lose_too_much(tmp_path: Path) -> None:
    found = shipped(tmp_path, GOOD | {"tfidf_train": 80})
    assert found.product.system == "specialist" and found.product.model is not None
    assert "no cheaper System is shown to be within 2 points" in found.product.why
    assert (found.folder / "weights" / "adapter_model.safetensors").read_bytes() == b"weights"


def test_few_rows_ship_the_best_and_say_how_many_would_do(tmp_path: Path) -> None:
    found = shipped(tmp_path, {"specialist": 0, "tfidf_train": 0}, rows=5)
    assert found.product.system == "specialist", "of equals the first; the other is not shown to be as good"
    assert found.choice is not None and found.choice.rows_needed is not None
    assert "5 test rows are too few to tell whether a cheaper one is as good" in found.product.why


def test_the_task_file_may_name_it(tmp_path: Path) -> None:
    found = shipped(tmp_path, GOOD, task(ship="few_shot"))
    assert (found.product.system, found.product.why) == ("few_shot", "the task file names it (ship: few_shot)")
    assert found.product.measured is not None and found.product.measured.score.value == pytest.approx(70)
    assert found.product.measured.unseen_score is None, "nothing was chosen"


@pytest.mark.parametrize("named", ["tfidf", "encoder_all"])
def test_a_name_that_did_not_answer_is_the_users_mistake(named: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"ship: '{named}' is not a System that answered") as caught:
        shipped(tmp_path, GOOD, task(ship=named))
    assert caught.value.hint == "one of tfidf_train, few_shot, specialist"


def test_a_test_of_the_tuned_model_cannot_be_shipped(tmp_path: Path) -> None:
    wrong = GOOD | {"specialist_unseen": 9}
    with pytest.raises(UserError, match="'specialist_unseen' is a way to test the tuned model") as caught:
        shipped(tmp_path, wrong, task(ship="specialist_unseen"))
    assert caught.value.hint == "name specialist"


def test_the_majority_ships_only_where_it_is_named(tmp_path: Path) -> None:
    perfect = {"majority": 0, "specialist": 150}
    assert shipped(tmp_path / "one", perfect).product.system == "specialist"
    assert shipped(tmp_path / "two", perfect, task(ship="majority")).product.system == "majority"


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()


def test_without_test_rows_it_is_the_tuned_model_untested(tmp_path: Path) -> None:
    found = shipped(tmp_path, {}, rows=0)
    assert found.product.system == "specialist" and found.choice is None
    assert "no test rows" in found.product.why and "untested" in found.product.why
    assert found.product.measured is None and found.product.confidence is None


def test_a_second_call_changes_nothing_on_disk(tmp_path: Path) -> None:
    def state() -> dict[str, tuple[int, int, bytes]]:
        files = [path for path in (tmp_path / "run" / "product").rglob("*") if path.is_file()]
        return {str(p): (p.stat().st_ino, p.stat().st_mtime_ns, p.read_bytes()) for p in files}

    first = shipped(tmp_path, GOOD)
    before = state()
    assert shipped(tmp_path, GOOD) == first and state() == before and len(before) >= 5
    other = shipped(tmp_path, GOOD, task(ship="few_shot"))
    assert read_product(other.folder).system == "few_shot" and state() != before
    assert not (other.folder / "head.json").exists(), "nothing is left of the one before"


def test_what_is_made_is_told_once(tmp_path: Path) -> None:
    given = task()
    c, _ = alone(tmp_path, given, Scripted())
    for _ in range(2):
        ship(c, make_rows(given, test=TEST), had(c, given, tmp_path), answered(c.run, GOOD), None)
    assert said(c).count("product: TF-IDF on train") == 1


def test_a_promise_of_accuracy_is_made_on_the_test_rows_or_refused(tmp_path: Path) -> None:
    found = shipped(tmp_path, GOOD, task(abstain={"accuracy": 0.8}))
    assert found.product.threshold is not None and found.product.threshold.lower >= 0.8
    assert found.product.threshold.state == "firm"
    with pytest.raises(UserError, match="has no probabilities"):
        shipped(tmp_path, GOOD, task(abstain={"accuracy": 0.8}, ship="few_shot"))
    with pytest.raises(UserError, match="no test rows to fit them on"):
        shipped(tmp_path, {}, task(abstain={"accuracy": 0.8}), rows=0)
