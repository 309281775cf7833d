from __future__ import annotations

import json
import math

import pytest

from metier.core.records import Interval, LossPoint
from metier.report.facts import RunFacts

from .conftest import Make


def test_facts_go_to_json_and_back_unchanged(make: Make, untested: RunFacts) -> None:
    for facts in (make(), untested, make(labels=None, label_counts={}, rendered_example=None, prompt=None)):
        assert RunFacts.from_dict(json.loads(json.dumps(facts.to_dict(), allow_nan=False))) == facts


def test_a_loss_that_is_not_finite_becomes_none(make: Make) -> None:
    facts = make(loss=(LossPoint(1, 0.5, math.nan, math.inf),))
    assert facts.to_dict()["loss"] == [{"step": 1, "epoch": 0.5, "train": None, "holdout": None}]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": ()}, "metrics"),
        ({"gain": None}, "all of them, or none"),
        ({"test_source": None}, "without a test"),
        ({"baseline": "nobody"}, "'nobody' is not one of the systems"),
        ({"gain": Interval(2.0, -1.0, 5.0)}, "better, but"),
        ({"gain": Interval(2.0, 0.0, 5.0)}, "better, but"),
        ({"verdict": "worse"}, "worse, but"),
    ],
)
def test_facts_that_contradict_each_other_are_refused(make: Make, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_an_unknown_key_is_refused(make: Make) -> None:
    with pytest.raises(TypeError, match="colour"):
        RunFacts.from_dict({**make().to_dict(), "colour": "red"})
