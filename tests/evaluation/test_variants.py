from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metier.evaluation.scored import Scored, mean_of
from metier.evaluation.variants import BASE, Condition, Outcome, outcomes, smallest_sufficient
from metier.report.study import study_sentences, study_table, write_study


def right(share: float, seed: int, rows: int = 400) -> Scored:
    return mean_of(np.where(np.random.default_rng(seed).random(rows) < share, 100.0, 0.0))


def found() -> list[Outcome]:
    return outcomes(
        [
            (Condition(BASE, ""), {0: right(0.3, 0)}),
            (Condition("random, 1%", "random", 0.01, 10, 100), {s: right(0.4, s) for s in (1, 2, 3)}),
            (Condition("k_center, 1%", "k_center", 0.01, 10, 100), {s: right(0.6, 10 + s) for s in (1, 2, 3)}),
            (Condition("random, 10%", "random", 0.1, 100, 1000), {s: right(0.72, 20 + s) for s in (1, 2, 3)}),
            (Condition("k_center, 10%", "k_center", 0.1, 100, 1000), {s: right(0.75, 30 + s) for s in (1, 2, 3)}),
            (Condition("all related", "related", None, 500, 5000), {s: right(0.74, 40 + s) for s in (1, 2, 3)}),
        ],
        resamples=500,
        seed=0,
    )


def test_differences_are_between_means_over_seeds_and_have_their_interval() -> None:
    by_name = {o.condition.name: o for o in found()}
    small = by_name["k_center, 1%"]
    assert small.over_random is not None and small.over_related is not None
    at_random = by_name["random, 1%"]
    assert small.over_random.value == pytest.approx(small.score.value - at_random.score.value)
    assert small.score.value == pytest.approx(np.mean(list(small.by_seed.values())))
    assert small.over_random.low > 0 > small.over_related.high
    assert small.score.low < small.score.value < small.score.high
    assert by_name[BASE].over_random is None and at_random.over_random is None


def test_the_smallest_budget_that_will_do() -> None:
    all_of_them = found()
    enough = smallest_sufficient(all_of_them, "k_center")
    assert enough is not None and enough.condition.share == 0.1
    assert smallest_sufficient(all_of_them[:3], "k_center") is None
    said = " ".join(study_sentences(all_of_them))
    assert "k_center: 10% (100 rows) is the smallest budget not shown to be worse" in said
    assert "k_center, 1% is better than as many rows at random" in said


def test_without_a_gain_it_is_said() -> None:
    same = [
        (Condition("random, 1%", "random", 0.01, 10, 100), {0: right(0.5, 1)}),
        (Condition("nearest, 1%", "nearest", 0.01, 10, 100), {0: right(0.5, 1)}),
    ]
    assert study_sentences(outcomes(same, resamples=200, seed=0)) == [
        "No strategy was shown to be better than as many rows at random."
    ]


def test_the_page_holds_every_condition_and_a_curve(tmp_path: Path) -> None:
    write_study(found(), "a <task>", tmp_path / "study.html")
    page = (tmp_path / "study.html").read_text()
    assert "a &lt;task&gt;" in page and page.count("<svg") == 2
    assert all(o.condition.name in page for o in found())
    assert study_table(found()).row_count == 6


def test_more_wordings_are_set_beside_one_of_the_same_rows() -> None:
    several = outcomes(
        [
            (Condition("random, 50%, 1 wording", "random", 0.5, 10, 100, 1), {0: right(0.4, 1)}),
            (Condition("k_center, 50%, 1 wording", "k_center", 0.5, 10, 100, 1), {0: right(0.4, 2)}),
            (Condition("random, 50%, 9 wordings", "random", 0.5, 10, 100, 9), {0: right(0.4, 3)}),
            (Condition("k_center, 50%, 9 wordings", "k_center", 0.5, 10, 100, 9), {0: right(0.7, 4)}),
        ],
        resamples=200,
        seed=0,
    )
    one, many = several[1], several[3]
    assert one.over_one is None and one.over_random is not None
    assert many.over_one is not None and many.over_one.value == pytest.approx(many.score.value - one.score.value)
    assert many.over_random is not None
    assert many.over_random.value == pytest.approx(many.score.value - several[2].score.value)
    said = study_sentences(several)
    assert any(line.startswith("k_center, 50%, 9 wordings: +") and line.endswith("over one wording.") for line in said)
    assert "More wordings were not shown to be better than one." in study_sentences(several[:3])
