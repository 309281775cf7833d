"""Tunes a model on encoded examples with TRL's SFTTrainer and PEFT, and resumes where it was interrupted.

Knows nothing about tasks, or how the examples were made. With `trainer`, the only file that uses TRL, whose interface
changes often. Every trainer default that changes the outcome is set here by name: TRL alone would turn on mixed
precision and gradient checkpointing, and use a learning rate that is far too low for LoRA.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from metier.core import storage
from metier.core.errors import MetierError, UserError
from metier.core.records import LossPoint
from metier.models.load import load_causal, pick_device
from metier.models.tokenizer import Tokenizer
from metier.tasks.settings import EngineSettings, TrainingSettings
from metier.training import checkpoints
from metier.training.examples import EncodedExample
from metier.training.trainer import LengthGrouped, answer_trainer_class

_T = TypeVar("_T")
JOB = "job"  # folder, inside that of the stage, through which processes get their work


@dataclasses.dataclass(frozen=True, slots=True)
class TuningJob:
    """What to tune, on what, and how: everything the result depends on.

    Attributes:
        model: Folder of the base model.
        train: What to train on.
        holdout: What chooses the epoch; may be empty.
        settings: How to train.
        engine: Device and precision.
        seed: Seeds the adapter, the order and dropout.
        start: The result of an earlier tuning to continue from: an adapter of this model, or a whole model.
    """

    model: Path
    train: Sequence[EncodedExample]
    holdout: Sequence[EncodedExample]
    settings: TrainingSettings
    engine: EngineSettings
    seed: int
    start: Path | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Tuned:
    """The result of tuning.

    Attributes:
        folder: The adapter (LoRA) or whole model (full), with tokenizer and chat template.
        losses: The loss curve.
        epoch: The epoch that was kept: the one with the lowest hold-out loss, or the last.
        learning_rate: The rate that was used.
        trained_tokens: Answer tokens that the loss was computed on, over all epochs.
    """

    folder: Path
    losses: tuple[LossPoint, ...]
    epoch: int
    learning_rate: float
    trained_tokens: int


def default_learning_rate(method: str, hidden_size: int) -> float:
    """Return the learning rate for a method and a model's width.

    Full tuning: 5e-5, as in SELF-GUIDE. LoRA: 5e-4 for a width of 576 (135M parameters), measured to be the best there
    and the most stable over seeds (docs/training.md has the sweep), falling with the root of the width: about 4e-4 for
    896 (0.5B) and 1.9e-4 for 4096 (7B). That the best rate falls with the width is from "LoRA Without Regret" (Schulman
    et al. 2025).
    """
    if method == "full":
        return 5e-5
    return min(5e-4, max(1e-4, 5e-4 * math.sqrt(576 / hidden_size)))


def tune(job: TuningJob, folder: Path, progress: Callable[[int, int], None] | None = None) -> Tuned:
    """Tune a model.

    Args:
        job: What to tune, on what, and how.
        folder: Where checkpoints and the result go (``adapter/`` or ``model/``). If tuning was interrupted in this
            folder, it resumes from the last complete checkpoint.
        progress: Called with (optimiser steps done, 0).

    Raises:
        UserError: The batch cannot be divided among the processes.
        MetierError: The loss became NaN.
    """
    import transformers
    from accelerate import PartialState

    transformers.logging.set_verbosity_error()
    settings = job.settings
    device = pick_device(job.engine.device)
    state = PartialState(cpu=device == "cpu")
    if state.num_processes > 1 and device == "cuda":
        device = f"cuda:{state.local_process_index}"
    if settings.batch_size % state.num_processes:
        raise UserError(
            f"training.batch_size={settings.batch_size} cannot be shared by {state.num_processes} processes",
            hint="make it a multiple of launch.processes",
        )
    model, tokenizer = _load(job, device)
    rate = settings.learning_rate or default_learning_rate(settings.method, model.config.get_text_config().hidden_size)
    arguments = _arguments(job, folder, device, rate, state.num_processes)
    transformers.set_seed(job.seed)
    if adapter := _adapter_to_continue(job):
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(adapter), is_trainable=True)
    keeper = checkpoints.keeper(folder, progress)
    trainer = _trainer(job, model, tokenizer, arguments, [keeper, *([_tensorboard(folder)] * state.is_main_process)])
    keeper.trainer = trainer
    trainer.remove_callback(transformers.PrinterCallback)
    with state.main_process_first():
        resumed = checkpoints.last_complete(folder)
    with storage.explained(checkpoints.checkpoints_of(folder)):
        _quietly(trainer.train, resume_from_checkpoint=str(resumed) if resumed else None)
    losses = _losses(trainer.state.log_history)
    if any(p.train is not None and not math.isfinite(p.train) for p in losses):
        raise MetierError(
            "the training loss became NaN or infinite", hint=f"lower training.learning_rate (now {rate:g})"
        )
    epoch = _best_epoch(losses, settings.epochs)
    result = folder / ("adapter" if settings.method == "lora" else "model")
    if state.is_main_process:
        checkpoints.keep_result(checkpoints.epoch_of(folder, epoch), result, tokenizer)
    return Tuned(result, losses, epoch, rate, sum(e.trained_tokens for e in job.train) * settings.epochs)


def discard_checkpoints(folder: Path) -> None:
    """Remove what tuning kept in a folder only to be able to resume; call it once the stage is finished."""
    checkpoints.discard(folder)
    shutil.rmtree(folder / JOB, ignore_errors=True)


def _adapter_to_continue(job: TuningJob) -> Path | None:
    return job.start if job.start is not None and checkpoints.is_adapter(job.start) else None


def _load(job: TuningJob, device: str) -> tuple[Any, Tokenizer]:
    """Return the model that training starts from, without an adapter, and its tokenizer."""
    # Full tuning needs float32 master weights: in bfloat16 a step of 5e-5 is rounded away. LoRA's own weights are
    # float32 whatever the base is in.
    return load_causal(
        job.model if job.start is None or _adapter_to_continue(job) else job.start,
        dtype=job.engine.float_dtype if job.settings.method == "lora" else "float32",
        device=device,
        trust_remote_code=job.engine.trust_remote_code,
    )


def _arguments(job: TuningJob, folder: Path, device: str, rate: float, processes: int) -> Any:
    """Return the trainer's arguments (an SFTConfig)."""
    from trl import SFTConfig

    settings = job.settings
    steps = math.ceil(len(job.train) / settings.batch_size) * settings.epochs
    mixed = settings.method == "full" and job.engine.dtype != "float32"
    return _quietly(
        SFTConfig,
        output_dir=str(checkpoints.checkpoints_of(folder)),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size // processes,
        per_device_eval_batch_size=settings.batch_size // processes,
        gradient_accumulation_steps=1,
        learning_rate=rate,
        lr_scheduler_type="linear",
        warmup_steps=round(steps * settings.warmup_share),
        weight_decay=settings.weight_decay,
        max_grad_norm=1.0,
        optim="adamw_torch_fused",
        bf16=mixed and _bf16_is_fast(device),
        fp16=False,
        gradient_checkpointing=settings.gradient_checkpointing,
        max_length=None,
        packing=False,
        padding_free=False,
        pad_to_multiple_of=None,
        completion_only_loss=None,
        use_cpu=device == "cpu",
        dataloader_pin_memory=device.startswith("cuda"),
        eval_strategy="epoch" if job.holdout else "no",
        prediction_loss_only=True,
        remove_unused_columns=False,
        save_strategy="steps",
        save_steps=settings.checkpoint_steps,
        save_total_limit=2,
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        seed=job.seed,
        data_seed=job.seed,
    )


