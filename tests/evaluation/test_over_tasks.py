from __future__ import annotations

import numpy as np
import pytest

from metier.core.records import Example
from metier.evaluation.over_tasks import TaskAnswers, compare_tasks, compare_variants
from metier.evaluation.scored import Scored, mean_of

ROWS = tuple(Example(f"question {i}", f"answer {i}") for i in range(60))


def answers(share: float, seed: int) -> list[str]:
    good = np.random.default_rng(seed).random(len(ROWS)) < share
    return [row.output if right else "wrong" for row, right in zip(ROWS, good, strict=True)]


def task(name: str, specialist: float, cheap: float | None = None) -> TaskAnswers:
    given = {
        "copied_input": [row.input for row in ROWS],
        "zero_shot": answers(0.1, 1),
        "few_shot": answers(0.3, 2),
        "specialist": answers(specialist, 3),
        "specialist_unseen": answers(specialist, 4),
    }
    if cheap is not None:
        given["harper"] = answers(cheap, 5)
    return TaskAnswers(name, "exact_match", None, ROWS, given)


def test_every_task_is_held_against_the_best_of_each_kind() -> None:
    found = compare_tasks([task("good", 0.9, 0.5), task("no better", 0.3)], resamples=1000)
    good, same = found.tasks
    assert good.base is not None and good.base.system == "few_shot"
    assert good.constant.system == "copied_input" and good.constant.score == 0
    assert good.cheap is not None and good.cheap.title == "Harper (rules)" and same.cheap is None
    assert good.holds and not same.holds
    assert good.unseen == pytest.approx(
        np.mean([a == r.output for a, r in zip(answers(0.9, 4), ROWS, strict=True)]) * 100
    )
    assert found.mean_gain is not None and same.base is not None and same.base.gain is not None
    assert good.base.gain is not None
    assert found.mean_gain.value == pytest.approx((good.base.gain.value + same.base.gain.value) / 2)


def test_p_values_are_corrected_for_all_comparisons_together() -> None:
    alone = compare_tasks([task("good", 0.55)], resamples=2000).tasks[0]
    among = compare_tasks([task("good", 0.55), *(task(f"other {i}", 0.3) for i in range(6))], resamples=2000).tasks[0]
    assert alone.base is not None and among.base is not None
    assert alone.base.p_value is not None and among.base.p_value is not None
    assert among.base.p_value > 3 * alone.base.p_value


def test_a_scenario_without_a_prompted_model_has_no_mean_gain() -> None:
    bare = TaskAnswers("one", "exact_match", None, ROWS, {"copied_input": [""] * 60, "specialist": answers(1, 0)})
    found = compare_tasks([bare], resamples=200)
    assert found.tasks[0].base is None and found.tasks[0].holds and found.mean_gain is None


def scored(share: float, seed: int) -> Scored:
    return mean_of(np.where(np.random.default_rng(seed).random(200) < share, 100.0, 0.0))


def test_variants_are_held_against_the_first_on_the_tasks_both_have() -> None:
    found = compare_variants(
        [
            ("all", {"one": scored(0.8, 1), "two": scored(0.5, 2)}, {"rows": 10.0}),
            ("less", {"one": scored(0.3, 3), "two": scored(0.5, 2)}, {}),
            ("one alone", {"one": scored(0.8, 1)}, {}),
        ],
        against="all",
    )
    first, less, alone = found
    assert first.gains == {} and first.mean_gain is None and first.facts == {"rows": 10.0}
    assert less.gains["one"].high < 0
    assert less.gains["two"].low == less.gains["two"].high == 0  # the same answers: no difference, surely
    assert less.mean_gain is not None and less.mean_gain.value == pytest.approx(less.gains["one"].value / 2)
    assert list(alone.gains) == ["one"]
    assert first.mean.value == pytest.approx(np.mean(list(first.scores.values())))
    assert first.mean.low < first.mean.value < first.mean.high
