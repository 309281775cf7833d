"""An engine on llama.cpp, for GGUF models on a CPU: its server runs in this process and is asked like any other.

Needs the extra ``metier[llamacpp]`` (xllamacpp, wheels with the library inside). The server listens only on the
loopback address, on a port that the system chooses, and stops with the engine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
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
        try:
            self._llama: Any = start_server(gguf, slots, context_length, threads=_threads(), on_gpu=_on_gpu(device))
        except ImportError as error:
            raise _not_installed() from error
        super().__init__(
            _asked(self._llama, slots),
            count_tokens=count_tokens,
            context_length=context_length,
            journal=journal,
        )

    def close(self) -> None:
        """Close the connections and end the server."""
        super().close()
        self._llama = None


class LlamaCppAdapters:
    """One GGUF model with several adapters on llama.cpp, each of which answers alone.

    llama.cpp's prompt cache does not know which adapter a prompt was read with, so nothing is kept in it; and a request
    that does not name the adapters gets those of the one before, so each names all of them.

    Args:
        gguf: The base model's file.
        adapters: Files of the adapters.
        context_length: The most tokens of a prompt and its answer.
        slots: Answers generated at once; memory is reserved for each.
        device: As of `LlamaCppEngine`.

    Raises:
        UserError: The extra is not installed.
        MetierError: llama.cpp cannot read a file.
    """

    def __init__(
        self, gguf: Path, adapters: Sequence[Path], *, context_length: int, slots: int, device: str = "auto"
    ) -> None:
        self._count, self._context, self._slots = len(adapters), context_length, slots
        try:
            self._llama: Any = start_server(
                gguf, slots, context_length, threads=_threads(), on_gpu=_on_gpu(device), adapters=adapters
            )
        except ImportError as error:
            raise _not_installed() from error

    def engine(self, adapter: int | None, count_tokens: Callable[[Sequence[str]], list[int]]) -> OpenAIEngine:
        """Return an engine that answers with an adapter, by its place among all; None: with the base model alone."""
        scales = [{"id": place, "scale": float(place == adapter)} for place in range(self._count)]
        more = {"lora": scales, "cache_prompt": False}
        server = _asked(self._llama, self._slots, more)
        return OpenAIEngine(server, count_tokens=count_tokens, context_length=self._context)

    def close(self) -> None:
        """End the server."""
        self._llama = None


def start_server(
    gguf: Path,
    slots: int,
    context_length: int,
    *,
    threads: int,
    on_gpu: bool = False,
    adapters: Sequence[Path] = (),
) -> Any:
    """Start llama.cpp's server in this process; ``listening_address`` says where, and it ends when it is let go.

    Args:
        gguf: The model's file.
        slots: Answers generated at once.
        context_length: The most tokens of a prompt and its answer, in each slot.
        threads: How many compute; -1: llama.cpp's choice.
        on_gpu: Put all layers on a GPU, if the build supports one.
        adapters: Files of adapters that requests may name by their places; none is applied to one that does not.

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
    if adapters:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(path), 1.0) for path in adapters]
        params.lora_init_without_apply = True
        params.cache_prompt = False
        params.cache_ram_mib = 0  # another cache of prompts, beside the slots' own
    try:
        return xllamacpp.Server(params)
    except Exception as error:  # the binding raises plain RuntimeErrors for everything
        raise MetierError(f"{gguf}: llama.cpp cannot run this model ({error})") from error


def _asked(llama: Any, slots: int, more: Mapping[str, object] = MappingProxyType({})) -> Server:
    """Return how a server is asked that `start_server` has started."""
    return Server(
        f"{llama.listening_address}/v1",
        ALIAS,
        more=more,
        concurrency=2 * slots,
        timeout=TIMEOUT,
        most_samples=slots,
    )


def _threads() -> int:
    """Return OMP_NUM_THREADS, if set: llama.cpp's threads wait by turning in a loop, and one too many is very slow."""
    if (given := os.environ.get("OMP_NUM_THREADS", "")).isdecimal() and int(given) > 0:
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else -1


def _on_gpu(device: str) -> bool:
    return device not in ("cpu", "auto")


def _not_installed() -> UserError:
    return UserError("engine.kind: llamacpp is not installed", hint="pip install 'metier[llamacpp]'")
