"""A sentence encoder on both parts of an input, and logistic regression on what they have to do with each other.

For inputs of two named parts, such as a premise and a hypothesis. Of their vectors u and v the regression sees u, v,
|u - v| and u · v, element by element (InferSent: Conneau et al. 2017, arXiv 1705.02364): what two sentences have to do
with each other is hardly in the vector of the text that holds both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metier.core import storage
from metier.core.codec import decode, encode
from metier.core.errors import MetierError
from metier.core.records import Answers
from metier.data.two_parts import TwoParts, find_two_parts
from metier.models.encoder import SentenceEncoder
from metier.systems import encoder as whole
from metier.systems.base import Keep, Learned, Material, Tools
from metier.systems.regression import Head, Source, fit, load_head, pairs_of

_FILE = "encoder_pair.json"


def learn(material: Material, tools: Tools, *, source: Source) -> Learned:
    """Return the regression.

    Args:
        material: What to learn from, and the encoder.
        tools: Opens the encoder.
        source: Which of its pairs to learn from.

    Raises:
        MetierError: The pairs hold fewer than two labels, their inputs do not have two parts, or the encoder cannot be
            opened.
    """
    if material.encoder is None:
        raise ValueError("this System needs an encoder: its line in the registry must name it")
    pairs = pairs_of(material, source)
    parts = find_two_parts([pair.input for pair in pairs])
    if parts is None:
        raise MetierError("the inputs do not have two parts with names")
    encoder = tools.open_encoder(material.encoder)
    vectors = vectors_of_parts(encoder, parts, [pair.input for pair in pairs])
    head = fit(vectors, [pair.output for pair in pairs], material.labels or ())
    return EncodedPair(Used(whole.EncoderUsed(material.encoder_name, material.encoder.key), parts), encoder, head)


def load(folder: Path, tools: Tools) -> Learned:
    """Return what `EncodedPair.save` wrote; the encoder itself is found by its name.

    Raises:
        MetierError: It is not here, is not the one that was used, or cannot be opened.
    """
    used = read_used(folder)
    return EncodedPair(used, whole.open_used(used.encoder, folder, tools), load_head(folder))


def read_used(folder: Path) -> Used:
    """Return which encoder and parts what is saved in a folder was learnt with."""
    return decode(Used, storage.read_json(folder / _FILE))


def vectors_of_parts(encoder: SentenceEncoder, parts: TwoParts, inputs: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return what the two parts of each input have to do with each other, ``[inputs, 4 * width]``."""
    split = [parts.split(text) for text in inputs]
    # All in one call: texts of similar length share a batch.
    u, v = np.split(encoder.encode([*(one for one, _ in split), *(other for _, other in split)]), 2)
    return np.concatenate([u, v, np.abs(u - v), u * v], axis=1)


@dataclasses.dataclass(frozen=True, slots=True)
class Used:
    """The encoder, and the parts that it encodes."""

    encoder: whole.EncoderUsed
    parts: TwoParts


@dataclasses.dataclass(frozen=True, slots=True)
class EncodedPair:
    """Answers with the likeliest label by the vectors of the input's two parts."""

    used: Used
    encoder: SentenceEncoder
    head: Head

    @property
    def form(self) -> str:
        """Which file loads it."""
        return "encoder_pair"

    @property
    def labels(self) -> tuple[str, ...]:
        """The possible answers."""
        return self.head.labels

    @property
    def nbytes(self) -> int:
        """Bytes of the encoder's weights and the head."""
        return whole.WEIGHT_BYTES * self.encoder.parameters + self.head.nbytes

    def answer(self, inputs: Sequence[str], keep: Keep | None = None) -> Answers:
        """Return an answer to each input, with how likely each label is, in order."""
        return self.head.answers(vectors_of_parts(self.encoder, self.used.parts, inputs))

    def save(self, folder: Path) -> None:
        """Write the head, and which encoder and parts it is for, into a folder."""
        self.head.save(folder)
        storage.write_json(folder / _FILE, encode(self.used))
