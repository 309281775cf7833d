"""The codec on every record that a step is given or makes, and on what is wrong with files."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.core import storage
from metier.core.codec import CodecError, decode, encode
from metier.core.records import Candidate, Example, Prediction, SystemAnswers
from metier.core.step import Artifact, Cost
from metier.data.mixture import Kept, Mixed, MixPlan, Part
from metier.evaluation.compare import Comparison
from metier.evaluation.measure import Measure
from metier.report.scenario_facts import ScenarioFacts
from metier.steps.answer import Answered
from metier.steps.judge import Judged, JudgeInputs
from metier.steps.select import Selection
from metier.steps.synthesize import Synthesis
from metier.steps.train import Trained
from metier.synthesis.brief import Brief
from metier.systems.asker import LabelScores, Samples, Sampling, Written
from metier.tasks.settings import EngineSettings, Settings, SynthesisSettings, TrainingSettings

RESULTS = (Answered, Judged, LabelScores, Mixed, Samples, Selection, Synthesis, Trained, Written)
INPUTS = (Brief, JudgeInputs, Kept, Measure, MixPlan, Part, Sampling)
USUAL = TrainingSettings()
OTHERS = (Candidate, Comparison, Cost, Prediction, ScenarioFacts, SystemAnswers)


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Return values of a type, from its fields' types alone; numbers are finite."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return st.one_of([values(part) for part in parts])
    if origin is Literal:
        return st.sampled_from(parts)
    if origin is tuple:
        if parts[1:] == (Ellipsis,):
            return st.lists(values(parts[0]), max_size=2).map(tuple)
        return st.tuples(*map(values, parts))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return st.dictionaries(values(parts[0]), values(parts[1]), max_size=2)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        build: Any = kind
        return st.builds(build, **{field.name: values(hints[field.name]) for field in dataclasses.fields(kind)})
    if isinstance(kind, type) and issubclass(kind, Settings):
        return SETTINGS[kind]
    plain: dict[Any, st.SearchStrategy[Any]] = {
        type(None): st.none(),
        bool: st.booleans(),
        str: st.text(max_size=5),
        int: st.integers(-(2**53), 2**53),
        float: st.floats(allow_nan=False, allow_infinity=False),
        object: st.integers(),
    }
    return plain[kind]


SETTINGS: dict[type, st.SearchStrategy[Any]] = {
    SynthesisSettings: st.builds(SynthesisSettings, inputs=st.integers(1, 99), near_duplicates=st.none() | st.just(1)),
    TrainingSettings: st.builds(TrainingSettings, epochs=st.integers(1, 99), learning_rate=st.none() | st.just(0.1)),
    EngineSettings: st.builds(EngineSettings, kind=st.sampled_from(["transformers", "vllm"])),
}


@pytest.mark.parametrize("kind", [*RESULTS, *INPUTS, *OTHERS], ids=lambda kind: kind.__name__)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_record_comes_back_equal_from_a_file(kind: type[Any], data: st.DataObject) -> None:
    record = data.draw(values(kind))
    written = storage.canonical_json(encode(record))
    found = decode(kind, json.loads(written))
    assert found == record and type(found) is kind
    assert storage.canonical_json(encode(found)) == written, "a digest of what is read is that of what was written"


@dataclasses.dataclass(frozen=True, slots=True)
class Inner:
    number: float
    maybe: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Outer:
    name: str
    how: Literal["one", "two", 3] = "one"
    inner: tuple[Inner, ...] = ()
    pair: tuple[int, str] = (0, "")
    by_name: Mapping[str, Inner] = dataclasses.field(default_factory=dict)
    either: int | str | Inner | None = None
    whole: bool = False
    count: int = 0
    settings: TrainingSettings = USUAL


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({}, "Outer: 'name' is missing"),
        ({"name": "a", "nmae": "b"}, "Outer: 'nmae' is not known"),
        ([], "Outer: expected an object, found list"),
        ({"name": 1}, "Outer.name: expected str, found int"),
        ({"name": None}, "Outer.name: expected str, found NoneType"),
        ({"name": "a", "how": "three"}, "Outer.how: 'three' is not one of 'one', 'two', 3"),
        ({"name": "a", "how": ["one"]}, r"Outer.how: \['one'\] is not one of"),
        ({"name": "a", "inner": [{"number": 1}, {}]}, r"Outer.inner\[1\]: 'number' is missing"),
        ({"name": "a", "inner": [{"number": True}]}, r"Outer.inner\[0\].number: expected float, found bool"),
        ({"name": "a", "inner": {"number": 1}}, "Outer.inner: expected a list, found dict"),
        ({"name": "a", "pair": [1]}, "Outer.pair: expected 2 values, found 1"),
        ({"name": "a", "pair": ["1", "2"]}, r"Outer.pair\[0\]: expected int, found str"),
        ({"name": "a", "by_name": {"x": {"number": "1"}}}, "Outer.by_name.x.number: expected float, found str"),
        ({"name": "a", "either": 1.5}, "Outer.either: expected int, found float"),
        ({"name": "a", "count": True}, "Outer.count: expected int, found bool"),
        ({"name": "a", "count": 1.0}, "Outer.count: expected int, found float"),
        ({"name": "a", "whole": 1}, "Outer.whole: expected bool, found int"),
        ({"name": "a", "settings": {"epochs": -3}}, "Outer.settings.epochs: .*greater than or equal to 1"),
        ({"name": "a", "settings": {"epoch": 3}}, "Outer.settings.epoch: .*not permitted"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(data: Any, told: str) -> None:
    with pytest.raises(CodecError, match=told):
        decode(Outer, data)


def test_the_place_may_be_named() -> None:
    with pytest.raises(CodecError, match=r"^result\.json\.name: expected str"):
        decode(Outer, {"name": 1}, "result.json")


@pytest.mark.parametrize("either", [None, 1, "one", Inner(1.5)])
def test_a_union_is_read_as_the_part_that_fits(either: int | str | Inner | None) -> None:
    found = decode(Outer, encode(Outer("a", either=either))).either
    assert found == either and type(found) is type(either)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_null_in_json(number: float) -> None:
    told = encode(Inner(number, number))
    assert json.loads(json.dumps(told, allow_nan=False)) == {"number": None, "maybe": None}
    found = decode(Inner, told)
    assert math.isnan(found.number), "a number must be there: it is read as not one"
    assert found.maybe is None, "a number may be missing: it is read as missing"


def test_whole_numbers_are_read_where_any_number_may_stand() -> None:
    found = decode(Inner, {"number": 2})
    assert found.number == 2.0 and isinstance(found.number, float)


def test_what_has_no_default_must_be_there_and_what_has_one_need_not() -> None:
    assert decode(Outer, {"name": "a"}) == Outer("a")


def test_settings_are_checked_as_those_of_a_file_are() -> None:
    assert decode(TrainingSettings, encode(TrainingSettings(epochs=7))).epochs == 7
    with pytest.raises(CodecError, match="epochs"):
        decode(TrainingSettings, {"epochs": 0})


def test_a_path_is_refused_and_what_lies_at_one_is_its_key() -> None:
    with pytest.raises(CodecError, match="a path is not a value that can be kept"):
        encode(Path("somewhere"))
    assert encode((Artifact("digest", Path("somewhere")),)) == ["digest"]


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object(), 1j])
def test_what_has_no_form_in_json_is_refused(value: object) -> None:
    with pytest.raises(CodecError, match=f"{type(value).__name__} cannot be encoded"):
        encode(value)


def test_a_record_is_not_its_class() -> None:
    with pytest.raises(CodecError, match="type cannot be encoded"):
        encode(Example)
    assert issubclass(CodecError, ValueError) and issubclass(TrainingSettings, pydantic.BaseModel)
