"""Holds the one model that is in memory, opened when a step first needs it."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from metier.core.errors import UserError
from metier.engines.base import Engine
from metier.engines.prompts import PromptFormat
from metier.models.locate import ModelFiles
from metier.tasks.settings import EngineSettings, LaunchSettings
from metier.tasks.task import Shared

SLOT_CONTEXT = 4096
"""Tokens at most that llama.cpp is given for an answer and its prompt: it sets the memory of each slot aside."""


@dataclasses.dataclass(frozen=True, slots=True)
class Running:
    """How models are run and prompted.

    Attributes:
        model: The base model's name, as the user gave it.
        engine: What runs it.
        launch: On how many processes and machines.
        style: How prompts are written.
    """

    model: str
    engine: EngineSettings
    launch: LaunchSettings
    style: Literal["auto", "chat", "plain"]


def running(settings: Shared) -> Running:
    """Return how a task or a mixture wants models to be run."""
    return Running(settings.model, settings.engine, settings.launch, settings.prompt.style)


class Slot:
    """Opens the base model or a tuned one, one at a time: two would need twice the memory.

    Args:
        how: How models are run and prompted.
        files: The base model.
        folder: The run folder, for what engines keep on file; None: they keep nothing.
    """

    def __init__(self, how: Running, files: ModelFiles, folder: Path | None = None) -> None:
        self._how = how
        self._files = files
        self._folder = folder
        self._open: tuple[Path | None, Engine] | None = None
        self._prompts: PromptFormat | None = None
        self._tokenizer: Any = None

    def open(self, tuned: Path | None = None) -> Engine:
        """Return the engine of the base model (None), or of a tuned one by the folder of its adapter or weights."""
        if self._open is None or self._open[0] != tuned:
            engine = self._turned_to(tuned)
            if engine is None:
                self.close()
                engine = self._opened(tuned)
            self._open = (tuned, engine)
        return self._open[1]

    @property
    def prompts(self) -> PromptFormat:
        """How prompts are written for the base model, and so for its specialists."""
        if self._prompts is None:
            self._prompts = PromptFormat(self.tokenizer, self._how.style)
        return self._prompts

    @property
    def tokenizer(self) -> Any:
        """The base model's tokenizer."""
        if self._tokenizer is None:
            from transformers import AutoTokenizer

            self._tokenizer = AutoTokenizer.from_pretrained(
                str(self._files.path), trust_remote_code=self._how.engine.trust_remote_code
            )
        return self._tokenizer

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text, special tokens not added; the model need not be open."""
        if not texts:
            return []
        return [len(ids) for ids in self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]]

    @property
    def context_length(self) -> int:
        """The most tokens a prompt and its answer may have together; the model need not be open."""
        from transformers import AutoConfig

        config: Any = AutoConfig.from_pretrained(
            str(self._files.path), trust_remote_code=self._how.engine.trust_remote_code
        )
        return int(getattr(config.get_text_config(), "max_position_embeddings", 2048))

    def close(self) -> None:
        """Let the model go, and its memory."""
        if self._open is not None:
            close = getattr(self._open[1], "close", None)
            if close is not None:
                close()
        self._open = None
        gc.collect()

    def _turned_to(self, tuned: Path | None) -> Engine | None:
        """Return an engine on vLLM's model in memory, where only the adapter is another: it takes a minute to load."""
        if self._open is None or self._how.engine.kind != "vllm" or self._how.launch.uses_ray:
            return None
        from metier.engines.vllm import VllmEngine

        held, engine = self._open
        model, adapter = model_and_adapter(self._files.path, tuned)
        same = model_and_adapter(self._files.path, held)[0] == model
        return engine.beside(adapter) if same and isinstance(engine, VllmEngine) and engine.fits(adapter) else None

    def _opened(self, tuned: Path | None) -> Engine:
        """Open an engine, or one of many workers.

        Servers and GGUF files hold the base model alone, so a specialist is run here.
        """
        kind = self._how.engine.kind
        launch = self._how.launch
        if launch.uses_ray:
            if kind == "openai":
                raise UserError(
                    "launch.workers is for engines that run a model; a server is asked by engine.concurrency",
                    hint="set launch.workers=1, or engine.kind to vllm, llamacpp or transformers",
                )
            from metier.engines.pool import WorkerPool

            return WorkerPool(
                partial(_open_in_worker, self._how, self._files, tuned), launch.workers, launch.ray_address
            )
        if kind == "vllm":
            return self._vllm(tuned)
        if kind == "transformers" or tuned is not None:
            return self._transformers(tuned)
        from metier.engines.split import SplitEngine

        return SplitEngine(self._openai() if kind == "openai" else self._llamacpp(), lambda: self._transformers(None))

    def _transformers(self, tuned: Path | None) -> Engine:
        from metier.engines.transformers import Batching, TransformersEngine

        settings = self._how.engine
        model, adapter = model_and_adapter(self._files.path, tuned)
        return TransformersEngine(
            model,
            adapter=adapter,
            dtype=settings.dtype,
            device=settings.device,
            batching=Batching(settings.batch_rows, settings.batch_tokens),
            trust_remote_code=settings.trust_remote_code,
        )

    def _vllm(self, tuned: Path | None) -> Engine:
        from metier.engines.vllm import VllmEngine

        settings = self._how.engine
        model, adapter = model_and_adapter(self._files.path, tuned)
        return VllmEngine(
            model,
            adapter=adapter,
            dtype=settings.dtype,
            memory_share=settings.memory_share,
            tensor_parallel=settings.tensor_parallel,
            trust_remote_code=settings.trust_remote_code,
        )

    def _openai(self) -> Engine:
        from metier.engines.openai import OpenAIEngine
        from metier.engines.server import Server

        settings = self._how.engine
        return OpenAIEngine(
            Server(
                settings.url,
                settings.served_model or self._how.model,
                api=settings.api,
                key_env=settings.key_env,
                concurrency=settings.concurrency,
                timeout=settings.timeout,
                retries=settings.retries,
            ),
            count_tokens=self.count_tokens,
            context_length=self.context_length,
            journal=self._folder / "server-answers.jsonl" if self._folder else None,
        )

    def _llamacpp(self) -> Engine:
        from metier.engines.llamacpp import LlamaCppEngine
        from metier.models.locate import resolve_gguf

        settings = self._how.engine
        return LlamaCppEngine(
            resolve_gguf(settings.gguf or self._how.model),
            count_tokens=self.count_tokens,
            context_length=min(self.context_length, SLOT_CONTEXT),
            slots=settings.concurrency,
            device=settings.device,
        )


def model_and_adapter(base: Path, tuned: Path | None) -> tuple[Path, Path | None]:
    """Return the folder of whole weights to load, and that of the adapter to put on them, if there is one.

    Args:
        base: The base model's folder.
        tuned: What it was tuned to, an adapter or whole weights; None: nothing.
    """
    whole = tuned is not None and (tuned / "config.json").exists()
    return (tuned, None) if tuned is not None and whole else (base, tuned)


def _open_in_worker(how: Running, files: ModelFiles, tuned: Path | None) -> Engine:
    """Open a worker's engine, on whatever machine it is: a model that is not there yet is fetched."""
    from metier.models.locate import resolve_model

    if not files.path.exists():
        files = resolve_model(how.model, trust_remote_code=how.engine.trust_remote_code)
    return Slot(dataclasses.replace(how, launch=LaunchSettings()), files).open(tuned)
