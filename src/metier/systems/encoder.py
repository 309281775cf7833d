"""A sentence encoder and logistic regression on its vectors: is a language model needed at all?"""

from __future__ import annotations

from metier.systems.base import Learned, Material, Tools
from metier.systems.regression import Source, fit, pairs_of

_WEIGHT_BYTES = 4  # encoders are held in float32


def learn(material: Material, tools: Tools, *, source: Source) -> Learned:
    """Return the regression.

    Args:
        material: What to learn from, and the encoder.
        tools: Opens the encoder.
        source: Which of its pairs to learn from.

    Raises:
        MetierError: The pairs hold fewer than two labels, or the encoder cannot be opened.
    """
    if material.encoder is None:
        raise ValueError("this System needs an encoder: its line in the registry must name it")
    pairs = pairs_of(material, source)
    encoder = tools.open_encoder(material.encoder)
    vectors = encoder.encode([pair.input for pair in pairs])
    answers = [pair.output for pair in pairs]
    return fit(encoder.encode, vectors, answers, material.labels or (), _WEIGHT_BYTES * encoder.parameters)
