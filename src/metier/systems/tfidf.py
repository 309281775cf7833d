"""TF-IDF of words and word pairs, and logistic regression: is a language model needed at all?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metier.core import storage
from metier.core.errors import MetierError
from metier.core.records import Answers
from metier.systems.base import Keep, Learned, Material, Tools
from metier.systems.regression import Floats, Head, Source, fit, load_head, pairs_of

_FEATURES_MAX = 200_000
_WORDS, _IDF = "vocabulary.json", "idf.safetensors"


def learn(material: Material, tools: Tools, *, source: Source) -> Learned:
    """Return the regression.

    Args:
        material: What to learn from.
        tools: Not needed.
        source: Which of its pairs to learn from.

    Raises:
        MetierError: The pairs hold fewer than two labels, or no words.
    """
    pairs = pairs_of(material, source)
    vectorizer = _vectorizer()
    try:
        vectors = vectorizer.fit_transform([pair.input for pair in pairs])
    except ValueError as error:
        raise MetierError(f"no words to learn from ({error})") from error
    words = sorted(vectorizer.vocabulary_, key=lambda word: int(vectorizer.vocabulary_[word]))
    head = fit(vectors, [pair.output for pair in pairs], material.labels or ())
    return Tfidf(tuple(words), np.asarray(vectorizer.idf_, np.float64), head, vectorizer)


def load(folder: Path, tools: Tools) -> Learned:
    """Return what `Tfidf.save` wrote."""
    from safetensors.numpy import load_file

    words = tuple(storage.read_json(folder / _WORDS))
    idf = load_file(folder / _IDF)["idf"]
    vectorizer = _vectorizer({word: place for place, word in enumerate(words)})
    vectorizer.idf_ = idf
    return Tfidf(words, idf, load_head(folder), vectorizer)


@dataclasses.dataclass(frozen=True, slots=True)
class Tfidf:
    """Answers with the likeliest label by the words of the input.

    Attributes:
        words: The vocabulary, in the order of the columns.
        idf: Each word's inverse document frequency.
        head: The regression.
        vectorizer: scikit-learn's, with that vocabulary.
    """

    words: tuple[str, ...]
    idf: Floats
    head: Head
    vectorizer: Any

    @property
    def form(self) -> str:
        """Which file loads it."""
        return "tfidf"

    @property
    def labels(self) -> tuple[str, ...]:
        """The possible answers."""
        return self.head.labels

    @property
    def nbytes(self) -> int:
        """Bytes of vocabulary and numbers."""
        return sum(len(word.encode()) for word in self.words) + int(self.idf.nbytes) + self.head.nbytes

    def answer(self, inputs: Sequence[str], keep: Keep | None = None) -> Answers:
        """Return an answer to each input, with how likely each label is, in order."""
        return self.head.answers(self.vectorizer.transform(inputs))

    def save(self, folder: Path) -> None:
        """Write vocabulary, frequencies and head into a folder."""
        from safetensors.numpy import save_file

        self.head.save(folder)
        storage.write_json(folder / _WORDS, list(self.words))
        save_file({"idf": self.idf}, folder / _IDF)


def _vectorizer(vocabulary: dict[str, int] | None = None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=_FEATURES_MAX, vocabulary=vocabulary)
