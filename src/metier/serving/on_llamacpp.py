"""Lets llama.cpp run what several products' models are: one base model, rounded, and their adapters."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from metier.core import storage
from metier.core.cache import cache_folder
from metier.core.errors import UserError
from metier.core.progress import Reporter
from metier.engines.base import Engine
from metier.engines.later import LaterEngine
from metier.engines.llamacpp import LlamaCppAdapters
from metier.exporting.gguf_adapter import write_gguf_adapter
from metier.exporting.gguf_writer import Quant, write_gguf
from metier.runs.use import WantedModel
from metier.steps.slot import SLOT_CONTEXT

_SLOTS = 8  # answers written at once
_QUANT: Quant = "q8_0"
_ALONE = "serve it by another metier serve, with a --port of its own"


class OnLlamaCpp:
    """Gives products engines on a server in this process, and starts it when it is known what it has to hold."""

    def __init__(self) -> None:
        self._base: WantedModel | None = None
        self._adapters: dict[Path, int] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._llama: LlamaCppAdapters | None = None

    def engine(self, wanted: WantedModel) -> Engine:
        """Return an engine that may be asked once `start` has returned.

        Raises:
            UserError: The product needs another base model than those before it, or its model was tuned whole.
        """
        if wanted.weights is not None and wanted.adapter is None:
            raise UserError(
                f"--engine llamacpp: {wanted.folder} has no adapter, as all of its weights were tuned", hint=_ALONE
            )
        if self._base is None:
            self._base = wanted
        if wanted.files.digest != self._base.files.digest:
            raise UserError(
                f"--engine llamacpp: {wanted.folder} is made of {wanted.used.name}, and {self._base.folder} of "
                f"{self._base.used.name}: it runs one base model",
                hint=_ALONE,
            )
        place = None
        if wanted.adapter is not None:
            place = self._adapters.setdefault(wanted.adapter, len(self._adapters))

        def opened() -> Engine:
            assert self._llama is not None
            return self._llama.engine(place, wanted.count_tokens)

        return LaterEngine(opened, wanted.count_tokens, min(wanted.context_length, SLOT_CONTEXT))

    def start(self, reporter: Reporter) -> None:
        """Start the server with all that was asked for; the base model's file is made first, and kept in the cache.

        Raises:
            UserError: Nothing was asked for, or a model or an adapter of this kind is not written as a GGUF file.
            MetierError: llama.cpp cannot run it.
        """
        if self._base is None:
            raise UserError(
                "--engine llamacpp: none of these products asks a language model", hint="leave --engine out"
            )
        base = self._base
        gguf = _base_file(base, reporter)
        self._folder = tempfile.TemporaryDirectory(prefix="metier-")
        files = []
        for adapter, place in self._adapters.items():
            files.append(Path(self._folder.name) / f"{place}.gguf")
            write_gguf_adapter(adapter, base.files.path, files[-1])
        self._llama = LlamaCppAdapters(
            gguf,
            files,
            context_length=min(base.context_length, SLOT_CONTEXT),
            slots=_SLOTS,
            device=base.used.engine.device,
        )

    @property
    def scores(self) -> bool:
        """False: it does not say how likely a given label is."""
        return False

    @property
    def ended(self) -> str | None:
        """None: it is in this process."""
        return None

    def close(self) -> None:
        """End the server."""
        if self._llama is not None:
            self._llama.close()
        if self._folder is not None:
            self._folder.cleanup()


def _base_file(base: WantedModel, reporter: Reporter) -> Path:
    """Return the base model as a GGUF file in the cache, made if it is not there."""
    path = cache_folder() / "gguf" / f"{base.files.digest}-{_QUANT}.gguf"
    if not path.exists():
        reporter.say(f"writing {base.used.name} as a GGUF file ({_QUANT}), once")
        with storage.explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            write_gguf(base.files.path, partial, _QUANT, name=Path(base.used.name).name, licence=None)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    return path
