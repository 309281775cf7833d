"""TF-IDF of words and word pairs, and logistic regression: is a language model needed at all?"""

from __future__ import annotations

from metier.core.errors import MetierError
from metier.systems.base import Learned, Material, Tools
from metier.systems.regression import Source, fit, pairs_of

_FEATURES_MAX = 200_000


def learn(material: Material, tools: Tools, *, source: Source) -> Learned:
    """Return the regression.

    Args:
        material: What to learn from.
        tools: Not needed.
        source: Which of its pairs to learn from.

    Raises:
        MetierError: The pairs hold fewer than two labels, or no words.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    pairs = pairs_of(material, source)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=_FEATURES_MAX)
    try:
        vectors = vectorizer.fit_transform([pair.input for pair in pairs])
    except ValueError as error:
        raise MetierError(f"no words to learn from ({error})") from error
    answers = [pair.output for pair in pairs]
    return fit(vectorizer.transform, vectors, answers, material.labels or (), 8 * len(vectorizer.vocabulary_))
