"""The classic Systems: vectors of texts and a regression on them; the encoder is a stub of two known directions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from metier.core.errors import MetierError
from metier.core.records import Example
from metier.core.step import Artifact
from metier.systems import encoder, encoder_pair, tfidf
from metier.systems.base import Material
from metier.systems.regression import Source, fit, pairs_of
from tests.systems.scripted import LABELS, make_tools

PAIRS = (Example("the invoice is wrong", "billing"), Example("the parcel is late", "delivery")) * 3
SOURCES: tuple[Source, ...] = ("examples", "labelled", "synthetic")


class Directions:
    """An encoder of two directions: whether a text speaks of money."""

    parameters = 10

    def encode(self, texts: Sequence[str]) -> Any:
        return np.array([[1.0, 0.0] if "invoice" in text or "bill" in text else [0.0, 1.0] for text in texts])


@pytest.mark.parametrize("source", SOURCES)
def test_tfidf_learns_from_its_source_alone(tmp_path: Path, source: Source) -> None:
    pairs: dict[str, Any] = {source: PAIRS}
    material = Material(LABELS, **pairs)
    learned = tfidf.learn(material, make_tools(tmp_path), source=source)
    found = learned.answer(["a wrong invoice", "late parcel"])
    assert found.texts == ("billing", "delivery") and learned.nbytes > 0
    for other in set(SOURCES) - {source}:
        with pytest.raises(MetierError, match="fewer than two labels"):
            tfidf.learn(material, make_tools(tmp_path), source=other)


def test_what_tfidf_cannot_learn_from(tmp_path: Path) -> None:
    for pairs, told in (
        (PAIRS[:1], "fewer than two labels"),
        ((Example("!", "billing"), Example("?", "delivery")), "no words to learn from"),
    ):
        with pytest.raises(MetierError, match=told):
            tfidf.learn(Material(LABELS, examples=pairs), make_tools(tmp_path), source="examples")


def test_the_encoder_is_opened_through_the_tools(tmp_path: Path) -> None:
    material = Material(LABELS, labelled=PAIRS, encoder=Artifact("directions", tmp_path))
    learned = encoder.learn(material, make_tools(tmp_path, encoder=Directions()), source="labelled")
    assert learned.answer(["The bill is too high.", "Where is it?"]).texts == ("billing", "delivery")
    assert learned.nbytes == 4 * 10 + 8 * (2 + 1), "the encoder's weights, and the head's with its bias"


def test_the_encoder_must_be_there_and_two_labels_too(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must name it"):
        encoder.learn(Material(LABELS, labelled=PAIRS), make_tools(tmp_path), source="labelled")
    with pytest.raises(MetierError, match="fewer than two labels"):
        encoder.learn(Material(LABELS, encoder=Artifact("e", tmp_path)), make_tools(tmp_path), source="labelled")


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(["billing", "delivery", "technical", "other"]))
def test_a_label_that_was_never_learnt_has_probability_0_in_any_order(order: list[str]) -> None:
    stub = Directions()
    head = fit(stub.encode([p.input for p in PAIRS]), [p.output for p in PAIRS], order)
    found = head.answers(stub.encode(["an invoice", "a parcel"]))
    assert found.probabilities is not None and found.texts == ("billing", "delivery")
    for text, share in zip(found.texts, found.probabilities, strict=True):
        by_label = dict(zip(order, share, strict=True))
        assert by_label["technical"] == by_label["other"] == 0.0
        assert sum(share) == pytest.approx(1, abs=2e-6)
        assert max(by_label, key=lambda label: by_label[label]) == text


def test_pairs_are_those_of_the_source() -> None:
    material = Material(LABELS, examples=PAIRS[:2], synthetic=PAIRS[2:4])
    assert pairs_of(material, "examples") == PAIRS[:2] and pairs_of(material, "synthetic") == PAIRS[2:4]


@settings(max_examples=20, deadline=None)
@given(several=st.integers(2, 4), seed=st.integers(0, 99))
def test_a_head_answers_as_scikit_learn_does(several: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f"label {i}" for i in range(several)]
    answers = [names[i % several] for i in range(40)]
    vectors, fresh = rng.normal(size=(40, 5)), rng.normal(size=(9, 5))
    model = LogisticRegression(max_iter=1000).fit(vectors, answers)
    found = fit(vectors, answers, names).answers(fresh)
    assert found.texts == tuple(model.predict(fresh))
    assert np.array(found.probabilities) == pytest.approx(model.predict_proba(fresh), abs=1e-6)


def test_all_pairs_are_the_three_sources_together() -> None:
    material = Material(LABELS, examples=PAIRS[:1], labelled=PAIRS[1:2], synthetic=PAIRS[2:3])
    assert pairs_of(material, "all") == PAIRS[:3]


TWO = tuple(
    Example(f"First: the {one} is here. Second: the {other} is here.", "billing" if one == other else "delivery")
    for one in ("invoice", "parcel")
    for other in ("invoice", "parcel")
)


def test_the_encoder_on_both_parts_sees_what_they_have_to_do_with_each_other(tmp_path: Path) -> None:
    material = Material(LABELS, labelled=TWO * 20, encoder=Artifact("directions", tmp_path))
    tools = make_tools(tmp_path, encoder=Directions())
    learned = encoder_pair.learn(material, tools, source="labelled")
    assert learned.answer([pair.input for pair in TWO]).texts == tuple(pair.output for pair in TWO)
    alone = encoder.learn(material, tools, source="labelled").answer([pair.input for pair in TWO]).texts
    assert alone != tuple(pair.output for pair in TWO), "the vector of the whole text cannot tell"


def test_the_encoder_on_both_parts_needs_two_parts(tmp_path: Path) -> None:
    material = Material(LABELS, labelled=PAIRS, encoder=Artifact("directions", tmp_path))
    with pytest.raises(MetierError, match="do not have two parts"):
        encoder_pair.learn(material, make_tools(tmp_path, encoder=Directions()), source="labelled")
