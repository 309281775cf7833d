"""Every System that is saved answers, once loaded with fresh tools, exactly as the one that learnt."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metier.core.errors import MetierError, UserError
from metier.core.records import Example
from metier.core.step import Artifact
from metier.models.locate import ModelFiles
from metier.systems import encoder
from metier.systems.asker_file import WEIGHTS
from metier.systems.base import Learned
from metier.systems.registry import SYSTEMS
from metier.tasks.settings import SynthesisSettings
from tests.systems.scripted import LABELS, Opened, Scripted, input_of, make_material, make_tools

PAIRS = (
    Example("the invoice is wrong", "billing"),
    Example("the parcel is late", "delivery"),
    Example("my bill is too high", "billing"),
    Example("where is my parcel", "delivery"),
)
REWRITES = tuple(Example(f"they utilize the {what}", f"they use the {what}") for what in ("car", "road", "door"))
HELD_OUT = tuple(Example(f"{pair.input} {k}", f"{pair.output} now {k}") for pair in PAIRS for k in range(10))
TWO_PARTS = tuple(Example(f"First: {pair.input} Second: {k} times", pair.output) for pair in PAIRS for k in range(20))
SHIPPING = (
    "majority",
    "copied_input",
    "zero_shot",
    "few_shot",
    "few_shot_best",
    "sampled_majority",
    "self_icl",
    "label_scoring",
    "label_scoring_calibrated",
    "tuned_on_examples",
    "tfidf_train",
    "encoder_all",
    "encoder_pair",
    "harper",
    "replacements",
    "specialist_written",
    "specialist_constrained",
    "specialist_guarded",
    "specialist",
)
ASKS = {key for key in SHIPPING if "asked" in SYSTEMS[key].uses}
TEXTS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    | st.sampled_from(["the invoice, again", "they utilize the parcel", "my bill and where", "x" * 5000]),
    min_size=1,
    max_size=6,
)


class Lengths:
    """An encoder of a text's length and vowels: any text has its own vector."""

    parameters = 10

    def encode(self, texts: Sequence[str]) -> Any:
        return np.array([[len(t) / 10, sum(t.count(v) for v in "aeiou") / 5, float("parcel" in t)] for t in texts])


def engine() -> Scripted:
    """Return an engine whose answers depend on the whole prompt, so that another prompt is noticed."""

    def number(text: str) -> int:
        return sum((i + 1) * b for i, b in enumerate(text.encode(errors="surrogatepass"))) % 1009

    return Scripted(
        write=lambda prompt, sample: f" {LABELS[(number(prompt) + (sample % 3 == 0)) % 2]}",
        likely=lambda prompt, continuation: -number(prompt + continuation) / 100,
    )


def learn(key: str, folder: Path) -> Learned:
    """Return a System that has learnt, by the registry."""
    material = make_material(
        folder,
        labelled={"replacements": REWRITES, "encoder_pair": TWO_PARTS}.get(key, PAIRS),
        synthetic=PAIRS[::-1],
        test_answers=("delivery",),
        weights={tuned: Artifact(f"tuned on {tuned}", folder) for tuned in ("task", "examples")},
        sampling=SynthesisSettings(),
        demonstration_tokens=1000,
        label_prior="synthetic",
        encoder=Artifact("vectors", folder),
        encoder_name="lengths",
        held_out=HELD_OUT,
        metric="sari",
    )
    return SYSTEMS[key].learn(material, make_tools(folder / "learning", engine(), Lengths()))


def found_as(digest: str) -> Callable[[str], ModelFiles]:
    """Return a stand-in for what finds an encoder by its name."""
    return lambda name: ModelFiles(Path("elsewhere"), name, "made up", None, name, digest)


def saved(key: str, folder: Path) -> tuple[Learned, Path]:
    """Return a System that has learnt, and where it is saved."""
    learned, product = learn(key, folder), folder / "product"
    (product / WEIGHTS).mkdir(parents=True)
    learned.save(product)
    return learned, product


