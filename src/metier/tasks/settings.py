"""The parts of a task file that say how things are done, with their defaults: synthesis to launch.

What they are parts of is in ``task.py``; ``recipes.py`` holds the named sets of them that a file may start from.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

BaselineName = Literal[
    "zero_shot",
    "few_shot",
    "few_shot_best",
    "sampled_majority",
    "self_icl",
    "label_scoring",
    "tuned_on_examples",
    "tfidf",
    "encoder",
    "harper",
    "replacements",
]
BASELINES: tuple[BaselineName, ...] = get_args(BaselineName)
StrategyName = Literal[
    "k_center",
    "random",
    "stratified",
    "nearest",
    "nearest_mean",
    "facility_location",
    "length",
    "perplexity",
    "ifd",
    "less",
]


def _one_or_several(value: Any) -> Any:
    """Let a column's only value stand without a list."""
    if not isinstance(value, dict):
        return value
    return {column: [wanted] if isinstance(wanted, str) else wanted for column, wanted in value.items()}


Where = Annotated[dict[str, tuple[str, ...]], BeforeValidator(_one_or_several)]
"""Which rows of a file are meant: for a column, the values it may have."""


class Settings(BaseModel):
    """Base of every part of a task file: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def but(self, **changes: object) -> Self:
        """Return the settings with some changed, checked like those of a file.

        Raises:
            pydantic.ValidationError: A key is not known, or a value is not allowed.
        """
        return type(self).model_validate({name: getattr(self, name) for name in type(self).model_fields} | changes)


class Demonstration(Settings):
    """One hand-written pair that shows what is wanted."""

    input: str = Field(min_length=1, description="What the specialist will be given.")
    output: str = Field(min_length=1, description="What it should answer; one of labels, where there are any.")


class PromptSettings(Settings):
    """How a prompt is put together. One rendering serves synthesis, training, test and serving."""

    style: Literal["auto", "chat", "plain"] = Field(
        "auto",
        description="chat: the model's own chat template; plain: Metier's text layout for base models.",
    )
    specialist_demonstrations: bool = Field(
        False,
        description="Keep the demonstrations in the specialist's prompt, in training and after it "
        "(as SELF-GUIDE does). Without them it is several times faster to train and to serve.",
    )


class SynthesisSettings(Settings):
    """How the model writes its own training data."""

    method: Literal["backward", "self-guide", "damage"] = Field(
        "backward",
        description="self-guide: write inputs, then vote on their answers. backward: start from an answer, write "
        "an input for it, and keep the pair if the model, read forwards, finds the answer likelier there "
        "than elsewhere. damage: for a task that rewrites, start from real text (the unlabelled file, or the answers "
        "of labelled rows) and write what it may have been rewritten from.",
    )
    inputs: int = Field(400, ge=1, le=1_000_000, description="How many raw inputs to ask the model for.")
    unlabelled_rows: int = Field(
        500, ge=1, le=100_000, description="Inputs of the unlabelled file that are read, at most; drawn by the seed."
    )
    prompts_per_round: int = Field(10, ge=1, description="Prompts in one round; later rounds see earlier inputs.")
    earlier_inputs: int = Field(10, ge=0, description="Earlier inputs shown in a prompt, at most.")
    input_temperature: float = Field(0.7, gt=0, le=5)
    input_top_k: int = Field(40, ge=0, description="Sample from the k likeliest tokens; 0: from all.")
    input_max_tokens: int = Field(500, ge=1, description="An input longer than this is cut off, and dropped.")
    pseudo_labels: bool = Field(
        True, description="Classification: inputs are asked for by label; false: whatever label they have."
    )
    noise_filter: bool = True
    input_length_filter: bool = Field(
        True,
        description="Drop inputs shorter than half the shortest example or longer than twice the longest (self-guide: "
        "outside mean ± 2σ of the examples' lengths).",
    )
    output_length_filter: bool = Field(False, description="Generation: the same for outputs.")
    near_duplicates: float | None = Field(
        0.7, gt=0, le=1, description="Drop inputs this similar (Jaccard, word 3-grams) to an earlier one."
    )
    output_samples: int = Field(20, ge=1, description="Answers sampled for each input (self-guide).")
    output_keep: int = Field(10, ge=1, description="How many of them vote, at most: the first that pass the filters.")
    output_temperature: float = Field(0.2, ge=0, le=5)
    output_top_k: int = Field(10, ge=0)
    output_max_tokens: int = Field(200, ge=1)
    agreement: float = Field(
        0.3, ge=0, le=1, description="Least share of the answers that must agree on one (self-guide's vote)."
    )
    keep_share: float = Field(
        0.5, gt=0, le=1, description="backward: the share of pairs kept, the most convincing ones."
    )
    check_pairs: bool = Field(
        True,
        description="backward: read each pair forwards, and keep the most convincing; false: keep all as asked for. "
        "damage: keep those whose repair is likelier than their damage.",
    )
    unchanged: float = Field(
        0.25, ge=0, lt=1, description="damage: share of the pairs whose text is right as it is, on both sides."
    )
    balance: bool = Field(True, description="Classification: down-sample every class to the rarest.")
    min_pairs: int = Field(24, ge=1, description="Stop before training when fewer pairs than this are left.")


class TrainingSettings(Settings):
    """How the model is tuned."""

    method: Literal["lora", "full"] = "lora"
    epochs: int = Field(3, ge=1, le=1000)
    learning_rate: float | None = Field(
        None, gt=0, description="Default: from the method and the model's width (docs/training.md says how)."
    )
    batch_size: int = Field(8, ge=1, description="Examples in one optimiser step.")
    max_length: int = Field(2000, ge=8, description="Tokens; a longer example is dropped and counted, never cut.")
    edit_weight: float = Field(
        1.0,
        ge=1,
        le=100,
        description="Rewriting: how much more a token of the answer counts where it differs from the input. About 3 "
        "keeps a model from learning mostly to copy.",
    )
    warmup_share: float = Field(0.05, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    lora_rank: int = Field(16, ge=1)
    lora_alpha: int = Field(32, ge=1)
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    holdout_share: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of the training pairs held out to choose the epoch; 0: the last epoch.",
    )
    holdout_max: int = Field(64, ge=1)
    demonstrations: bool = Field(True, description="Train on the hand-written demonstrations too.")
    checkpoint_steps: int = Field(25, ge=1, description="Steps between checkpoints that a killed run continues from.")
    gradient_checkpointing: bool = Field(False, description="Less memory, about a third slower.")


class SelectionSettings(Settings):
    """Which rows of a pool, or of the synthetic pairs, are trained on."""

    strategy: StrategyName = Field(
        "k_center",
        description="k_center: a core set of the part of the pool that the task falls into (LTD). The others are there "
        "to compare with; docs/selection.md says what each does and costs.",
    )
    share: float | None = Field(None, gt=0, le=1, description="Of the pool, to be chosen. Default: 0.005.")
    rows: int | None = Field(None, ge=1, description="Rows to choose, instead of a share.")
    tokens: int | None = Field(None, ge=1, description="Tokens to choose, at most; instead of a share or as well.")
    encoder: str = Field(
        "all-minilm-l6-v2",
        description="Sentence encoder (catalogue name or folder), student (the task's own model), or "
        "static:FOLDER_OR_ID (model2vec, for millions of rows; extra: static).",
    )
    clustering: Literal["sklearn", "faiss"] = Field("sklearn", description="Whose K-means (extra: faiss).")
    clusters: int | None = Field(None, ge=1, description="Default: the root of the pool's rows, at most 1,000.")
    related: Literal["share", "clusters"] = Field(
        "share",
        description="What counts as the task's part of the pool. share: clusters whose rows are most like the task's "
        "texts on average, up to related_share. clusters: those that any of the texts falls into (LTD), which finds "
        "the texts' topics rather than the task if the encoder hears topics.",
    )
    related_share: float | None = Field(
        None,
        gt=0,
        le=1,
        description="related: share: of the pool. Default: twice the budget; k-centre seeks out what lies apart, so a "
        "wide part lets other tasks in.",
    )
    controls: tuple[Literal["random", "related", "pool"], ...] = Field(
        ("random",),
        description="What else is trained, to compare with: as many rows at random, all that count as the task's, all.",
    )
    control_rows: int = Field(
        4000, ge=1, description="Controls with more rows than this are cut to it at random, and the report says so."
    )

    @property
    def budgeted(self) -> bool:
        """Whether it says how many rows to choose."""
        return not (self.share is None and self.rows is None and self.tokens is None)

    @model_validator(mode="after")
    def _related_fits(self) -> SelectionSettings:
        if self.related == "clusters" and self.related_share is not None:
            raise ValueError("related_share: related: clusters takes whole clusters, however many rows they hold")
        return self


class EvaluationSettings(Settings):
    """What the specialist is compared with, and on how many rows."""

    limit: int | None = Field(None, ge=1, description="Test rows to use, drawn with the seed; default: all.")
    max_tokens: int | None = Field(None, ge=1, description="Longest answer; default: from the data at hand.")
    answer_by: Literal["likelihood", "writing"] = Field(
        "likelihood",
        description="With labels: a tuned model takes the likeliest label, or writes (what it writes may be no label).",
    )
    label_prior: Literal["synthetic", "content_free", "none"] = Field(
        "synthetic",
        description="answer_by: likelihood takes off how likely the model finds each label anyway: after its own "
        "synthetic inputs (content_free ones where there are none), after inputs that say nothing, or not at all (then "
        "a label counts by the mean over its tokens: rank classification).",
    )
    resamples: int = Field(10_000, ge=100, description="Bootstrap resamples for the intervals.")
    baselines: tuple[BaselineName, ...] = Field(
        BASELINES,
        description="What the specialist is compared with, beside the majority class or the copied input; fewer is "
        "faster. Default: everything that fits.",
    )
    demonstration_tokens: int = Field(
        1500, ge=64, description="Longest prompt for self_icl: synthetic pairs as demonstrations, as many as fit."
    )
    timed_rows: int = Field(16, ge=0, le=1000, description="Rows answered one at a time to measure latency; 0: none.")
    encoder: str = Field("all-minilm-l6-v2", description="Sentence encoder of the encoder baseline.")
    leakage: Literal["report", "remove"] = Field(
        "remove",
        description="Training pairs nearly the same as a test row: remove leaves them out and says how many, report "
        "trains on them and gives the gain without those test rows too.",
    )
    leakage_similarity: float = Field(
        0.7, gt=0, le=1, description="Pairs this similar (Jaccard, word 3-grams) to a test row count as leaked."
    )


class ShipSettings(Settings):
    """Which System the run ends with."""

    system: str | None = Field(
        None,
        description="Key of the System to ship, whatever the test says. Default: the cheapest that is good enough.",
    )
    tolerance: float = Field(
        2.0,
        ge=0,
        le=100,
        description="Points that the shipped System may lose to the best; its interval may allow for five times that.",
    )


class AbstainSettings(Settings):
    """When the product says that it does not know."""

    accuracy: float = Field(
        ge=0.5, lt=1, description="How often an answer that it does give must be right, with 95% confidence."
    )


class PriceSettings(Settings):
    """What things cost where you are; only what is given here is reckoned with."""

    currency: str = Field("USD", min_length=1, max_length=8)
    machine_hour: float | None = Field(None, ge=0, description="This machine, for an hour.")
    api_input_million: float | None = Field(None, ge=0, description="An API's price for a million input tokens.")
    api_output_million: float | None = Field(None, ge=0, description="The same for output tokens.")


class EngineSettings(Settings):
    """How a model is run."""

    kind: Literal["transformers", "vllm", "llamacpp", "openai"] = Field(
        "transformers",
        description="What writes and scores. vllm: on GPUs (extra). llamacpp: a GGUF file (extra). openai: any "
        "compatible server that serves this same model (extra); what the last two cannot do, transformers does here.",
    )
    url: str = Field("http://localhost:8000/v1", description="openai: the server's address, with its version part.")
    served_model: str | None = Field(None, description="openai: the model's name there; default: the task's model.")
    api: Literal["completions", "chat"] = Field(
        "completions", description="openai: prompts as rendered, or (chat) as one user message."
    )
    key_env: str = Field("OPENAI_API_KEY", description="openai: environment variable that holds the key.")
    concurrency: int = Field(8, ge=1, le=1024, description="openai: requests at once; llamacpp: answers at once.")
    timeout: float = Field(120.0, gt=0, description="openai: seconds to wait for one answer.")
    retries: int = Field(6, ge=0, description="openai: how often a request is tried again.")
    gguf: str | None = Field(None, description="llamacpp: the GGUF file; default: the catalogue's.")
    memory_share: float = Field(0.85, gt=0, le=1, description="vllm: share of the GPU's memory to take.")
    tensor_parallel: int = Field(1, ge=1, description="vllm: GPUs that share one model.")
    dtype: Literal["auto", "bfloat16", "float32", "int8"] = Field(
        "auto",
        description="auto: bfloat16 where the hardware multiplies it faster, else float32. int8 (processors with VNNI, "
        "transformers): several times as fast; the model is tuned in the precision of auto, and answers in int8.",
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps.")
    batch_rows: int = Field(64, ge=1, description="Rows decoded at once, at most.")
    batch_tokens: int = Field(32_768, ge=64, description="Tokens held at once, at most; lower it if memory is short.")
    trust_remote_code: bool = Field(False, description="Run code that comes with a hub model. It can do anything.")

    @model_validator(mode="after")
    def _int8_runs_here(self) -> EngineSettings:
        if self.dtype == "int8" and self.kind != "transformers":
            raise ValueError(f"dtype: int8 is for kind: transformers; {self.kind} chooses its own")
        return self

    @property
    def float_dtype(self) -> Literal["auto", "bfloat16", "float32"]:
        """The precision of what is tuned, and of encoders."""
        return "auto" if self.dtype == "int8" else self.dtype

    def of_results(self) -> EngineSettings:
        """Return the settings with those at their defaults that change how fast answers come, not what they are."""
        return EngineSettings(**self.model_dump(exclude=_ONLY_SPEED))


_ONLY_SPEED = {"url", "key_env", "concurrency", "timeout", "retries", "memory_share", "tensor_parallel"}


class LaunchSettings(Settings):
    """On how many processes and machines a run works. None of it changes what comes out."""

    processes: int = Field(1, ge=1, le=4096, description="Training processes, started through accelerate.")
    accelerate_config: str | None = Field(
        None, description="accelerate's config file, or ddp or fsdp2 for a ready one; it says how many processes."
    )
    workers: int = Field(
        1, ge=1, le=4096, description="Ray actors that write and answer (extra: ray); 1: this process does."
    )
    ray_address: str | None = Field(
        None, description="A running Ray cluster: auto, HOST:PORT or ray://HOST:PORT; default: one on this machine."
    )

    @property
    def trains_in_processes(self) -> bool:
        """Whether training happens in processes of its own."""
        return self.processes > 1 or self.accelerate_config is not None

    @property
    def uses_ray(self) -> bool:
        """Whether Ray actors write, answer and encode."""
        return self.workers > 1 or self.ray_address is not None
