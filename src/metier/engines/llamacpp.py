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

ALIAS = "metier"  # what the model is called on its server
TIMEOUT = 3600.0  # seconds: in the same process, a slow answer is not a failure
_QUIET = -1  # llama.cpp's log level for results only


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
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else -1
        on_gpu = device not in ("cpu", "auto")
        try:
            self._llama: Any = start_server(gguf, slots, context_length, threads=threads, on_gpu=on_gpu)
        except ImportError as error:
            raise UserError("engine.kind: llamacpp is not installed", hint="pip install 'metier[llamacpp]'") from error
        super().__init__(
            Server(
                f"{self._llama.listening_address}/v1",
                ALIAS,
                concurrency=2 * slots,
                timeout=TIMEOUT,
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


def start_server(gguf: Path, slots: int, context_length: int, *, threads: int, on_gpu: bool = False) -> Any:
    """Start llama.cpp's server in this process; ``listening_address`` says where, and it ends when it is let go.

    Args:
        gguf: The model's file.
        slots: Answers generated at once.
        context_length: The most tokens of a prompt and its answer, in each slot.
        threads: How many compute; -1: llama.cpp's choice.
        on_gpu: Put all layers on a GPU, if the build supports one.

    Raises:
        ImportError: xllamacpp is not installed.
        MetierError: llama.cpp cannot read the file.
    """
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.model_alias = {ALIAS}
    params.n_ctx = slots * context_length
    params.n_parallel = slots
    params.cpuparams.n_threads = threads
    params.n_gpu_layers = 999 if on_gpu else 0
    params.verbosity = _QUIET
    try:
        return xllamacpp.Server(params)
    except Exception as error:  # the binding raises plain RuntimeErrors for everything
        raise MetierError(f"{gguf}: llama.cpp cannot run this model ({error})") from error
