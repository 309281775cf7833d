"""A model whose labels are scored: the base model under a prompt, or a tuned one as it was trained.

Three ways to read the scores:

- ``mean``: the label with the highest mean log-likelihood of its tokens, so that a long label is at no disadvantage
  (rank classification).
- ``total``: the label that the model is likeliest to write of all labels, which is what writing constrained to the
  labels comes to, searched exactly.
- ``prior``: from each label's log-likelihood its mean over inputs that do not matter is taken off: what the model finds
  likely anyway (Holtzman et al. 2021, arXiv 2104.08315). A label's length cancels out. The inputs say nothing (Zhao et
  al. 2021, arXiv 2102.09690) or are the model's own synthetic ones, every label counting alike.

None sees other test rows or their answers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from metier.core import storage
from metier.core.codec import decode, encode
from metier.core.records import Answers, Example
from metier.systems.asker import Asker, open_asker
from metier.systems.asker_file import load_asker, save_asker
from metier.systems.base import Keep, Learned, Material, Tools, Tuned

Reading = Literal["mean", "total", "prior"]
Floats = npt.NDArray[np.float64]
_FILE = "reading.json"
_CONTENT_FREE = ("N/A", "", "[MASK]")
_PRIOR_INPUTS = 200  # synthetic inputs that a prior is taken from, at most


def learn(material: Material, tools: Tools, *, tuned: Tuned | None = None, reading: Reading = "prior") -> Learned:
    """Return a model that answers with the likeliest label.

    Args:
        material: The labels, the examples to show, the tuned model, and where the prior is from.
        tools: Opens the model.
        tuned: Which tuned model is scored; None: the base model.
        reading: How the scores are read.
    """
    asker = open_asker(material, tools, tuned=tuned, shows="as trained" if tuned else "examples")
    prior: tuple[float, ...] = ()
    if reading == "prior":
        pairs = material.synthetic if material.label_prior == "synthetic" else ()
        prior = _label_prior(asker, pairs, tools.keep)
    return Scorer(asker, reading, prior)


def load(folder: Path, tools: Tools) -> Learned:
    """Return what `Scorer.save` wrote."""
    saved = decode(_Saved, storage.read_json(folder / _FILE))
    return Scorer(load_asker(folder, tools), saved.reading, saved.prior)


@dataclasses.dataclass(frozen=True, slots=True)
class Scorer:
    """Answers with a label.

    Attributes:
        asker: Scores the labels.
        reading: How scores are read.
        prior: What is taken off each label's log-likelihood; empty: nothing.
    """

    asker: Asker
    reading: Reading
    prior: tuple[float, ...]

    @property
    def form(self) -> str:
        """Which file loads it."""
        return "scored"

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The possible answers."""
        return self.asker.labels

    @property
    def nbytes(self) -> int:
        """Bytes of the model."""
        return self.asker.nbytes

    @property
    def room(self) -> int:
        """Tokens that a prompt leaves free for the answer."""
        return max(self.asker.label_sizes())

    def answer(self, inputs: Sequence[str], keep: Keep | None = None) -> Answers:
        """Return an answer to each input, with how likely each label is, in order."""
        labels = self.asker.labels or ()
        found = self.asker.score(inputs, keep)
        there = [i for i, row in enumerate(found.logprobs) if row]
        scores = np.array([found.logprobs[i] for i in there]).reshape(len(there), len(labels))
        if self.reading == "mean":
            scores = scores / np.array(found.tokens)
        elif self.prior:
            scores = scores - np.array(self.prior)
        texts = [""] * len(inputs)
        shares: list[tuple[float, ...]] = [(0.0,) * len(labels)] * len(inputs)
        for i, row, share in zip(there, scores, _softmax(scores), strict=True):
            texts[i] = labels[int(row.argmax())]
            shares[i] = tuple(round(float(s), 6) for s in share)
        return Answers(
            tuple(texts),
            # A mean over tokens is no probability of the label.
            None if self.reading == "mean" else tuple(shares),
            unasked=len(inputs) - len(there),
        )

    def save(self, folder: Path) -> None:
        """Write how the model is asked, and how its scores are read, into a folder."""
        save_asker(self.asker, folder)
        storage.write_json(folder / _FILE, encode(_Saved(self.reading, self.prior)))


@dataclasses.dataclass(frozen=True, slots=True)
class _Saved:
    reading: Reading
    prior: tuple[float, ...]


def _label_prior(asker: Asker, synthetic: Sequence[Example], keep: Keep) -> tuple[float, ...]:
    """Return each label's mean log-likelihood over inputs that do not matter."""
    labels = asker.labels or ()
    if not synthetic:
        found = asker.score(_CONTENT_FREE, keep)
        there = [row for row in found.logprobs if row]
        # Where not even these fit the context, no input does: there is nothing to take off.
        return tuple(np.array(there).mean(axis=0).tolist()) if there else ()
    shown = synthetic[:_PRIOR_INPUTS]
    found = asker.score([pair.input for pair in shown], keep)
    by_label = [
        np.array([row for row, pair in zip(found.logprobs, shown, strict=True) if row and pair.output == label])
        for label in labels
    ]
    # Whatever label the model wrote most of, each counts alike.
    means = [rows.mean(axis=0) for rows in by_label if len(rows)]
    if not means:
        return _label_prior(asker, (), keep)
    return tuple(np.array(means).mean(axis=0).tolist())


def _softmax(scores: Floats) -> Floats:
    shares: Floats = np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))
    return shares
