"""Tunes a model on encoded examples with TRL's SFTTrainer and PEFT, and goes on where it was killed.

Knows nothing about tasks, or how the examples were made. With `trainer`, the one module that touches TRL, whose
interface moves. Every trainer default that changes the outcome is set here by name: TRL alone would turn on mixed
precision and gradient checkpointing, and take a learning rate that is far too low for LoRA.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from metier.core import storage
from metier.core.errors import MetierError, UserError
from metier.core.records import LossPoint
from metier.models.load import load_causal, pick_device
from metier.tasks.task import EngineSettings, TrainingSettings
from metier.training.examples import EncodedExample
from metier.training.trainer import LengthGrouped, answer_trainer_class

_ADAPTER = "adapter_config.json"
JOB = "job"  # folder, inside that of the stage, through which processes are told what to do


@dataclasses.dataclass(frozen=True, slots=True)
class Tuned:
    """What tuning left behind.

    Attributes:
        folder: The adapter (LoRA) or whole model (full), with tokenizer and chat template.
        losses: The loss curve.
        epoch: The epoch that was kept: the one with the lowest hold-out loss, or the last.
        learning_rate: The rate that was used.
        trained_tokens: Answer tokens the loss was taken on, over all epochs.
    """

    folder: Path
    losses: tuple[LossPoint, ...]
    epoch: int
    learning_rate: float
    trained_tokens: int


def default_learning_rate(method: str, hidden_size: int) -> float:
    """Return the learning rate for a method and a model's width.

    Full tuning: 5e-5, as in SELF-GUIDE. LoRA: 5e-4 for a width of 576 (135M parameters), measured to be the best there
    and the steadiest over seeds (docs/training.md has the sweep), falling with the root of the width: about 4e-4 for
    896 (0.5B) and 1.9e-4 for 4096 (7B). That the best rate falls with the width is from "LoRA Without Regret" (Schulman
    et al. 2025).
    """
    if method == "full":
        return 5e-5
    return min(5e-4, max(1e-4, 5e-4 * math.sqrt(576 / hidden_size)))


def tune(
    model: Path,
    train: Sequence[EncodedExample],
    holdout: Sequence[EncodedExample],
    settings: TrainingSettings,
    engine: EngineSettings,
    *,
    folder: Path,
    seed: int,
    start: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tuned:
    """Tune a model and return what was kept.

    Args:
        model: Folder of the base model.
        train: What to train on.
        holdout: What chooses the epoch; may be empty.
        settings: How to train.
        engine: Device and precision.
        folder: Where checkpoints go, and the result (``adapter/`` or ``model/``). A folder in which tuning was
            interrupted is continued from its last whole checkpoint.
        seed: Seeds the adapter, the order and dropout.
        start: What an earlier tuning left, to be tuned on: an adapter of this model, or a whole model.
        progress: Called with (optimiser steps done, 0).

    Raises:
        UserError: The batch cannot be shared by the processes there are.
        MetierError: The loss became NaN.
    """
    import transformers
    from accelerate import PartialState
    from peft import LoraConfig, PeftModel
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations import TensorBoardCallback
    from trl import SFTConfig

    transformers.logging.set_verbosity_error()
    device = pick_device(engine.device)
    state = PartialState(cpu=device == "cpu")
    if state.num_processes > 1 and device == "cuda":
        device = f"cuda:{state.local_process_index}"
    if settings.batch_size % state.num_processes:
        raise UserError(
            f"training.batch_size={settings.batch_size} cannot be shared by {state.num_processes} processes",
            hint="make it a multiple of launch.processes",
        )
    lora = settings.method == "lora"
    # Full tuning needs float32 master weights: in bfloat16 a step of 5e-5 is rounded away. LoRA's own weights are
    # float32 whatever the base is in.
    adapter = start if start is not None and (start / _ADAPTER).exists() else None
    loaded, tokenizer = load_causal(
        model if start is None or adapter else start,
        dtype=engine.dtype if lora else "float32",
        device=device,
        trust_remote_code=engine.trust_remote_code,
    )
    rate = settings.learning_rate or default_learning_rate(settings.method, loaded.config.get_text_config().hidden_size)
    trained = sum(e.trained_tokens for e in train) * settings.epochs
    filling, held_filling = (_filling(len(x), settings.batch_size, state.num_processes) for x in (train, holdout))
    steps_an_epoch = math.ceil(len(train) / settings.batch_size)
    total = steps_an_epoch * settings.epochs
    checkpoints, epochs = folder / "checkpoints", folder / "epochs"
    args = _quietly(
        SFTConfig,
        output_dir=str(checkpoints),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size // state.num_processes,
        per_device_eval_batch_size=settings.batch_size // state.num_processes,
        gradient_accumulation_steps=1,
        learning_rate=rate,
        lr_scheduler_type="linear",
        warmup_steps=round(total * settings.warmup_share),
        weight_decay=settings.weight_decay,
        max_grad_norm=1.0,
        optim="adamw_torch_fused",
        bf16=not lora and engine.dtype != "float32" and _bf16_is_fast(device),
        fp16=False,
        gradient_checkpointing=settings.gradient_checkpointing,
        max_length=None,
        packing=False,
        padding_free=False,
        pad_to_multiple_of=None,
        completion_only_loss=None,
        use_cpu=device == "cpu",
        dataloader_pin_memory=device.startswith("cuda"),
        eval_strategy="epoch" if holdout else "no",
        prediction_loss_only=True,
        remove_unused_columns=False,
        save_strategy="steps",
        save_steps=settings.checkpoint_steps,
        save_total_limit=2,
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        seed=seed,
        data_seed=seed,
    )
    transformers.set_seed(seed)
    if adapter:
        loaded = PeftModel.from_pretrained(loaded, str(adapter), is_trainable=True)
    keeper = _keeper(checkpoints, epochs, progress)
    trainer = _quietly(
        answer_trainer_class(),
        held_out=len(holdout),
        order=LengthGrouped([len(e.input_ids) for e in train], settings.batch_size, seed, len(filling)),
        model=loaded,
        args=args,
        train_dataset=_dataset([*train, *filling]),
        eval_dataset=_dataset([*holdout, *held_filling]) if holdout else None,
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=settings.lora_rank,
            lora_alpha=settings.lora_alpha,
            lora_dropout=settings.lora_dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        if lora and not adapter
        else None,
        callbacks=[
            keeper,
            *([TensorBoardCallback(SummaryWriter(str(folder / "tensorboard")))] * state.is_main_process),
        ],
    )
    keeper.trainer = trainer
    trainer.remove_callback(transformers.PrinterCallback)
    with state.main_process_first():
        resumed = _last_whole_checkpoint(checkpoints)
    with storage.explained(checkpoints):
        _quietly(trainer.train, resume_from_checkpoint=resumed)
    losses = _losses(trainer.state.log_history)
    if any(p.train is not None and not math.isfinite(p.train) for p in losses):
        raise MetierError(
            "the training loss became NaN or infinite", hint=f"lower training.learning_rate (now {rate:g})"
        )
    epoch = _best_epoch(losses, settings.epochs)
    result = folder / ("adapter" if lora else "model")
    if state.is_main_process:
        _put_in_place(epochs / f"epoch-{epoch}", result, tokenizer)
    return Tuned(result, losses, epoch, rate, trained)


def _put_in_place(kept: Path, result: Path, tokenizer: Any) -> None:
    """Make the kept epoch's weights, with the tokenizer, the result."""
    partial = result.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with storage.explained(result):
        shutil.copytree(kept, partial)
        tokenizer.save_pretrained(str(partial))
    _sort_targets(partial / _ADAPTER)
    storage.replace_folder(partial, result)


