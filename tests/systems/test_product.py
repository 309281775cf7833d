"""A product's folder: written whole, read back, refused when it is not whole; and what its answers say."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.core.errors import MetierError, UserError
from metier.core.records import Answers, Example, Interval
from metier.core.step import Artifact
from metier.evaluation.confidence import tempered
from metier.evaluation.records import Confidence, Threshold
from metier.systems import scored, tfidf
from metier.systems.asker_file import WEIGHTS
from metier.systems.base import Keep, Learned, Material
from metier.systems.product import FILE, OpenProduct, open_product, read_product, save_product
from metier.systems.product_record import FORMAT, Measured, ModelUsed, Product
from metier.tasks.settings import EngineSettings
from tests.systems.scripted import LABELS, Scripted, make_material, make_tools

PAIRS = tuple(
    Example(f"{what} number {i}", label)
    for i in range(8)
    for what, label in (("the invoice is wrong", "billing"), ("the parcel is late", "delivery"))
)
PRODUCT = Product(
    format=FORMAT,
    metier="1.2.3",
    task="routing",
    instruction="Name the team.",
    labels=LABELS,
    system="tfidf_train",
    title="TF-IDF on train",
    kind="classic",
    form="tfidf",
    model=None,
    measured=Measured(
        metric="exact_match",
        rows=80,
        score=Interval(90.0, 81.2, 95.0),
        best="tfidf_train",
        loss=Interval(0.0, 0.0, 0.0),
        unseen_score=Interval(89.0, 80.0, 95.0),
        stability=0.9,
        verdict=None,
        scores={"tfidf_train": Interval(90.0, 81.2, 95.0)},
        milliseconds=1.5,
    ),
    confidence=None,
    threshold=None,
    why="it is the cheapest",
    nbytes=10,
)
CONFIDENCE = Confidence(2.0, 0.1, 0.05, 80)


def learnt(folder: Path) -> Learned:
    return tfidf.learn(Material(LABELS, labelled=PAIRS), make_tools(folder / "tools"), source="labelled")


def saved(folder: Path) -> Path:
    save_product(PRODUCT, learnt(folder), None, folder / "product")
    return folder / "product"


@dataclasses.dataclass(frozen=True)
class Says:
    """A System that says what it is told to."""

    found: Answers
    form: str = "says"
    nbytes: int = 0

    def answer(self, inputs: Sequence[str], keep: Keep | None = None) -> Answers:
        return self.found

    def save(self, folder: Path) -> None:
        raise AssertionError("not saved")


def threshold(least: float) -> Threshold:
    return Threshold(0.9, least, 0.8, 0.95, 0.91, "firm")


def answers(shares: Sequence[Sequence[float]] | None, texts: Sequence[str], **changes: Any) -> list[Any]:
    """Return what a product answers whose System says this."""
    found = Answers(tuple(texts), None if shares is None else tuple(tuple(row) for row in shares))
    product = dataclasses.replace(PRODUCT, **changes)
    return OpenProduct(product, Says(found)).answer(["?"] * len(texts))


def test_what_is_said_of_a_product_comes_back(tmp_path: Path) -> None:
    full = dataclasses.replace(
        PRODUCT,
        model=ModelUsed("small", "digest", "chat", EngineSettings()),
        confidence=CONFIDENCE,
        threshold=threshold(0.7),
    )
    save_product(full, learnt(tmp_path), None, tmp_path / "product")
    assert read_product(tmp_path / "product") == full
    bare = dataclasses.replace(PRODUCT, labels=None, measured=None)
    save_product(bare, learnt(tmp_path), None, tmp_path / "product")
    assert read_product(tmp_path / "product") == bare, "what was there is replaced"
    assert not list(tmp_path.glob("*.partial"))


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path) / FILE
    path.write_text(json.dumps({"format": FORMAT + 1, "metier": "9.9", "new": True}))
    with pytest.raises(UserError, match=r"written by a newer version of Metier \(9\.9\)") as caught:
        read_product(path.parent)
    assert caught.value.hint == "upgrade metier"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 1, "metier": "1"}'])
def test_a_file_that_says_something_else_is_refused(text: str, tmp_path: Path) -> None:
    path = saved(tmp_path) / FILE
    path.write_text(text)
    with pytest.raises(UserError, match=r"product\.json: cannot be read"):
        read_product(path.parent)


def test_a_folder_without_a_product(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no product in it"):
        read_product(tmp_path)


@pytest.mark.parametrize("name", ["vocabulary.json", "idf.safetensors", "head.safetensors", "head.json"])
@pytest.mark.parametrize("how", ["missing", "half"])
def test_a_product_that_was_half_copied_is_refused(name: str, how: str, tmp_path: Path) -> None:
    path = saved(tmp_path) / name
    data = path.read_bytes()
    path.unlink()
    if how == "half":
        path.write_bytes(data[: len(data) // 2])
    with pytest.raises(MetierError, match="the product is not whole|not readable as JSON"):
        open_product(path.parent, read_product(path.parent), make_tools(tmp_path))


def test_tuned_weights_are_beside_it_and_must_be(tmp_path: Path) -> None:
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "adapter_model.safetensors").write_bytes(b"weights")
    weights = Artifact("tuned", tmp_path / "tuned")
    material = make_material(tmp_path, weights={"task": weights})
    learned = scored.learn(material, make_tools(tmp_path, Scripted()), tuned="task", reading="total")
    folder = tmp_path / "product"
    product = dataclasses.replace(PRODUCT, form="scored")
    save_product(product, learned, weights, folder)
    copied = folder / WEIGHTS / "adapter_model.safetensors"
    assert copied.read_bytes() == b"weights"
    opened = open_product(folder, product, make_tools(tmp_path / "fresh", Scripted()))
    assert [a.text for a in opened.answer(["a", "b"])] == list(learned.answer(["a", "b"]).texts)
    copied.unlink()
    copied.parent.rmdir()
    with pytest.raises(UserError, match="not whole .*adapter_model.safetensors is missing"):
        open_product(folder, product, make_tools(tmp_path / "again", Scripted()))


def test_600_rows_are_answered_as_one_by_one_and_as_by_the_one_that_learnt(tmp_path: Path) -> None:
    opened = open_product(saved(tmp_path), PRODUCT, make_tools(tmp_path))
    texts = [f"{('invoice', 'parcel', 'wrong late', '')[i % 4]} number {i % 11}" for i in range(600)]
    found = opened.answer(texts)
    assert found == [opened.answer([text])[0] for text in texts]
    assert [answer.text for answer in found] == list(learnt(tmp_path).answer(texts).texts)
    assert opened.answer([]) == []


@given(share=st.floats(0.001, 0.999), temperature=st.floats(0.2, 8), least=st.floats(0, 1))
def test_an_answers_probability_is_tempered_and_below_the_threshold_it_is_withheld(
    share: float, temperature: float, least: float
) -> None:
    shares = (share, 1 - share)
    text = LABELS[0] if share >= 0.5 else LABELS[1]
    confidence = dataclasses.replace(CONFIDENCE, temperature=temperature)
    (found,) = answers([shares], [text], confidence=confidence, threshold=threshold(least))
    assert found.probabilities == dict(zip(LABELS, tempered(shares, temperature), strict=True))
    assert sum(found.probabilities.values()) == pytest.approx(1, abs=2e-6)
    assert found.probability == found.probabilities[text] == max(found.probabilities.values())
    assert found.abstained == (found.probability < least)


def test_without_a_threshold_all_that_was_asked_is_answered() -> None:
    found = answers([(0.51, 0.49), (0.0, 0.0)], ["billing", ""], confidence=CONFIDENCE)
    assert [a.abstained for a in found] == [False, True], "the second did not fit and was not asked"
    assert found[1].probability == 0 and set(found[1].probabilities.values()) == {0}


def test_a_threshold_above_1_withholds_every_answer() -> None:
    (found,) = answers([(1.0, 0.0)], ["billing"], confidence=CONFIDENCE, threshold=threshold(1.000001))
    assert found.abstained and found.text == "billing"


def test_without_probabilities_an_empty_answer_is_withheld() -> None:
    assert [a.abstained for a in answers(None, ["billing", ""])] == [False, True]
    free = answers(None, ["a text", ""], labels=None)
    assert [(a.abstained, a.probability, a.probabilities) for a in free] == [(False, None, None), (True, None, None)]


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (LABELS[:1], f"missing in product.json: {LABELS[1]}"),
        ((*LABELS, "sales"), "not learnt: sales"),
        (LABELS[::-1], "in another order"),
        (None, f"missing in product.json: {LABELS[0]}"),
    ],
)
def test_a_product_whose_labels_are_not_those_it_learnt_is_refused(
    labels: tuple[str, ...] | None, told: str, tmp_path: Path
) -> None:
    folder = saved(tmp_path)
    with pytest.raises(UserError, match=told):
        open_product(folder, dataclasses.replace(PRODUCT, labels=labels), make_tools(tmp_path))


def test_a_file_that_was_cut_off_is_told_with_its_size(tmp_path: Path) -> None:
    path = saved(tmp_path) / "head.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    size = path.stat().st_size
    with pytest.raises(UserError, match=f"head.safetensors has {size} of {size + 1} bytes"):
        open_product(path.parent, PRODUCT, make_tools(tmp_path))


def test_a_system_that_does_not_write_streams_its_answer_at_once(tmp_path: Path) -> None:
    opened = open_product(saved(tmp_path), PRODUCT, make_tools(tmp_path))
    assert list(opened.stream("the invoice")) == [opened.answer(["the invoice"])[0].text]
    assert opened.finished(["a", "b"]) == [True, True]
