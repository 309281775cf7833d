from __future__ import annotations

import pytest

from metier.core.errors import MetierError
from metier.core.records import Example
from metier.evaluation.measure import (
    Measure,
    check_metric,
    is_correction,
    is_rewriting,
    metrics_of,
    score_main,
    score_texts,
)
from metier.evaluation.metrics import METRICS
from metier.tasks.task import Task

LABELS = ("a", "b")


def test_metrics_that_fit() -> None:
    assert metrics_of(Measure("exact_match", LABELS)) == ("exact_match", "label_match", "macro_f1")
    assert metrics_of(Measure("gleu"))[0] == "gleu"
    assert "copied_rate" in metrics_of(Measure("sari"))
    for metric in METRICS.values():
        if metric.judges and metric.needs != "labels":
            assert metrics_of(Measure(metric.name))[0] == metric.name


def test_what_kind_of_task_it_is() -> None:
    assert is_correction(Measure("gleu")) and is_rewriting(Measure("gleu"))
    assert not is_correction(Measure("sari")) and is_rewriting(Measure("sari"))
    assert not is_rewriting(Measure("rouge_l"))


def test_a_metric_that_cannot_be_had_is_reported_before_any_work() -> None:
    check_metric(Measure("sari"))
    check_metric(Measure("macro_f1", LABELS))
    with pytest.raises(MetierError, match="errant('s English model)? is not installed"):
        check_metric(Measure("errant"))


def test_a_further_metric_that_cannot_be_had_is_left_out() -> None:
    rows = [Example("He go .", "He goes .")]
    scores = score_texts(Measure("gleu"), rows, ["He goes ."])
    assert scores["gleu"].corpus == score_main(Measure("gleu"), rows, ["He goes ."]).corpus
    assert "exact_match" in scores and "errant" not in scores


@pytest.mark.parametrize(
    ("labels", "metric", "told"),
    [
        (LABELS, "sari", "is for free text"),
        (None, "macro_f1", "needs labels"),
        (LABELS, "copied_rate", "Input should be"),  # no direction is good, so no verdict can be made on it
    ],
)
def test_a_metric_that_does_not_fit_the_task_is_refused(labels: object, metric: str, told: str) -> None:
    examples = [{"input": "x", "output": "a"}]
    with pytest.raises(ValueError, match=told):
        Task.model_validate(
            {"name": "t", "instruction": "Do.", "labels": labels, "examples": examples, "metric": metric}
        )