def _filling(examples: int, batch_size: int, processes: int) -> list[EncodedExample]:
    """Return examples of no answer that make the last batch whole, so that processes share each batch alike.

    accelerate would take the first examples a second time instead, and the loss would depend on the processes.
    """
    missing = -examples % batch_size if processes > 1 else 0
    return [EncodedExample((0, 0), (-100, -100))] * missing


def _sort_targets(config: Path) -> None:
    """Put the names of the adapted modules in order: PEFT writes a set, whose order differs from run to run."""
    if config.exists():
        held = storage.read_json(config)
        held["target_modules"] = sorted(held["target_modules"])
        storage.write_json(config, held)


def discard_checkpoints(folder: Path) -> None:
    """Remove what tuning kept in a folder only to be able to go on; call it once the stage is finished."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    shutil.rmtree(folder / "epochs", ignore_errors=True)
    shutil.rmtree(folder / JOB, ignore_errors=True)


def _dataset(examples: Sequence[EncodedExample]) -> Any:
    from datasets import Dataset

    columns: dict[str, list[Any]] = {
        "input_ids": [list(e.input_ids) for e in examples],
        "labels": [list(e.labels) for e in examples],
    }
    if any(e.weights for e in examples):
        columns["weights"] = [list(e.weights) or [1.0] * len(e.labels) for e in examples]
    return Dataset.from_dict(columns)


def _quietly(make: Callable[..., Any], **arguments: Any) -> Any:
    """Call something of TRL's without the deprecation warnings it and transformers have for each other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return make(**arguments)


def _keeper(checkpoints: Path, epochs: Path, progress: Callable[[int, int], None] | None) -> Any:
    """Return a trainer callback that marks whole checkpoints, keeps every epoch's weights, and reports progress.

    A checkpoint that falls on an epoch's last step is saved once the epoch's weights are kept and its loss on held-out
    pairs is known: going on from it begins the next epoch, so that they would never be had again.
    """
    from transformers import TrainerCallback

    class Keeper(TrainerCallback):  # type: ignore[misc]
        trainer: Any = None
        due = False

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if float(state.epoch).is_integer():
                self.due, control.should_save = control.should_save, False
            if progress:
                progress(state.global_step, 0)

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.trainer.accelerator.wait_for_everyone()
            if state.is_world_process_zero:
                storage.write_text(checkpoints / f"checkpoint-{state.global_step}" / "whole", "")

        def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            # Saving comes after evaluation, which has the loss.
            self.due, control.should_save = False, self.due
            # Sharded weights are gathered by all processes together; the first writes them.
            sharded = self.trainer.is_fsdp_enabled
            weights = self.trainer.accelerator.get_state_dict(self.trainer.model_wrapped) if sharded else None
            if not state.is_world_process_zero:
                return
            final = epochs / f"epoch-{round(state.epoch)}"
            partial = final.with_suffix(".partial")
            with storage.explained(final):
                model.save_pretrained(str(partial), safe_serialization=True, state_dict=weights)
            storage.replace_folder(partial, final)

    return Keeper()


def _last_whole_checkpoint(checkpoints: Path) -> str | None:
    """Return the newest checkpoint that was written to its end; a torn one is removed."""
    whole = []
    for folder in checkpoints.glob("checkpoint-*"):
        if (folder / "whole").exists():
            whole.append(folder)
        else:
            shutil.rmtree(folder)
    return str(max(whole, key=lambda f: int(f.name.rpartition("-")[2]))) if whole else None


def _losses(history: Sequence[dict[str, Any]]) -> tuple[LossPoint, ...]:
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
