from __future__ import annotations

import dataclasses
import json
import math

import pytest

from metier.core.codec import CodecError, decode, encode
from metier.core.records import Interval, LossPoint
from metier.report.facts import RunFacts

from .conftest import Make, unclear


def test_facts_go_to_json_and_back_unchanged(make: Make, untested: RunFacts) -> None:
    for facts in (make(), untested, make(labels=None, label_counts={}, rendered_example=None, prompt=None)):
        assert decode(RunFacts, json.loads(json.dumps(encode(facts), allow_nan=False))) == facts


def test_a_loss_that_is_not_finite_becomes_none(make: Make) -> None:
    facts = make(loss=(LossPoint(1, 0.5, math.nan, math.inf),))
    assert encode(facts)["training"]["loss"] == [{"step": 1, "epoch": 0.5, "train": None, "holdout": None}]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": ()}, "metrics"),
        ({"gain": None}, "both of them, or neither"),
        ({"baseline": "nobody"}, "'nobody' is not one of the systems"),
        ({"gain": Interval(2.0, -1.0, 5.0)}, "verdict: better, but .* say not shown"),
        ({"gain": Interval(2.0, 0.0, 5.0)}, "verdict: better, but .* say not shown"),
        ({"p_value": 0.05}, "verdict: better, but .* say not shown"),
        ({"p_value": None}, "verdict: better, but .* say not shown"),
        ({"verdict": "worse"}, "verdict: worse, but .* say better"),
        ({"verdict": None}, "verdict: None, but .* say better"),
    ],
)
def test_facts_that_contradict_each_other_are_refused(make: Make, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_a_verdict_beside_other_tasks_follows_from_the_corrected_p_value(make: Make) -> None:
    judged = make().judged
    assert judged is not None
    assert judged.corrected(0.014, 7).verdict == "better"
    among = judged.corrected(0.08, 40)
    assert (among.verdict, among.claims, among.p_value) == ("not shown to be better", 40, 0.08)


def test_without_a_test_there_is_no_verdict(make: Make, untested: RunFacts) -> None:
    assert untested.verdict is None and not untested.better
    assert make().better and not make(**unclear()).better


def test_pairs_are_counted_by_where_they_are_from(make: Make) -> None:
    data = make(pairs_by_origin={"pool": 300, "example": 3}).data
    assert data.pairs == 303 and data.synthetic == 0
    assert dataclasses.replace(data, pairs_by_origin={"synthetic": 5}).synthetic == 5


def test_an_unknown_key_is_refused(make: Make) -> None:
    with pytest.raises(CodecError, match="colour"):
        decode(RunFacts, {**encode(make()), "colour": "red"})
