"""An engine on llama.cpp, for GGUF models on a CPU: its server runs in this process and is asked like any other.

Needs the extra ``metier[llamacpp]`` (xllamacpp, wheels with the library inside). The server listens only on the
loopback address, on a port that the system chooses, and stops with the engine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from metier.core.errors import MetierError, UserError
from metier.engines.openai import OpenAIEngine
from metier.engines.server import Server

_ALIAS = "metier"
_QUIET = -1  # llama.cpp's log level for results only
_TIMEOUT = 3600.0  # seconds: in the same process, a slow answer is not a failure


class LlamaCppEngine(OpenAIEngine):
    """Runs one GGUF model with llama.cpp. It cannot score: its server gives no likelihood of a given text.

    Args:
        gguf: The model's file.
        count_tokens: Counts the tokens of texts.
        context_length: The most tokens of a prompt and its answer.
        slots: Answers generated at once; memory is reserved for each.
        device: Anything but ``cpu`` and ``auto`` puts all layers on a GPU, if the build supports one.
        journal: Where finished answers are kept; None: nowhere.

    Raises:
        UserError: The extra is not installed.
        MetierError: llama.cpp cannot read the model.
    """

    def __init__(
        self,
        gguf: Path,
        *,
        count_tokens: Callable[[Sequence[str]], list[int]],
        context_length: int,
        slots: int = 16,
        device: str = "auto",
        journal: Path | None = None,
    ) -> None:
        try:
            import xllamacpp
        except ImportError as error:
            raise UserError("engine.kind: llamacpp is not installed", hint="pip install 'metier[llamacpp]'") from error
        params = xllamacpp.CommonParams()
        params.model.path = str(gguf)
        params.model_alias = {_ALIAS}
        params.n_ctx = slots * context_length
        params.n_parallel = slots
        params.cpuparams.n_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else -1
        params.n_gpu_layers = 0 if device in ("cpu", "auto") else 999
        params.verbosity = _QUIET
        try:
            self._llama: Any = xllamacpp.Server(params)
        except Exception as error:  # the binding raises plain RuntimeErrors for everything
            raise MetierError(f"{gguf}: llama.cpp cannot run this model ({error})") from error
        super().__init__(
            Server(
                f"{self._llama.listening_address}/v1",
                _ALIAS,
                concurrency=2 * slots,
                timeout=_TIMEOUT,
                most_samples=slots,
            ),
            count_tokens=count_tokens,
            context_length=context_length,
            journal=journal,
        )

    def close(self) -> None:
        """Close the connections and end the server."""
        super().close()
        self._llama = None
