"""The finished facts of a run, as plain values: all that a report, a model card or a result table may say.

Knows nothing about how a fact came to be, and nothing about how it is shown. `RunFacts` goes to JSON and back
unchanged, so that a report can be drawn again long after the run.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

from metier.core.records import (
    Candidate,
    Interval,
    LabelFacts,
    LossPoint,
    NeedRow,
    ReliabilityBin,
    SystemScore,
    Verdict,
)


@dataclasses.dataclass(frozen=True, slots=True)
class ModelFacts:
    """The base model.

    Attributes:
        name: As the task file names it.
        source: Where it came from, in words (a hub id, a wheel, a folder's name).
        licence: Its licence's identifier, or None if it is not known.
        parameters: How many weights it has, or None.
    """

    name: str
    source: str
    licence: str | None = None
    parameters: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class MachineFacts:
    """Where the run was made.

    Attributes:
        cpu: The processor's name.
        cores: Cores the run could use.
        memory_bytes: Memory of the machine.
        accelerator: Name of the GPU, or None.
        versions: Version by name (``python``, ``torch`` …).
    """

    cpu: str
    cores: int
    memory_bytes: int
    accelerator: str | None = None
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class FunnelStep:
    """One step of the data's way to the training set.

    Attributes:
        stage: The step in words (``inputs written``, ``noise``, ``balanced`` …).
        kept: Candidates left after it.
        dropped: How many it dropped, by reason.
    """

    stage: str
    kept: int
    dropped: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class BeforeAfter:
    """One test row as the baseline answered it (before) and the specialist did (after); scores 0 to 100."""

    input: str
    reference: str
    before: str
    after: str
    score_before: float
    score_after: float


@dataclasses.dataclass(frozen=True, slots=True)
class StageCost:
    """What one stage took: wall-clock seconds, tokens written or trained on, peak memory of the process."""

    stage: str
    seconds: float
    tokens: int | None = None
    peak_memory_bytes: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class RenderedExample:
    """One training example as the model was given it: the prompt, and the answer it was trained on."""

    prompt: str
    answer: str


@dataclasses.dataclass(frozen=True, slots=True)
class PromptTemplate:
    """How the specialist must be asked: ``before + input + after``, special tokens already in the text.

    Attributes:
        before: Text in front of the input.
        after: Text behind it, up to where the answer begins.
        stop: Strings that end an answer, beside the model's own end token.
        max_tokens: The longest answer, in tokens.
    """

    before: str
    after: str
    stop: tuple[str, ...] = ()
    max_tokens: int = 128


@dataclasses.dataclass(frozen=True, slots=True)
class RunFacts:
    """Everything a report says about one run.

    Attributes:
        name: The task's name.
        run_folder: Name or path of the run folder, as the user would type it.
        instruction: The task's instruction.
        labels: The possible answers, or None for free text.
        metrics: Metric keys; the verdict is made on the first.
        model: The base model.
        recipe: Name of the recipe.
        tuning: ``lora`` (an adapter) or ``full`` (all weights).
        seed: The run's seed.
        metier_version: Version of Metier that made the run.
        machine: Where it was made.
        test_source: Name of the test file; None if there was none, and then there is no verdict.
        test_rows: Rows the systems were compared on.
        systems: One row each, in display order (majority class or copied input first, specialist last).
        baseline: Key of the system that the verdict is about (the best of those that are not the specialist).
        gain: The specialist's paired gain over ``baseline`` by the first metric.
        verdict: What the gain shows.
        detectable: The smallest gain that so many rows would have shown, in points; None if it is not known.
        rows_needed: How many rows like these would show the gain found, four times in five.
        ability: Of the gain over few-shot prompting, what label scoring gained; None without labels.
        format: The rest of it: what generation gained beyond scoring.
        seed_scores: The specialist's score by training seed, where there are several.
        seed_spread: Their standard deviation.
        synthetic_scores: The specialist on synthetic pairs held out from training, by metric: no result.
        synthetic_rows: How many those were.
        leaked_rows: Test rows that something trained on comes near.
        clean_gain: The gain without those rows.
        need: What each system gives and takes.
        need_words: What follows from that, in sentences.
        confusion: Rows by right answer and specialist's answer; the last column: no label at all.
        label_facts: How each label fared.
        reliability: How sure the specialist was, and how often right.
        ece: Expected calibration error, 0 to 1.
        evaluation_folder: Name of the evaluation's folder inside the run folder.
        worst: Rows the specialist got wrong and the baseline right, or where it lost most.
        funnel: The data's way to the training set, in order.
        kept_pairs: Pairs the specialist was trained on.
        label_counts: Training pairs by label; empty for free text.
        loss: The loss curve, in order of steps.
        chosen_epoch: The epoch (from 1) whose weights were kept; None if it was not recorded.
        predictions: A sample of test rows before and after.
        predictions_note: How that sample was drawn.
        synthetic: A sample of the candidates, kept and dropped.
        stages: What each stage took.
        rendered_example: One training example as the model saw it.
        prompt: How the specialist must be asked.
        settings: The task's settings as they were used, nested.
        datasets: Hub ids of data sets that were trained on.
        warnings: What the run warned of.

    Raises:
        ValueError: The parts contradict each other (a verdict without a test, a baseline that is no system,
            "better" with an interval that is not above zero).
    """

    name: str
    run_folder: str
    instruction: str
    labels: tuple[str, ...] | None
    metrics: tuple[str, ...]
    model: ModelFacts
    recipe: str
    tuning: Literal["lora", "full"]
    seed: int
    metier_version: str
    machine: MachineFacts
    test_source: str | None = None
    test_rows: int = 0
    systems: tuple[SystemScore, ...] = ()
    baseline: str | None = None
    gain: Interval | None = None
    verdict: Verdict | None = None
    detectable: float | None = None
    rows_needed: int | None = None
    ability: Interval | None = None
    format: Interval | None = None
    seed_scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
    seed_spread: float | None = None
    synthetic_scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
    synthetic_rows: int = 0
    leaked_rows: int = 0
    clean_gain: Interval | None = None
    need: tuple[NeedRow, ...] = ()
    need_words: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    label_facts: tuple[LabelFacts, ...] = ()
    reliability: tuple[ReliabilityBin, ...] = ()
    ece: float | None = None
    worst: tuple[BeforeAfter, ...] = ()
    evaluation_folder: str | None = None
    funnel: tuple[FunnelStep, ...] = ()
    kept_pairs: int = 0
    label_counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    loss: tuple[LossPoint, ...] = ()
    chosen_epoch: int | None = None
    predictions: tuple[BeforeAfter, ...] = ()
    predictions_note: str = ""
    synthetic: tuple[Candidate, ...] = ()
    stages: tuple[StageCost, ...] = ()
    rendered_example: RenderedExample | None = None
    prompt: PromptTemplate | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    datasets: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.metrics:
            raise ValueError("metrics: at least one is needed")
        judged = (self.baseline, self.gain, self.verdict)
        if any(part is None for part in judged) and any(part is not None for part in judged):
            raise ValueError("baseline, gain and verdict: all of them, or none")
        if self.verdict is not None and self.test_source is None:
            raise ValueError("verdict: there is none without a test set")
        if self.baseline is not None and self.baseline not in {system.system for system in self.systems}:
            raise ValueError(f"baseline: {self.baseline!r} is not one of the systems")
        if self.gain is not None and self.verdict == "better" and not self.gain.low > 0:
            raise ValueError("verdict: better, but the gain's interval is not above zero")
        if self.gain is not None and self.verdict == "worse" and not self.gain.high < 0:
            raise ValueError("verdict: worse, but the gain's interval is not below zero")

    @property
    def metric(self) -> str:
        """The metric the verdict is made on."""
        return self.metrics[0]

    @property
    def never_predicted(self) -> tuple[str, ...]:
        """Labels that the specialist never answered with."""
        return tuple(fact.label for fact in self.label_facts if not fact.predicted)

    @property
    def better(self) -> bool:
        """Whether the specialist was shown to be better than the best of the other systems."""
        return self.verdict == "better"

    def to_dict(self) -> dict[str, Any]:
        """Return the facts ready for JSON; a loss that is not a finite number becomes None."""
        plain: dict[str, Any] = _plain(dataclasses.asdict(self))
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunFacts:
        """Build the facts from what `to_dict` returned.

        Raises:
            ValueError: The parts contradict each other.
            TypeError: A key is missing or not known.
        """
        parts = dict(data)
        labels, prompt = parts.get("labels"), parts.get("prompt")
        parts["labels"] = None if labels is None else tuple(labels)
        parts["model"] = ModelFacts(**parts["model"])
        parts["machine"] = MachineFacts(**parts["machine"])
        parts["systems"] = tuple(_system(row) for row in parts.get("systems", ()))
        for key in ("gain", "ability", "format", "clean_gain"):
            parts[key] = _maybe(Interval, parts.get(key))
        parts["need"] = tuple(
            NeedRow(**{**row, "gain": _maybe(Interval, row["gain"])}) for row in parts.get("need", ())
        )
        parts["confusion"] = tuple(tuple(row) for row in parts.get("confusion", ()))
        parts["rendered_example"] = _maybe(RenderedExample, parts.get("rendered_example"))
        parts["prompt"] = prompt and PromptTemplate(**{**prompt, "stop": tuple(prompt.get("stop", ()))})
        parts["synthetic"] = tuple(_candidate(row) for row in parts.get("synthetic", ()))
        for key, kind in _ROWS.items():
            parts[key] = tuple(kind(**row) for row in parts.get(key, ()))
        for key in ("metrics", "datasets", "warnings", "need_words"):
            parts[key] = tuple(parts.get(key, ()))
        return cls(**parts)


_ROWS: Mapping[str, type[Any]] = {
    "funnel": FunnelStep,
    "loss": LossPoint,
    "predictions": BeforeAfter,
    "worst": BeforeAfter,
    "label_facts": LabelFacts,
    "reliability": ReliabilityBin,
    "stages": StageCost,
}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _maybe(kind: type[Any], data: Mapping[str, Any] | None) -> Any:
    return None if data is None else kind(**data)


def _system(data: Mapping[str, Any]) -> SystemScore:
    return SystemScore(**{**data, "gain": _maybe(Interval, data.get("gain"))})


def _candidate(data: Mapping[str, Any]) -> Candidate:
    return Candidate(**{**data, "answers": tuple(data.get("answers", ()))})
