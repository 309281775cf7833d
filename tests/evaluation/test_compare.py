"""The comparison on answers made by hand, where every number can be worked out."""

from __future__ import annotations

import dataclasses
import json

import pytest

from metier.core.codec import decode, encode
from metier.core.errors import MetierError
from metier.core.records import Example, MissingSystem, SystemAnswers
from metier.evaluation.compare import Comparison, compare
from metier.evaluation.measure import Measure

from .made import answered

LABELS = ("a", "b")
ROWS = [Example(f"text {i}", LABELS[i % 2]) for i in range(40)]
MEASURE = Measure("exact_match", LABELS, resamples=500)


def right(share: float, *, offset: int = 0) -> tuple[str, ...]:
    wrong = {"a": "b", "b": "a"}
    limit = round(share * len(ROWS))
    return tuple(r.output if (i + offset) % len(ROWS) < limit else wrong[r.output] for i, r in enumerate(ROWS))


def systems(**more: tuple[str, ...]) -> list[SystemAnswers]:
    named = {
        "majority": ("a",) * len(ROWS),
        "few_shot": right(0.5),
        "tfidf_synthetic": right(0.95),
        "specialist": right(0.9),
        **more,
    }
    return [answered(name, texts) for name, texts in named.items()]


def test_the_verdict_is_about_the_best_that_uses_the_same_model_or_none() -> None:
    found = compare(MEASURE, ROWS, systems())
    scores = {s.system: s for s in found.systems}
    assert found.baseline == "majority"  # 50, as few-shot has: of equals the plainer one
    assert found.verdict == "better" and found.gain is not None
    assert found.gain.value == pytest.approx(40)
    assert scores["tfidf_synthetic"].gain is not None and scores["tfidf_synthetic"].gain.value == pytest.approx(-5)
    assert (scores["tfidf_synthetic"].kind, scores["tfidf_synthetic"].title) == ("classic", "tfidf synthetic")


def test_p_values_are_single_ones_and_the_largest_decides() -> None:
    few = compare(MEASURE, ROWS, systems())
    alone = {s.system: s.p_value for s in few.systems}
    many = compare(MEASURE, ROWS, systems(**{f"prompt_{i}": right(0.1) for i in range(20)}))
    among = {s.system: s.p_value for s in many.systems}
    assert among["few_shot"] == alone["few_shot"]  # more rivals do not change a single test
    assert few.p_value == max(p for s, p in alone.items() if p is not None and s in ("majority", "few_shot"))
    # 65 beside a tuned model's 50 that is right on other rows: not told apart.
    close = compare(MEASURE, ROWS, systems(specialist=right(0.65), tuned_on_examples=right(0.5, offset=14)))
    assert close.p_value is not None and close.p_value >= 0.05
    assert close.verdict == "not shown to be better"


def test_systems_keep_their_order_with_the_runs_own_last() -> None:
    given = systems(specialist_unseen=right(0.8))
    found = compare(MEASURE, ROWS, given, missing=[MissingSystem("harper", "Harper", "classic", "not installed")])
    assert [s.system for s in found.systems] == [
        "majority",
        "few_shot",
        "tfidf_synthetic",
        "harper",
        "specialist_unseen",
        "specialist",
    ]
    row = found.systems[3]
    assert row.scores == {} and row.note == "not installed" and row.p_value is None
    assert found.systems[4].gain is None  # the run's own model is not its rival


def test_what_systems_took_stands_in_their_rows() -> None:
    given = [*systems()[:-1], answered("specialist", right(0.9), seconds=3.0)]
    assert compare(MEASURE, ROWS, given).systems[-1].seconds == 3.0


def test_a_gain_is_split_into_ability_and_format() -> None:
    more = {"label_scoring_calibrated": right(0.8), "specialist_written": right(0.9)}
    given = systems(**more)
    assert compare(MEASURE, ROWS, given).split is None  # the specialist writes: nothing was scored
    sure = tuple((1.0, 0.0) if text == "a" else (0.0, 1.0) for text in right(0.9))
    scored = [dataclasses.replace(s, probabilities=sure) if s.system == "specialist" else s for s in given]
    found = compare(MEASURE, ROWS, scored)
    assert found.split is not None
    assert found.split.ability.value == pytest.approx(10)
    assert found.split.format.value == pytest.approx(30)  # 40 in all over few-shot
    assert found.baseline == "label_scoring_calibrated"


def test_seeds_are_spread_beside_the_interval() -> None:
    found = compare(MEASURE, ROWS, systems(), more_seeds={1: right(0.8), 2: right(0.7)})
    assert [s.score for s in found.seeds] == pytest.approx([90, 80, 70])
    assert found.seed_spread == pytest.approx(10)
    assert [s.gain for s in found.seeds] == pytest.approx([40, 30, 20])


def test_leaked_rows_are_left_out_of_the_clean_gain() -> None:
    found = compare(MEASURE, ROWS, systems(), leaked=[*range(20), 0])
    assert found.leaked_rows == 20 and found.clean_gain is not None
    assert found.clean_gain.value == pytest.approx(100 * (16 / 20 - 0.5))
    assert compare(MEASURE, ROWS, systems()).clean_gain is None


def test_one_row_has_no_interval_and_no_verdict() -> None:
    found = compare(MEASURE, ROWS[:1], [answered("few_shot", ("b",)), answered("specialist", ("a",))])
    assert found.gain is None and found.verdict is None and found.detectable is None
    assert found.systems[-1].scores["exact_match"] == 100


def test_all_scores_equal() -> None:
    found = compare(MEASURE, ROWS, [answered("few_shot", right(0.9)), answered("specialist", right(0.9))])
    assert found.verdict == "not shown to be better"
    assert found.gain is not None and (found.gain.low, found.gain.high) == (0, 0)
    assert found.rows_needed is None


def test_a_comparison_goes_to_json_and_back() -> None:
    found = compare(MEASURE, ROWS, systems(), more_seeds={1: right(0.8)}, leaked=[1])
    assert decode(Comparison, json.loads(json.dumps(encode(found)))) == found


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([answered("few_shot", right(0.5)[:39]), answered("specialist", right(0.9))], "39 predictions for 40 ref"),
        ([answered("few_shot", right(0.5))], "there is no specialist"),
        ([answered("harper", right(0.5)), answered("specialist", right(0.9))], "nothing to compare"),
    ],
)
def test_what_cannot_be_compared_is_refused(given: list[SystemAnswers], told: str) -> None:
    with pytest.raises(MetierError, match=told):
        compare(MEASURE, ROWS, given)