def load(learned: Learned, product: Path, **tools: Any) -> Learned:
    """Return what was saved, by tools that have never seen it."""
    module = importlib.import_module(f"metier.systems.{learned.form}")
    given: dict[str, Any] = {"engine": engine(), "encoder": Lengths()} | tools
    again: Learned = module.load(product, make_tools(product.parent / "fresh", **given))
    return again


@pytest.fixture(autouse=True)
def _encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "resolve_model", found_as("vectors"))


def test_every_system_that_may_ship_is_here() -> None:
    forms = {SYSTEMS[key].module for key in SHIPPING}
    assert {entry.module for entry in SYSTEMS.values() if entry.ships} <= forms


@pytest.mark.parametrize("key", SHIPPING)
def test_what_is_loaded_answers_as_what_learnt(key: str, tmp_path: Path) -> None:
    learned, product = saved(key, tmp_path)
    again = load(learned, product)
    assert (again.form, type(again)) == (learned.form, type(learned))
    assert again.nbytes == learned.nbytes

    @settings(max_examples=8 if key == "harper" else 25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(texts=TEXTS)
    def same(texts: list[str]) -> None:
        assert again.answer(texts) == learned.answer(texts), "texts, probabilities and what was not asked"

    same()


@pytest.mark.parametrize("key", SHIPPING)
def test_nothing_is_pickled_and_saving_again_writes_the_same(key: str, tmp_path: Path) -> None:
    learned, product = saved(key, tmp_path)
    files = {path.name: path.read_bytes() for path in product.iterdir() if path.is_file()}
    assert {Path(name).suffix for name in files} <= {".json", ".safetensors"}
    for name, data in files.items():
        if name.endswith(".json"):
            json.loads(data)
    other = tmp_path / "other"
    other.mkdir()
    load(learned, product).save(other)
    assert {path.name: path.read_bytes() for path in other.iterdir()} == files


@pytest.mark.parametrize("key", sorted(ASKS))
def test_another_base_model_is_refused(key: str, tmp_path: Path) -> None:
    learned, product = saved(key, tmp_path)
    with pytest.raises(MetierError, match="the base model here is not the one") as caught:
        load(learned, product, model="another")
    assert caught.value.hint is not None and "same version" in caught.value.hint


def test_another_encoder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learned, product = saved("encoder_all", tmp_path)
    monkeypatch.setattr(encoder, "resolve_model", found_as("others"))
    with pytest.raises(MetierError, match="the encoder lengths is not the one that this was learnt with"):
        load(learned, product)


def test_an_encoder_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learned, product = saved("encoder_all", tmp_path)

    def gone(name: str) -> ModelFiles:
        raise UserError(f"model: {name!r} is no model")

    monkeypatch.setattr(encoder, "resolve_model", gone)
    with pytest.raises(MetierError, match="the encoder lengths is not here") as caught:
        load(learned, product)
    assert caught.value.hint is not None


@pytest.mark.parametrize(("key", "opens"), [("specialist", "tuned on task"), ("few_shot", None)])
def test_tuned_weights_are_those_beside_it_and_others_use_the_base_model(
    key: str, opens: str | None, tmp_path: Path
) -> None:
    learned, product = saved(key, tmp_path)
    opened = Opened()
    again: Any = load(learned, product, opened=opened)
    assert opened == [opens]
    assert (again.asker.weights is None) == (opens is None)
    if opens is not None:
        assert again.asker.weights.path == product / WEIGHTS


def test_a_prompt_is_saved_with_its_examples_and_its_rendering(tmp_path: Path) -> None:
    learned: Any = learn("few_shot", tmp_path)
    learned = dataclasses.replace(learned, asker=dataclasses.replace(learned.asker, rendering="one turn"))
    product = tmp_path / "product"
    product.mkdir()
    learned.save(product)
    model = engine()
    load(learned, product, engine=model).answer(["hello"])
    assert model.generated[0].prompt == learned.asker.prompt("hello")
    assert "I was charged twice." in model.generated[0].prompt.text
    assert input_of(model.generated[0].prompt.text) == "hello"
