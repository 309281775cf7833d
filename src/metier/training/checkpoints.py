"""Keeps what tuning needs to resume, and every epoch's weights, in files that count only once they are complete.

Knows nothing about what is trained on.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metier.core import storage
from metier.models.tokenizer import Tokenizer

_ADAPTER = "adapter_config.json"
_COMPLETE = "whole"  # file in a checkpoint that was written to its end


def checkpoints_of(folder: Path) -> Path:
    """Return where tuning in a folder keeps its checkpoints."""
    return folder / "checkpoints"


def epoch_of(folder: Path, epoch: int) -> Path:
    """Return where tuning in a folder keeps an epoch's weights."""
    return folder / "epochs" / f"epoch-{epoch}"


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter rather than a whole model."""
    return (folder / _ADAPTER).exists()


def keeper(folder: Path, progress: Callable[[int, int], None] | None) -> Any:
    """Return a trainer callback that marks complete checkpoints, keeps every epoch's weights, and reports progress.

    A checkpoint at an epoch's last step is saved only after the epoch's weights are kept and its held-out loss is
    known: a run that resumes from it begins with the next epoch, and could not get them any more.
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
                storage.write_text(checkpoints_of(folder) / f"checkpoint-{state.global_step}" / _COMPLETE, "")

        def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            # Saving comes after evaluation, which has the loss.
            self.due, control.should_save = False, self.due
            # All processes gather sharded weights together; the first writes them.
            sharded = self.trainer.is_fsdp_enabled
            weights = self.trainer.accelerator.get_state_dict(self.trainer.model_wrapped) if sharded else None
            if not state.is_world_process_zero:
                return
            final = epoch_of(folder, round(state.epoch))
            partial = final.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)  # PEFT would carry on with the card that a kill has torn
            with storage.explained(final):
                model.save_pretrained(str(partial), safe_serialization=True, state_dict=weights)
            storage.replace_folder(partial, final)

    return Keeper()


def last_complete(folder: Path) -> Path | None:
    """Return the newest complete checkpoint; incomplete ones are removed."""
    complete = []
    for checkpoint in checkpoints_of(folder).glob("checkpoint-*"):
        if (checkpoint / _COMPLETE).exists():
            complete.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    return max(complete, key=lambda found: int(found.name.rpartition("-")[2]), default=None)


def keep_result(kept: Path, result: Path, tokenizer: Tokenizer) -> None:
    """Copy an epoch's weights, with the tokenizer, to the folder of the result."""
    partial = result.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with storage.explained(result):
        shutil.copytree(kept, partial)
        tokenizer.save_pretrained(str(partial))
    _sort_targets(partial / _ADAPTER)
    storage.replace_folder(partial, result)


def discard(folder: Path) -> None:
    """Remove checkpoints and epochs' weights; call it once the result is kept."""
    shutil.rmtree(checkpoints_of(folder), ignore_errors=True)
    shutil.rmtree(folder / "epochs", ignore_errors=True)


def _sort_targets(config: Path) -> None:
    """Sort the names of the adapted modules: PEFT writes a set, whose order differs from run to run."""
    if config.exists():
        held = storage.read_json(config)
        held["target_modules"] = sorted(held["target_modules"])
        storage.write_json(config, held)
