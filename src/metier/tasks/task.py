"""What a task is: the schema of a task file, with its defaults.

`Task` is the whole of what a user says about one job. ``read_task.py`` reads it from YAML; ``recipes.py`` holds the
named sets of settings that a file may start from.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from metier.tasks.settings import (
    AbstainSettings,
    Demonstration,
    EngineSettings,
    EvaluationSettings,
    LaunchSettings,
    PriceSettings,
    PromptSettings,
    SelectionSettings,
    Settings,
    ShipSettings,
    SynthesisSettings,
    TrainingSettings,
    Where,
)

DEFAULT_MODEL = "smollm2-135m-instruct"
MetricName = Literal[
    "exact_match",
    "label_match",
    "macro_f1",
    "rouge_1",
    "rouge_2",
    "rouge_l",
    "char_lcs_f1",
    "bleu",
    "chrf",
    "sari",
    "sari_cased",
    "gleu",
    "errant",
    "edit_f05",
    "edit_match",
    "ibleu",
]
RecipeName = Literal["backward", "self-guide", "low-data"]
_FOR_LABELS = ("label_match", "macro_f1")


def _named(value: object) -> object:
    """Let a System's key stand by itself: ship: encoder_synthetic."""
    return {"system": value} if isinstance(value, str) else value


class Shared(Settings):
    """What a task file and a scenario's ``mixture.yaml`` both say; the scenario's holds for all its tasks."""

    model: str = Field(DEFAULT_MODEL, description="Catalogue name, hub id, folder, or .gguf file.")
    seed: int = Field(0, ge=0, lt=2**31)
    seeds: int = Field(
        1,
        ge=1,
        le=20,
        description="Seeds to train with (seed, seed + 1 …); the report gives their spread.",
    )
    prompt: PromptSettings = PromptSettings()
    engine: EngineSettings = EngineSettings()
    launch: LaunchSettings = LaunchSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    prices: PriceSettings = PriceSettings()
    ship: Annotated[ShipSettings, BeforeValidator(_named)] = ShipSettings()


class Task(Shared):
    """A task file: one job for one small model."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Names the run folder.")
    instruction: str = Field(min_length=1, description="What to do with an input, as you would tell a person.")
    wordings: tuple[str, ...] = Field(
        (), description="Other ways to say it: every training row is asked by the instruction or one of these."
    )
    unseen_wordings: tuple[str, ...] = Field(
        (), description="Ways that are never trained on: the specialist is tested on them too."
    )
    labels: tuple[str, ...] | None = Field(None, description="The possible answers; leave out for free text.")
    examples: tuple[Demonstration, ...] = Field(min_length=1, description="About three hand-written pairs.")
    metric: MetricName | None = Field(None, description="Default: exact_match with labels, rouge_l without.")
    recipe: RecipeName = "backward"
    test: str | None = Field(None, description="File of labelled rows the specialist is judged on.")
    train: str | None = Field(None, description="File of labelled rows to train on.")
    test_where: Where | None = Field(
        None, description="Rows of the test file to take, by columns: {split: test}, {task: [a, b]}. Default: all."
    )
    train_where: Where | None = Field(None, description="The same for the train file.")
    unlabelled: str | None = Field(
        None,
        description="File of real inputs without answers: the model answers those it is surest of and trains on them "
        "beside what it writes, and a pool's selection knows the task's region better by them. With synthesis.method: "
        "damage, of real text that is as answers should be.",
    )
    pool: str | None = Field(None, description="Big file of instruction data to select from (recipe low-data).")
    train_use: Literal["instead", "mixed"] = Field(
        "mixed", description="With train: mixed with synthetic data, or instead of any."
    )
    synthesis: SynthesisSettings = SynthesisSettings()
    selection: SelectionSettings = SelectionSettings()
    abstain: AbstainSettings | None = Field(
        None,
        description="With labels: answers below a probability are withheld, so that the others are right this often.",
    )

    @model_validator(mode="after")
    def _recipe_fits(self) -> Task:
        if self.pool is not None and self.train is not None:
            raise ValueError("pool: there is a train file too (rows are chosen from the pool alone: leave one out)")
        if self.train_use == "instead" and self.train is None and not self.train_where:
            raise ValueError("train_use: instead, but there is no train file (name one with train:, or use mixed)")
        return self

    @model_validator(mode="after")
    def _unlabelled_fits(self) -> Task:
        if self.unlabelled is None:
            return self
        if self.synthesis.method == "self-guide" and self.recipe != "low-data" and self.pool is None:
            raise ValueError("unlabelled: the recipe self-guide trains on inputs that the model writes (leave one out)")
        if not self.synthesis.check_pairs and self.synthesis.method == "backward" and self.pool is None:
            raise ValueError("unlabelled: with synthesis.check_pairs: false nothing reads them (leave one out)")
        if self.train_use == "instead" and self.pool is None:
            raise ValueError("unlabelled: with train_use: instead the model answers no inputs (use mixed)")
        return self

    @model_validator(mode="after")
    def _damage_fits(self) -> Task:
        if self.synthesis.method != "damage":
            return self
        if self.labels is not None:
            raise ValueError("synthesis.method: damage is for tasks that rewrite their input, and these have no labels")
        if all(e.input.split() == e.output.split() for e in self.examples):
            raise ValueError("synthesis.method: damage needs an example whose answer is not its input")
        return self

    @model_validator(mode="after")
    def _pairs_have_labels(self) -> Task:
        settings = self.synthesis
        unread = settings.method == "backward" and not settings.check_pairs and not settings.pseudo_labels
        if self.labels is not None and unread:
            raise ValueError("synthesis: without pseudo_labels and check_pairs nothing says which label an input has")
        return self

    @model_validator(mode="after")
    def _wordings_fit(self) -> Task:
        if seen := set(self.unseen_wordings) & {self.instruction, *self.wordings}:
            raise ValueError(f"unseen_wordings: {min(seen)[:60]!r} is trained on")
        if self.wordings and self.prompt.specialist_demonstrations:
            raise ValueError("wordings: with prompt.specialist_demonstrations there is one wording, the instruction")
        return self

    @model_validator(mode="after")
    def _labels_fit(self) -> Task:
        labels = self.labels
        if labels is None:
            if self.abstain is not None:
                raise ValueError("abstain: needs labels")
            if self.metric in _FOR_LABELS:
                raise ValueError(f"metric: {self.metric} needs labels")
            return self
        if self.metric not in (None, "exact_match", *_FOR_LABELS):
            raise ValueError(f"metric: {self.metric} is for free text; with labels use exact_match or macro_f1")
        if len(labels) < 2:
            raise ValueError("labels: at least two are needed (leave labels out for a free-text task)")
        if len(set(labels)) != len(labels):
            twice = next(label for label in labels if labels.count(label) > 1)
            raise ValueError(f"labels: {twice!r} is there twice")
        if any(not label.strip() for label in labels):
            raise ValueError("labels: an empty label")
        for index, example in enumerate(self.examples):
            if example.output not in labels:
                known = ", ".join(labels)
                raise ValueError(f"examples[{index}].output: {example.output!r} is not one of labels [{known}]")
        return self

    @property
    def main_metric(self) -> MetricName:
        """The metric the verdict is made on."""
        return self.metric or ("exact_match" if self.labels else "rouge_l")
