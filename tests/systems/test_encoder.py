"""The encoder System with the real encoder; with a stub of known vectors it is tested in test_regression."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metier.core.records import Example
from metier.core.step import Artifact
from metier.models.encoder import SentenceEncoder
from metier.systems import encoder as system
from metier.systems.base import Material
from tests.systems.scripted import LABELS, make_tools

PAIRS = (Example("the invoice is wrong", "billing"), Example("the parcel is late", "delivery")) * 3


@pytest.mark.model
def test_the_encoder_tells_topics_apart(encoder: Path, tmp_path: Path) -> None:
    found = SentenceEncoder(encoder, device="cpu")
    texts = ["The parcel never came.", "The package did not arrive.", "I was charged twice.", ""]
    vectors = found.encode(texts)
    assert vectors.shape == (4, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1
    # Neither the batch nor the order changes a vector.
    assert np.abs(found.encode(texts[::-1])[::-1] - vectors).max() < 1e-5
    assert np.abs(found.encode([texts[0] + " and more" * 300, texts[1]])[1] - vectors[1]).max() < 1e-5
    material = Material(LABELS, labelled=PAIRS, encoder=Artifact("minilm", encoder))
    learned = system.learn(material, make_tools(tmp_path, encoder=found), source="labelled")
    assert learned.answer(["Where is my package?", "The bill is too high."]).texts == ("delivery", "billing")
