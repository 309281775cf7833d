"""Systems without a language model at test time: logistic regression on words or sentence vectors, and a rule checker.

They answer the question whether a language model is needed at all. Knows nothing about references or scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from metier.core.errors import MetierError
from metier.core.records import Example

_FEATURES_MAX = 200_000


class Classifier(Protocol):
    """A trained system: answers texts, and says how much memory its numbers take."""

    nbytes: int

    def answer(self, texts: Sequence[str]) -> list[str]:
        """Return the answer to each text."""
        ...


def train_tfidf(pairs: Sequence[Example]) -> Classifier:
    """Return logistic regression on TF-IDF of words and word pairs.

    Raises:
        MetierError: The pairs hold fewer than two labels, or no words.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    labels = _labels(pairs)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=_FEATURES_MAX)
    try:
        vectors = vectorizer.fit_transform([pair.input for pair in pairs])
    except ValueError as error:
        raise MetierError(f"no words to learn from ({error})") from error
    return _Regression(vectorizer.transform, vectors, labels, extra_bytes=8 * len(vectorizer.vocabulary_))


def train_encoder(pairs: Sequence[Example], encode: Callable[[Sequence[str]], Any], encoder_bytes: int) -> Classifier:
    """Return logistic regression on sentence vectors.

    Args:
        pairs: What to learn from.
        encode: From texts to vectors, ``[texts, width]``.
        encoder_bytes: Memory of the encoder's weights.

    Raises:
        MetierError: The pairs hold fewer than two labels.
    """
    labels = _labels(pairs)
    return _Regression(encode, encode([pair.input for pair in pairs]), labels, extra_bytes=encoder_bytes)


def harper_corrector() -> Callable[[str], str]:
    """Return the rule-based checker Harper: every finding's first suggestion is taken, from the end of the text back.

    Raises:
        MetierError: The extra is not installed.
    """
    try:
        import harper
    except ImportError as error:
        raise MetierError("harper-py is not installed", hint="pip install 'metier[harper]'") from error
    linter = harper.Linter()

    def correct(text: str) -> str:
        border = len(text) + 1
        for lint in sorted(linter.lint(text), key=lambda found: found.span.start, reverse=True):
            if not lint.suggestions or lint.span.end > border:
                continue
            mended = str(linter.apply_suggestion(text, lint, lint.suggestions[0]))
            # Benchmarks write words and punctuation apart: spacing alone is no mistake there.
            if "".join(mended.split()) != "".join(text.split()):
                text, border = mended, lint.span.start
        return text

    return correct


class _Regression:
    """Logistic regression with scikit-learn's defaults on some vectors of texts; deterministic."""

    def __init__(
        self, vectors_of: Callable[[Sequence[str]], Any], vectors: Any, labels: list[str], *, extra_bytes: int
    ) -> None:
        from sklearn.linear_model import LogisticRegression

        self._vectors_of = vectors_of
        self._model: Any = LogisticRegression(max_iter=1000)
        self._model.fit(vectors, labels)
        self.nbytes = int(self._model.coef_.nbytes) + extra_bytes

    def answer(self, texts: Sequence[str]) -> list[str]:
        return [str(label) for label in self._model.predict(self._vectors_of(texts))]


def _labels(pairs: Sequence[Example]) -> list[str]:
    labels = [pair.output for pair in pairs]
    if len(set(labels)) < 2:
        raise MetierError("fewer than two labels to learn from")
    return labels
