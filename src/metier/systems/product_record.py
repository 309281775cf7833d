"""What is said of a product, as plain values that a report can read without a numerical library."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from metier.core.records import Interval, SystemKind, Verdict
from metier.evaluation.records import Confidence, Threshold
from metier.tasks.settings import EngineSettings

FORMAT = 1
"""Of product.json: a newer one is refused."""


@dataclasses.dataclass(frozen=True, slots=True)
class ModelUsed:
    """The base model of a product: its name, the digest of its files, and how it is run and prompted."""

    name: str
    digest: str
    style: Literal["auto", "chat", "plain"]
    engine: EngineSettings


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """What the test said of the System that ships.

    Attributes:
        metric: What the scores are by.
        rows: Test rows.
        score: On all of them, with its interval.
        best: Key of the best System that may ship.
        loss: The score less the best one's, paired by row; zero for the best itself, None with a single row.
        unseen_score: What Systems chosen in this way score on rows that had no part in the choice.
        stability: Share of resamples of the rows that choose the same System.
        verdict: On the specialist; None where nothing could be shown.
        scores: By System, its score with its interval.
        milliseconds: Median of one row; None if it was not measured.
    """

    metric: str
    rows: int
    score: Interval
    best: str
    loss: Interval | None
    unseen_score: Interval | None
    stability: float
    verdict: Verdict | None
    scores: Mapping[str, Interval]
    milliseconds: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class Product:
    """What ships.

    Attributes:
        format: Of this file.
        metier: Version of Metier that made it.
        task: The task's name.
        instruction: What it does.
        labels: The possible answers; None: any text.
        system: Key of the System.
        title: Its name for people.
        kind: What kind of System it is.
        form: The file in systems/ that loads it.
        model: The base model; None for a System that asks none.
        measured: What the test said; None without a test.
        confidence: How its probabilities are read; None where it has none.
        threshold: From which probability on it answers; None: always.
        why: Why it ships, in a sentence.
        nbytes: What it takes.
    """

    format: int
    metier: str
    task: str
    instruction: str
    labels: tuple[str, ...] | None
    system: str
    title: str
    kind: SystemKind
    form: str
    model: ModelUsed | None
    measured: Measured | None
    confidence: Confidence | None
    threshold: Threshold | None
    why: str
    nbytes: int
