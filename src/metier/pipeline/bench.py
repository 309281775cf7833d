"""Holds the one model that is in memory, opened when a stage first needs it. Knows nothing about stages."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

from metier.engines.base import Engine
from metier.models.locate import ModelFiles
from metier.prompts import PromptFormat
from metier.task import Task


class Bench:
    """Opens the base model or a specialist, one at a time: two would need twice the memory.

    Args:
        task: Says how models are run and prompted.
        files: The base model.
    """

    def __init__(self, task: Task, files: ModelFiles) -> None:
        self._task = task
        self._files = files
        self._open: tuple[Path | None, Any] | None = None
        self._prompts: PromptFormat | None = None

    def base(self) -> Engine:
        """Return the base model's engine."""
        return self._engine(None)

    def specialist(self, folder: Path) -> Engine:
        """Return the engine of a tuned model (an adapter's folder, or a whole model's)."""
        return self._engine(folder)

    @property
    def prompts(self) -> PromptFormat:
        """How prompts are written for the base model, and so for its specialists."""
        if self._prompts is None:
            self._prompts = PromptFormat(self.tokenizer, self._task.prompt.style)
        return self._prompts

    @property
    def tokenizer(self) -> Any:
        """The base model's tokenizer."""
        from transformers import AutoTokenizer

        if self._open is not None:
            return self._open[1].tokenizer
        return AutoTokenizer.from_pretrained(
            str(self._files.path), trust_remote_code=self._task.engine.trust_remote_code
        )

    def close(self) -> None:
        """Let the model go, and its memory."""
        self._open = None
        gc.collect()

    def _engine(self, tuned: Path | None) -> Engine:
        from metier.engines.transformers import TransformersEngine

        if self._open is None or self._open[0] != tuned:
            self.close()
            settings = self._task.engine
            whole = tuned is not None and (tuned / "config.json").exists()
            self._open = (
                tuned,
                TransformersEngine(
                    tuned if tuned is not None and whole else self._files.path,
                    adapter=None if whole else tuned,
                    dtype=settings.dtype,
                    device=settings.device,
                    batch_rows=settings.batch_rows,
                    batch_tokens=settings.batch_tokens,
                    trust_remote_code=settings.trust_remote_code,
                ),
            )
        engine: Engine = self._open[1]
        return engine
