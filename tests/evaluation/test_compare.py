"""The comparison on answers made by hand, where every number can be worked out."""

from __future__ import annotations

import numpy as np
import pytest

from metier.core.errors import MetierError
from metier.core.records import Example
from metier.evaluation.compare import Answers, check_metric, compare, constant_answers, metrics_of
from metier.evaluation.compare_runs import RunAnswers, compare_runs
from metier.evaluation.metrics import METRICS
from metier.systems.registry import KINDS, ORDER, TITLES
from metier.tasks.task import Task

LABELS = ("a", "b")
ROWS = [Example(f"text {i}", LABELS[i % 2]) for i in range(40)]


def task(**settings: object) -> Task:
    return Task.model_validate(
        {
            "name": "t",
            "instruction": "Do.",
            "labels": LABELS,
            "examples": [{"input": "x", "output": "a"}],
            "evaluation": {"resamples": 500},
            **settings,
        }
    )


def right(share: float, *, offset: int = 0) -> tuple[str, ...]:
    wrong = {"a": "b", "b": "a"}
    limit = round(share * len(ROWS))
    return tuple(r.output if (i + offset) % len(ROWS) < limit else wrong[r.output] for i, r in enumerate(ROWS))


def answers(**more: tuple[str, ...]) -> list[Answers]:
    named = {"few_shot": right(0.5), "tfidf_synthetic": right(0.95), "specialist": right(0.9), **more}
    return [constant_answers(task(), ROWS), *(Answers(name, texts) for name, texts in named.items())]


def test_the_verdict_is_about_the_best_that_uses_the_same_model_or_none() -> None:
    found = compare(task(), ROWS, answers())
    scores = {s.system: s for s in found.systems}
    assert found.baseline == "majority"  # 50, as few-shot has: of equals the plainer one
    assert found.verdict == "better" and found.gain is not None
    assert found.gain.value == pytest.approx(40)
    assert scores["tfidf_synthetic"].gain is not None and scores["tfidf_synthetic"].gain.value == pytest.approx(-5)
    assert [s.system for s in found.systems] == sorted(scores, key=ORDER.index)
    assert all(s.p_value is not None for s in found.systems if s.system != "specialist")
    assert scores["few_shot"].p_value is not None and scores["few_shot"].p_value < 0.05


def test_what_could_not_be_had_is_a_row_with_its_reason() -> None:
    found = compare(task(), ROWS, answers(), missing={"harper": "harper-py is not installed"})
    (row,) = [s for s in found.systems if s.system == "harper"]
    assert row.scores == {} and row.note == "harper-py is not installed"


def test_a_gain_is_split_into_ability_and_format() -> None:
    more = {
        "label_scoring_calibrated": right(0.8),
        "specialist_scoring_calibrated": right(0.9),
        "specialist_scoring": right(0.9),
    }
    found = compare(task(), ROWS, answers(**more))
    assert found.split is not None
    assert found.split.ability.value == pytest.approx(10)
    assert found.split.format.value == pytest.approx(30)  # 40 in all over few-shot
    assert compare(task(), ROWS, answers()).split is None
    assert found.baseline == "label_scoring_calibrated"


def test_seeds_are_spread_beside_the_interval() -> None:
    found = compare(task(), ROWS, answers(), more_seeds={1: right(0.8), 2: right(0.7)})
    assert [s.score for s in found.seeds] == pytest.approx([90, 80, 70])
    assert found.seed_spread == pytest.approx(10)
    assert [s.gain for s in found.seeds] == pytest.approx([40, 30, 20])


def test_leaked_rows_are_left_out_of_the_clean_gain() -> None:
    found = compare(task(), ROWS, answers(), leaked=range(20))
    assert found.clean_rows == 20 and found.clean_gain is not None
    assert found.clean_gain.value == pytest.approx(100 * (16 / 20 - 0.5))
    assert compare(task(), ROWS, answers()).clean_rows is None


def test_one_row_has_no_interval_and_no_verdict() -> None:
    one = [Answers("few_shot", ("b",)), Answers("specialist", ("a",))]
    found = compare(task(), ROWS[:1], one)
    assert found.gain is None and found.verdict is None and found.detectable is None
    assert found.systems[-1].scores["exact_match"] == 100


def test_all_scores_equal() -> None:
    same = right(0.9)
    found = compare(task(), ROWS, [Answers("few_shot", same), Answers("specialist", same)])
    assert found.verdict == "not shown to be better"
    assert found.gain is not None and (found.gain.low, found.gain.high) == (0, 0)
    assert found.rows_needed is None


def test_metrics_that_fit() -> None:
    assert metrics_of(task()) == ("exact_match", "label_match", "macro_f1")
    assert metrics_of(task(labels=None, metric="gleu"))[0] == "gleu"
    assert "copied_rate" in metrics_of(task(labels=None, metric="sari"))
    for metric in METRICS.values():
        if metric.judges and metric.needs != "labels":
            assert metrics_of(task(labels=None, metric=metric.name))[0] == metric.name


@pytest.mark.parametrize(
    ("labels", "metric", "told"),
    [
        (LABELS, "sari", "is for free text"),
        (None, "macro_f1", "needs labels"),
        (LABELS, "copied_rate", "Input should be"),  # no direction is good, so no verdict can be made on it
    ],
)
def test_a_metric_that_does_not_fit_the_task_is_refused(labels: object, metric: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        task(labels=labels, metric=metric)


def test_every_system_has_a_title_and_a_kind() -> None:
    assert set(TITLES) == set(KINDS) == set(ORDER)


def run(
    name: str, task_name: str, specialist: tuple[str, ...], *, rows: slice = slice(None), pairs: int = 100
) -> RunAnswers:
    some = ROWS[rows]
    return RunAnswers(
        name,
        task_name,
        "m",
        "exact_match",
        LABELS,
        "few_shot",
        100,
        tuple(r.input for r in some),
        tuple((r.output,) for r in some),
        {"few_shot": right(0.5)[rows], "specialist": specialist[rows]},
    )


def test_runs_on_the_same_rows_are_paired() -> None:
    found = compare_runs(
        [run("one", "t", right(0.9)), run("two", "t", right(0.5)), run("other", "u", right(0.9), rows=slice(20))]
    )
    assert [line.verdict for line in found.lines] == ["better", "not shown to be better", "not shown to be better"]
    assert (found.wins, found.ties, found.losses) == (1, 2, 0)
    (pairing,) = found.pairings
    assert (pairing.first, pairing.second, pairing.rows) == ("one", "two", 40)
    assert pairing.gain is not None and pairing.gain.value == pytest.approx(-40)
    assert (pairing.wins, pairing.ties, pairing.losses) == (0, 24, 16)
    assert len(pairing.differing) == 10 and pairing.differing[0].first_score == 100
    assert found.mean is not None and found.mean_tasks == 2
    assert found.mean.value == pytest.approx(np.mean([40, 100 - 100 * 20 / 20]))
    assert found.notes


def test_one_run_alone() -> None:
    found = compare_runs([run("one", "t", right(0.9))])
    assert found.mean is None and found.pairings == ()


def test_answers_of_other_lengths_are_refused() -> None:
    with pytest.raises(MetierError, match="39 predictions for 40 references"):
        compare(task(), ROWS, [Answers("few_shot", right(0.5)[:39]), Answers("specialist", right(0.9))])


def test_a_metric_that_cannot_be_had_is_told_before_any_work() -> None:
    check_metric(task(labels=None, metric="sari"))
    with pytest.raises(MetierError, match="errant('s English model)? is not installed"):
        check_metric(task(labels=None, metric="errant"))