def _trainer(job: TuningJob, model: Any, tokenizer: Tokenizer, arguments: Any, callbacks: list[Any]) -> Any:
    """Return the trainer, with a new adapter on the model if the job wants one."""
    from accelerate import PartialState

    settings, processes = job.settings, PartialState().num_processes
    filling, held_filling = (_filling(len(x), settings.batch_size, processes) for x in (job.train, job.holdout))
    return _quietly(
        answer_trainer_class(),
        held_out=len(job.holdout),
        order=LengthGrouped([len(e.input_ids) for e in job.train], settings.batch_size, job.seed, len(filling)),
        model=model,
        args=arguments,
        train_dataset=_dataset([*job.train, *filling]),
        eval_dataset=_dataset([*job.holdout, *held_filling]) if job.holdout else None,
        processing_class=tokenizer,
        peft_config=_new_adapter(settings) if settings.method == "lora" and not _adapter_to_continue(job) else None,
        callbacks=callbacks,
    )


def _new_adapter(settings: TrainingSettings) -> Any:
    """Return the configuration of a new adapter (a LoraConfig)."""
    from peft import LoraConfig

    return LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def _tensorboard(folder: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations import TensorBoardCallback

    return TensorBoardCallback(SummaryWriter(str(folder / "tensorboard")))


def _filling(examples: int, batch_size: int, processes: int) -> list[EncodedExample]:
    """Return examples without an answer that complete the last batch, so that every process gets an equal part.

    accelerate would repeat the first examples instead, and the loss would depend on the number of processes.
    """
    missing = -examples % batch_size if processes > 1 else 0
    return [EncodedExample((0, 0), (-100, -100))] * missing


def _dataset(examples: Sequence[EncodedExample]) -> Any:
    from datasets import Dataset

    columns: dict[str, Sequence[Sequence[int]] | Sequence[Sequence[float]]] = {
        "input_ids": [list(e.input_ids) for e in examples],
        "labels": [list(e.labels) for e in examples],
    }
    if any(e.weights for e in examples):
        columns["weights"] = [list(e.weights) or [1.0] * len(e.labels) for e in examples]
    return Dataset.from_dict(columns)


def _quietly(make: Callable[..., _T], **arguments: object) -> _T:
    """Call something of TRL's without the deprecation warnings that it and transformers raise about each other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return make(**arguments)


def _losses(history: Sequence[Mapping[str, Any]]) -> tuple[LossPoint, ...]:
    return tuple(
        LossPoint(entry["step"], round(entry["epoch"], 4), entry.get("loss"), entry.get("eval_loss"))
        for entry in history
        if "loss" in entry or "eval_loss" in entry
    )


def _best_epoch(losses: Sequence[LossPoint], epochs: int) -> int:
    held = [(p.holdout, round(p.epoch)) for p in losses if p.holdout is not None]
    return min(held)[1] if held else epochs


def _bf16_is_fast(device: str) -> bool:
    import torch

    from metier.models.load import pick_dtype

    return pick_dtype("auto", device) == torch.bfloat16
