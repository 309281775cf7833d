"""The finished facts of a run, as plain values: all that a report, a model card or a result table may say.

Knows nothing about how a fact came to be, and nothing about how it is shown. `core.codec` writes `RunFacts` as JSON and
reads it back unchanged, so that a report can be drawn again long after the run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from metier.core.records import Interval, SystemScore, Verdict
from metier.evaluation.better import SPECIALIST, judge
from metier.evaluation.records import ByLabel, Need, SeedScore, Split
from metier.report.made import Data, Training
from metier.systems.product_record import Product

WRITTEN = "specialist_written"
"""The key of the specialist's weights writing, on a task with labels."""
LabelPrior = Literal["synthetic", "content_free", "none"]
# What ``--smoke`` sets for a task file and for a scenario alike; beside a limit of so few rows it tells such a run.
_SMOKE: Mapping[tuple[str, str], object] = MappingProxyType(
    {
        ("training", "epochs"): 1,
        ("training", "holdout_share"): 0,
        ("evaluation", "max_tokens"): 24,
        ("evaluation", "timed_rows"): 2,
    }
)
_SMOKE_ROWS = 8


@dataclasses.dataclass(frozen=True, slots=True)
class ModelFacts:
    """The base model.

    Attributes:
        name: As the task file names it.
        source: Where it came from, in words (a hub id, a wheel, a folder's name).
        licence: Its licence's identifier, or None if it is not known.
    """

    name: str
    source: str
    licence: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class MachineFacts:
    """Where the run was made.

    Attributes:
        cpu: The processor's name.
        cores: Cores the run could use.
        memory_bytes: Memory of the machine.
        accelerator: Name of the GPU, or None.
        versions: Version by name (``python``, ``torch`` …).
        threads: Threads that torch computed with; None: not known.
    """

    cpu: str
    cores: int
    memory_bytes: int
    accelerator: str | None = None
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    threads: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class BeforeAfter:
    """One test row as the best rival answered it (before) and the specialist did (after); scores 0 to 100."""

    input: str
    reference: str
    before: str
    after: str
    score_before: float
    score_after: float


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """What the test said; `judged.judged_by` makes it from a comparison.

    Attributes:
        source: Name of the test file.
        rows: Rows the systems were compared on.
        systems: The result table, in display order, the specialist last. Its p-values are uncorrected.
        baseline: Key of the best system without the specialist, which ``gain`` is over.
        gain: The specialist's paired gain over it by the first metric.
        p_value: The largest single p-value of the systems that the verdict is about; corrected for ``claims``.
        verdict: What `better.judge` makes of the two; None where there is no interval (a single row).
        claims: How many tasks are judged beside each other, this one included.
        drawn_from: Test rows there are, of which ``rows`` were drawn; None where all were taken.
        detectable: The smallest gain that so many rows would have shown, in points; None if it is not known.
        rows_needed: How many rows like these would show the gain found, four times in five.
        split: What the gain over few-shot prompting is made of; None without labels.
        seeds: The specialist by training seed, where there are several.
        seed_spread: Their scores' standard deviation.
        leaked_rows: Test rows that something trained on comes near.
        clean_gain: The gain without those rows.
        need: What each system gives and takes, and what follows from that.
        by_label: Where the specialist goes wrong, label by label; None for free text.
        sample: Test rows before and after, drawn at random.
        worst: Rows where the specialist lost most against the baseline, or was wrong with it.
        evaluation_folder: Name of the evaluation's folder inside the run folder.

    Raises:
        ValueError: The parts contradict each other.
    """

    source: str
    rows: int
    systems: tuple[SystemScore, ...]
    baseline: str | None = None
    gain: Interval | None = None
    p_value: float | None = None
    verdict: Verdict | None = None
    claims: int = 1
    drawn_from: int | None = None
    detectable: float | None = None
    rows_needed: int | None = None
    split: Split | None = None
    seeds: tuple[SeedScore, ...] = ()
    seed_spread: float | None = None
    leaked_rows: int = 0
    clean_gain: Interval | None = None
    need: Need = dataclasses.field(default_factory=Need)
    by_label: ByLabel | None = None
    sample: tuple[BeforeAfter, ...] = ()
    worst: tuple[BeforeAfter, ...] = ()
    evaluation_folder: str | None = None

    def __post_init__(self) -> None:
        if (self.baseline is None) != (self.gain is None):
            raise ValueError("baseline and gain: both of them, or neither")
        if self.baseline is not None and self.baseline not in {system.system for system in self.systems}:
            raise ValueError(f"baseline: {self.baseline!r} is not one of the systems")
        if self.verdict != (shown := judge(self.gain, self.p_value)):
            raise ValueError(f"verdict: {self.verdict}, but the interval and the p-value say {shown}")

    @property
    def best(self) -> SystemScore | None:
        """The best system without the specialist; None where there is no interval."""
        return self.of(self.baseline)

    @property
    def ours(self) -> SystemScore | None:
        """The specialist's row of the result table."""
        return self.of(SPECIALIST)

    @property
    def advised(self) -> SystemScore | None:
        """The row of the system to use, which is the cheapest that is good enough; None where nothing was scored."""
        return self.of(self.need.cheapest)

    def of(self, system: str | None) -> SystemScore | None:
        """Return a system's row of the result table."""
        return next((s for s in self.systems if s.system == system), None)

    def corrected(self, p_value: float | None, claims: int) -> Judged:
        """Return the same, judged beside other tasks.

        Args:
            p_value: The p-value corrected for all of them (`over_tasks.TaskOutcome.p_value`).
            claims: How many tasks there are.
        """
        return dataclasses.replace(self, p_value=p_value, claims=claims, verdict=judge(self.gain, p_value))


