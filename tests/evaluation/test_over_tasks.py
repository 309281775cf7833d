from __future__ import annotations

import json

import numpy as np
import pytest

from metier.core.codec import decode, encode
from metier.core.errors import MetierError
from metier.core.records import Example
from metier.evaluation.measure import Measure
from metier.evaluation.over_tasks import ScenarioOutcome, TaskAnswers, compare_tasks

from .made import answered

ROWS = tuple(Example(f"question {i}", f"answer {i}") for i in range(60))


def answers(share: float, seed: int) -> tuple[str, ...]:
    good = np.random.default_rng(seed).random(len(ROWS)) < share
    return tuple(row.output if right else "wrong" for row, right in zip(ROWS, good, strict=True))


def task(name: str, specialist: float, cheap: float | None = None, *, resamples: int = 1000) -> TaskAnswers:
    given = {
        "copied_input": tuple(row.input for row in ROWS),
        "zero_shot": answers(0.1, 1),
        "few_shot": answers(0.3, 2),
        "specialist": answers(specialist, 3),
        "specialist_unseen": answers(specialist, 4),
    }
    if cheap is not None:
        given["harper"] = answers(cheap, 5)
    systems = tuple(answered(system, texts) for system, texts in given.items())
    return TaskAnswers(name, Measure("exact_match", resamples=resamples), ROWS, systems)


def test_every_task_is_judged_against_the_best_without_the_specialist() -> None:
    found = compare_tasks([task("good", 0.9, 0.5), task("no better", 0.3)], resamples=1000)
    good, same = found.tasks
    assert good.best.system == "few_shot"  # Harper scores higher, but answers another question
    constant, cheap = good.best_of("constant"), good.best_of("classic")
    assert constant is not None and constant.system == "copied_input" and constant.score == 0
    assert cheap is not None and cheap.system == "harper" and cheap.score > good.best.score
    assert same.best_of("classic") is None and good.best_of("prompted") == good.best
    assert good.holds and not same.holds and same.verdict == "not shown to be better"
    assert good.unseen == pytest.approx(
        np.mean([a == r.output for a, r in zip(answers(0.9, 4), ROWS, strict=True)]) * 100
    )
    assert found.mean_gain is not None and same.best.gain is not None and good.best.gain is not None
    assert found.mean_gain.value == pytest.approx((good.best.gain.value + same.best.gain.value) / 2)


def test_the_tasks_largest_p_values_are_corrected_for_the_tasks() -> None:
    tasks = [task("good", 0.55, resamples=2000), *(task(f"other {i}", 0.3) for i in range(6))]
    alone, among = compare_tasks(tasks[:1]).tasks[0], compare_tasks(tasks).tasks[0]
    assert alone.p_value is not None and among.p_value is not None
    assert among.p_value == pytest.approx(7 * alone.p_value)
    # Single p-values are the same, however many tasks there are; the largest is the task's.
    assert among.rivals == alone.rivals
    assert alone.p_value == max(r.p_value for r in alone.rivals if r.p_value is not None)


def test_what_holds_alone_may_not_hold_among_many() -> None:
    barely = [task(f"task {i}", 0.45) for i in range(8)]
    assert compare_tasks(barely[:1]).tasks[0].holds
    assert not compare_tasks(barely).tasks[0].holds


def test_a_task_without_a_rival_is_refused() -> None:
    bare = TaskAnswers("bare", Measure("exact_match"), ROWS, (answered("specialist", answers(1, 0)),))
    with pytest.raises(MetierError, match="bare: there is nothing to compare"):
        compare_tasks([bare])


def test_an_outcome_goes_to_json_and_back() -> None:
    found = compare_tasks([task("good", 0.9), task("same", 0.3)], resamples=200)
    assert decode(ScenarioOutcome, json.loads(json.dumps(encode(found)))) == found
