"""How confident a classifier should be, and when it should say that it does not know.

A temperature (Guo et al. 2017, arXiv 1706.04599) is fitted on rows that people wrote, never on synthetic ones. What is
said of its quality is cross-fitted: each fold's rows are judged with the temperature of the others. A threshold for
abstaining is found by testing thresholds from the strictest down, each by the exact binomial bound, and stopping at the
first that fails (fixed-sequence testing; Angelopoulos et al. 2021, arXiv 2110.01052): so the accuracy it promises holds
with 95% confidence however many thresholds are tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from metier.core.errors import UserError
from metier.evaluation.records import Confidence, Threshold

Floats = npt.NDArray[np.float64]
ROWS_LEAST, ROWS_FIRM = 50, 200
_FOLDS = 5
_DIGITS = 6  # of a probability as it is given
_LEAST_SHARE = 1e-6  # what a probability of zero is taken for: it was rounded
_CONFIDENCE = 0.95
_LEAST_ANSWERED = 20  # the strictest threshold that is tested answers at least so many rows
_MISTAKES = 2  # that the strictest threshold tested may let through, where there are rows enough


def fit_confidence(probabilities: Sequence[Sequence[float]], right: Sequence[int], seed: int) -> Confidence:
    """Fit a temperature on all rows, and say how good it is on rows that it was not fitted on.

    Args:
        probabilities: ``[rows, labels]``.
        right: For each row, the place of the right label.
        seed: Seeds the folds.
    """
    logs, places = _logs(probabilities), np.asarray(right)
    fitted = cross_fitted(probabilities, right, seed)
    hit = np.zeros_like(fitted)
    hit[np.arange(len(places)), places] = 1.0
    sure, guess = fitted.max(axis=1), fitted.argmax(axis=1)
    return Confidence(
        temperature=_fit(logs, places),
        brier=float(((fitted - hit) ** 2).sum(axis=1).mean()),
        calibration_error=_calibration_error(sure, guess == places),
        rows=len(places),
    )


def cross_fitted(probabilities: Sequence[Sequence[float]], right: Sequence[int], seed: int) -> Floats:
    """Return each row's probabilities, ``[rows, labels]``, with the temperature of the other folds' rows."""
    logs, places = _logs(probabilities), np.asarray(right)
    folds = np.random.default_rng(seed).permutation(len(places)) % _FOLDS
    out = np.zeros_like(logs)
    for fold in range(_FOLDS):
        own = folds == fold
        rest = ~own if (~own).any() else own
        out[own] = _softmax(logs[own] / _fit(logs[rest], places[rest]))
    return out


def tempered(probabilities: Sequence[float], temperature: float) -> tuple[float, ...]:
    """Return one row's probabilities with a temperature; a row of zeros, that was not asked, stays as it is."""
    return tempered_rows([probabilities], temperature)[0]


def tempered_rows(probabilities: Sequence[Sequence[float]], temperature: float) -> list[tuple[float, ...]]:
    """Return what `tempered` makes of each row."""
    if not probabilities:
        return []
    rows = _softmax(_logs(probabilities) / temperature).tolist()
    return [
        tuple([round(share, _DIGITS) for share in row]) if any(given) else tuple(given)
        for given, row in zip(probabilities, rows, strict=True)
    ]


def find_threshold(probabilities: Sequence[Sequence[float]], right: Sequence[int], accuracy: float) -> Threshold:
    """Return the lowest threshold above which answers are right often enough, with 95% confidence.

    Probabilities are read with the temperature that is fitted on all rows, as they are in use: of one number that is
    fitted on them the rows' order depends little.

    Args:
        probabilities: ``[rows, labels]``, before any temperature.
        right: For each row, the place of the right label.
        accuracy: How often an answer must be right, 0 to 1.

    Raises:
        UserError: There are fewer than `ROWS_LEAST` rows.
    """
    rows = len(right)
    if rows < ROWS_LEAST:
        raise UserError(
            f"abstain: {rows} test rows are too few to promise an accuracy", hint=f"use at least {ROWS_LEAST}"
        )
    logs, places = _logs(probabilities), np.asarray(right)
    fitted = np.round(_softmax(logs / _fit(logs, places)), _DIGITS)
    sure, hit = fitted.max(axis=1), fitted.argmax(axis=1) == places
    order = np.argsort(-sure, kind="stable")
    state: Literal["firm", "provisional"] = "firm" if rows >= ROWS_FIRM else "provisional"
    best = Threshold(accuracy, 1.000001, 0.0, 0.0, 0.0, state)
    for n in range(_first_tested(accuracy, rows), rows + 1):
        if n < rows and sure[order[n]] == sure[order[n - 1]]:
            continue  # rows that are as sure are answered together
        right_ones = int(hit[order[:n]].sum())
        lower = lower_bound(right_ones, n)
        if lower < accuracy:
            break
        best = Threshold(accuracy, float(sure[order[n - 1]]), n / rows, right_ones / n, lower, state)
    return best


def _first_tested(accuracy: float, rows: int) -> int:
    """Return how many rows the strictest threshold that is tested answers.

    The first test that fails ends all, so it must be one that can pass: 20 right answers of 20 do not show 90%. It
    depends on what is asked for and the number of rows alone, never on the answers, or the promise would not hold.
    """
    for mistakes in range(_MISTAKES, -1, -1):
        n = _LEAST_ANSWERED
        while n <= rows and lower_bound(n - mistakes, n) < accuracy:
            n += 1
        if n <= rows // 2:
            return n
    return min(n, rows)


def lower_bound(right: int, rows: int) -> float:
    """Return the exact one-sided 95% lower bound of a share (Clopper and Pearson 1934)."""
    from scipy.stats import beta

    return float(beta.ppf(1 - _CONFIDENCE, right, rows - right + 1)) if right else 0.0


def _fit(logs: Floats, places: npt.NDArray[np.int64]) -> float:
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        scaled = logs / np.exp(log_temperature)
        norm = np.logaddexp.reduce(scaled, axis=1)
        return float((norm - scaled[np.arange(len(places)), places]).mean())

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return float(np.exp(found.x))


def _calibration_error(sure: Floats, hit: npt.NDArray[np.bool_], bins: int = 10) -> float:
    place = np.minimum((sure * bins).astype(int), bins - 1)
    total = 0.0
    for one in range(bins):
        own = place == one
        if own.any():
            total += own.mean() * abs(hit[own].mean() - sure[own].mean())
    return float(total)


def _logs(probabilities: Sequence[Sequence[float]]) -> Floats:
    found: Floats = np.log(np.maximum(np.asarray(probabilities, np.float64), _LEAST_SHARE))
    return found


def _softmax(logs: Floats) -> Floats:
    shifted = np.exp(logs - logs.max(axis=1, keepdims=True))
    found: Floats = shifted / shifted.sum(axis=1, keepdims=True)
    return found