@dataclasses.dataclass(frozen=True, slots=True)
class StageCost:
    """What one stage took: wall-clock seconds, tokens written or trained on, peak memory of the process."""

    stage: str
    seconds: float
    tokens: int | None = None
    peak_memory_bytes: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class PromptTemplate:
    """How a model is asked: ``before + input + after``, special tokens already in the text.

    Attributes:
        before: Text in front of the input.
        after: Text behind it, up to where the answer begins.
        stop: Strings that end an answer, beside the model's own end token.
        max_tokens: The longest answer, in tokens.
        answers: Every label as it follows the prompt, in the order of the labels; empty for free text, and in an
            export, which only writes.
    """

    before: str
    after: str
    stop: tuple[str, ...] = ()
    max_tokens: int = 128
    answers: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class RunFacts:
    """Everything a report says about one task's run.

    Attributes:
        name: The task's name.
        run_folder: Name or path of the run folder, as the user would type it.
        instruction: The task's instruction.
        labels: The possible answers, or None for free text.
        metrics: Metric keys; the verdict is made on the first.
        model: The base model.
        recipe: Name of the recipe.
        seed: The run's seed.
        metier_version: Version of Metier that made the run.
        machine: Where it was made.
        data: What was trained on.
        training: How.
        judged: What the test said; None without a test, and then there is no verdict.
        stages: What each stage took.
        prompt: How the specialist must be asked.
        product: The System that ships, and why.
        settings: The task's settings as they were used, nested.
        warnings: What the run warned of.

    Raises:
        ValueError: There is no metric.
    """

    name: str
    run_folder: str
    instruction: str
    labels: tuple[str, ...] | None
    metrics: tuple[str, ...]
    model: ModelFacts
    recipe: str
    seed: int
    metier_version: str
    machine: MachineFacts
    data: Data
    training: Training
    judged: Judged | None = None
    stages: tuple[StageCost, ...] = ()
    prompt: PromptTemplate | None = None
    product: Product | None = None
    settings: Mapping[str, object] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.metrics:
            raise ValueError("metrics: at least one is needed")

    @property
    def metric(self) -> str:
        """The metric the verdict is made on."""
        return self.metrics[0]

    @property
    def verdict(self) -> Verdict | None:
        """What was shown; None where nothing could be."""
        return self.judged.verdict if self.judged else None

    @property
    def better(self) -> bool:
        """Whether the specialist was shown to be better than every system without it."""
        return self.verdict == "better"

    @property
    def recommended(self) -> bool:
        """Whether the specialist is what to use: it is better, and nothing cheaper is good enough."""
        return self.better and self.judged is not None and self.judged.advised == self.judged.ours

    @property
    def by_likelihood(self) -> bool:
        """Whether the specialist answers with the likeliest label, and not by writing."""
        return self.labels is not None and self.setting("evaluation", "answer_by") == "likelihood"

    @property
    def label_prior(self) -> LabelPrior:
        """What is taken off a label's likelihood."""
        wanted = self.setting("evaluation", "label_prior")
        if wanted == "synthetic":
            return "synthetic" if self.data.synthetic else "content_free"
        return "none" if wanted == "none" else "content_free"

    @property
    def is_smoke(self) -> bool:
        """Whether it was made with the settings of ``--smoke``, which are to see that everything works."""
        limit = self.setting("evaluation", "limit")
        few = isinstance(limit, int) and limit <= _SMOKE_ROWS
        return few and all(self.setting(*key) == value for key, value in _SMOKE.items())

    def setting(self, section: str, key: str) -> object:
        """Return one of the settings; None where it is not known."""
        found = self.settings.get(section)
        return found.get(key) if isinstance(found, Mapping) else None
