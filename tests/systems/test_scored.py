from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.core.records import Example
from metier.core.step import Artifact
from metier.systems import scored
from metier.systems.asker import open_asker
from metier.systems.base import Learned
from tests.systems.scripted import Opened, Scripted, input_of, make_material, make_tools

FREE = ("N/A", "", "[MASK]")


def scripted(table: Mapping[str, Mapping[str, float]], context: int = 4000) -> Scripted:
    """An engine that gives each label the log-probability that a table has for the input, or -10."""
    return Scripted(
        likely=lambda prompt, answer: table.get(input_of(prompt), {}).get(answer.strip(), -10.0), context_length=context
    )


def learn(folder: Path, engine: Scripted, reading: scored.Reading = "prior", **changes: object) -> Learned:
    return scored.learn(make_material(folder, **changes), make_tools(folder, engine), reading=reading)


def test_the_total_is_what_the_model_is_likeliest_to_write(tmp_path: Path) -> None:
    engine = scripted({"a": {"billing": -8.0, "delivery": -8.5}})
    found = learn(tmp_path, engine, "total").answer(["a"])
    assert found.texts == ("billing",)
    assert found.probabilities is not None
    assert found.probabilities[0] == pytest.approx((1 / (1 + math.exp(-0.5)), 1 / (1 + math.exp(0.5))), abs=1e-6)
    assert engine.asked_about == ["a"], "nothing else is asked"


def test_the_mean_puts_a_long_label_at_no_disadvantage(tmp_path: Path) -> None:
    # " billing" has 9 tokens with its end, " delivery" 10.
    engine = scripted({"a": {"billing": -8.0, "delivery": -8.5}})
    found = learn(tmp_path, engine, "mean").answer(["a"])
    assert found.texts == ("delivery",), "-0.85 a token is more than -0.89"
    assert found.probabilities is None, "a mean over tokens is no probability of the label"


def test_the_prior_takes_off_what_is_likely_anyway(tmp_path: Path) -> None:
    rows = {"a": {"billing": -1.0, "delivery": -3.0}}
    anyway = {text: {"billing": -1.0 - i, "delivery": -4.0 - i} for i, text in enumerate(FREE)}
    engine = scripted(rows | anyway)
    learned = learn(tmp_path, engine)
    assert isinstance(learned, scored.Scorer)
    assert learned.prior == pytest.approx((-2.0, -5.0)), "the mean over the inputs that say nothing"
    assert sorted(engine.asked_about) == sorted(FREE)
    found = learned.answer(["a"])
    assert found.texts == ("delivery",), "it is less likely, but likelier than usual"
    assert found.probabilities is not None and sum(found.probabilities[0]) == pytest.approx(1, abs=2e-6)
    assert found.probabilities[0][1] == pytest.approx(1 / (1 + math.exp(-1.0)), abs=1e-6)


def test_of_synthetic_inputs_every_label_counts_alike(tmp_path: Path) -> None:
    # Nine for billing and one for delivery: the mean of the labels' means, not of the rows.
    pairs = (*(Example(f"b{i}", "billing") for i in range(9)), Example("d", "delivery"))
    table = {pair.input: {"billing": -1.0, "delivery": -5.0} for pair in pairs[:9]}
    table["d"] = {"billing": -3.0, "delivery": -1.0}
    engine = scripted(table)
    learned = learn(tmp_path, engine, label_prior="synthetic", synthetic=pairs)
    assert isinstance(learned, scored.Scorer)
    assert learned.prior == pytest.approx((-2.0, -3.0))
    assert not set(FREE) & set(engine.asked_about)


def test_without_synthetic_pairs_the_prior_is_from_inputs_that_say_nothing(tmp_path: Path) -> None:
    engine = scripted({})
    learn(tmp_path, engine, label_prior="synthetic")
    assert sorted(engine.asked_about) == sorted(FREE)


def test_synthetic_inputs_are_not_asked_where_the_prior_is_not_from_them(tmp_path: Path) -> None:
    engine = scripted({})
    learn(tmp_path, engine, label_prior="content_free", synthetic=(Example("s", "billing"),))
    assert sorted(engine.asked_about) == sorted(FREE)


@pytest.mark.parametrize("reading", ["mean", "total", "prior"])
def test_a_row_longer_than_the_context_is_not_asked_and_is_counted(tmp_path: Path, reading: scored.Reading) -> None:
    engine = scripted({"a": {"billing": -1.0}}, context=400)
    found = learn(tmp_path, engine, reading).answer(["x" * 400, "a"])
    assert found.texts == ("", "billing") and found.unasked == 1
    if reading != "mean":
        assert found.probabilities is not None and found.probabilities[0] == (0.0, 0.0)
    none = learn(tmp_path, engine, reading).answer(["x" * 400])
    assert none.texts == ("",) and none.unasked == 1, "also where no row at all fits"


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(-300, 0), st.floats(-300, 0), st.floats(-300, 0)), min_size=1, max_size=4),
    st.permutations(["billing", "delivery", "other"]),
)
def test_probabilities_are_a_distribution_in_the_order_of_the_labels(
    numbers: list[tuple[float, float, float]], labels: list[str]
) -> None:
    names = ("billing", "delivery", "other")
    table = {f"row {i}": dict(zip(names, row, strict=True)) for i, row in enumerate(numbers)}
    asker = open_asker(make_material(Path(), labels=tuple(labels)), make_tools(Path("unused"), scripted(table)))
    found = scored.Scorer(asker, "total", ()).answer(list(table))
    assert found.probabilities is not None
    for text, share, row in zip(found.texts, found.probabilities, table.values(), strict=True):
        assert sum(share) == pytest.approx(1, abs=3e-6) and min(share) >= 0
        assert row[text] == max(row.values())
        assert share[labels.index(text)] == max(share)
        for label, part in zip(labels, share, strict=True):
            assert part == pytest.approx(
                math.exp(row[label]) / sum(map(math.exp, row.values())) if max(row.values()) > -200 else part, abs=2e-6
            )


def test_what_is_scored_is_the_answer_as_it_is_trained_and_examples_are_shown(tmp_path: Path) -> None:
    engine = Scripted()
    learn(tmp_path, engine, "total").answer(["a"])
    (request,) = engine.scored
    assert request.continuations == (" billing", " delivery")
    assert "Input: I was charged twice.\nOutput: billing" in request.prompt.text


def test_a_tuned_model_is_asked_as_it_was_trained(tmp_path: Path) -> None:
    engine, opened = Scripted(), Opened()
    material = make_material(tmp_path, weights={"task": Artifact("tuned", tmp_path)})
    scored.learn(material, make_tools(tmp_path, engine, opened=opened), tuned="task", reading="total").answer(["a"])
    assert opened == ["tuned"]
    assert engine.scored[0].prompt.text == "Name the team.\n\nInput: a\nOutput:"


def test_a_task_without_labels_cannot_be_scored(tmp_path: Path) -> None:
    asker = open_asker(make_material(tmp_path, labels=None), make_tools(tmp_path))
    with pytest.raises(ValueError, match="the task has none"):
        asker.score(["a"])


def test_readings_of_the_same_scores_ask_once(tmp_path: Path) -> None:
    engine = Scripted()
    for reading in ("mean", "total"):
        tools = make_tools(tmp_path, engine)
        scored.learn(dataclasses.replace(make_material(tmp_path)), tools, reading=reading).answer(
            ["a", "b"], tools.keep
        )
    assert engine.asked_about == ["a", "b"]
