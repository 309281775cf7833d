"""A sentence encoder and logistic regression on its vectors: is a language model needed at all?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from metier.core import storage
from metier.core.codec import decode, encode
from metier.core.errors import MetierError
from metier.core.records import Answers
from metier.core.step import Artifact
from metier.models.encoder import SentenceEncoder
from metier.models.locate import resolve_model
from metier.systems.base import Keep, Learned, Material, Tools
from metier.systems.regression import Head, Source, fit, load_head, pairs_of

WEIGHT_BYTES = 4  # encoders are held in float32
_FILE = "encoder.json"


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
    head = fit(vectors, [pair.output for pair in pairs], material.labels or ())
    return Encoded(EncoderUsed(material.encoder_name, material.encoder.key), encoder, head)


def load(folder: Path, tools: Tools) -> Learned:
    """Return what `Encoded.save` wrote; the encoder itself is found by its name.

    Raises:
        MetierError: It is not here, is not the one that was used, or cannot be opened.
    """
    used = read_used(folder)
    return Encoded(used, open_used(used, folder, tools), load_head(folder))


def read_used(folder: Path) -> EncoderUsed:
    """Return which encoder what is saved in a folder was learnt with."""
    return decode(EncoderUsed, storage.read_json(folder / _FILE))


def open_used(used: EncoderUsed, folder: Path, tools: Tools) -> SentenceEncoder:
    """Return the encoder that a System was learnt with.

    Args:
        used: Which it was.
        folder: Where the System is, for messages.
        tools: Opens it.

    Raises:
        MetierError: It is not here, is not the one that was used, or cannot be opened.
    """
    try:
        files = resolve_model(used.name)
    except MetierError as error:
        raise MetierError(
            f"{folder}: the encoder {used.name} is not here ({error.message})",
            hint="put it back where it was, or run the task again",
        ) from error
    if files.digest != used.digest:
        raise MetierError(
            f"{folder}: the encoder {used.name} is not the one that this was learnt with",
            hint="fetch the same version of it, or run the task again",
        )
    return tools.open_encoder(Artifact(files.digest, files.path))


@dataclasses.dataclass(frozen=True, slots=True)
class EncoderUsed:
    """Which encoder makes the vectors: its name, and the digest of its files."""

    name: str
    digest: str


@dataclasses.dataclass(frozen=True, slots=True)
class Encoded:
    """Answers with the likeliest label by the input's vector."""

    used: EncoderUsed
    encoder: SentenceEncoder
    head: Head

    @property
    def form(self) -> str:
        """Which file loads it."""
        return "encoder"

    @property
    def labels(self) -> tuple[str, ...]:
        """The possible answers."""
        return self.head.labels

    @property
    def nbytes(self) -> int:
        """Bytes of the encoder's weights and the head."""
        return WEIGHT_BYTES * self.encoder.parameters + self.head.nbytes

    def answer(self, inputs: Sequence[str], keep: Keep | None = None) -> Answers:
        """Return an answer to each input, with how likely each label is, in order."""
        return self.head.answers(self.encoder.encode(inputs))

    def save(self, folder: Path) -> None:
        """Write the head, and which encoder it is for, into a folder."""
        self.head.save(folder)
        storage.write_json(folder / _FILE, encode(self.used))
