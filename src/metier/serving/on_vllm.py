"""Lets one server of vLLM run what the products' models are: one base model with their adapters, or one tuned whole."""

from __future__ import annotations

from pathlib import Path

from metier.core.errors import UserError
from metier.core.progress import Reporter
from metier.engines.base import Engine
from metier.engines.end_tokens import end_tokens_in
from metier.engines.vllm_process import BASE, VllmModel, VllmProcess, python_with_vllm
from metier.engines.vllm_server import VllmServerEngine
from metier.runs.use import WantedModel


class OnVllm:
    """Gives products engines on a server, and starts it when it is known what it has to hold.

    Args:
        folder: vLLM's environment; None: where it usually is.

    Raises:
        UserError: There is no vLLM.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._process = VllmProcess(python_with_vllm(folder))
        self._model: VllmModel | None = None
        self._first: Path | None = None
        self._adapters: dict[Path, str] = {}

    def engine(self, wanted: WantedModel) -> Engine:
        """Return an engine that may be asked once `start` has returned.

        Raises:
            UserError: The product needs another model than those before it, or one that vLLM cannot run alike.
        """
        model = _as_vllm_runs(wanted)
        if self._model is None:
            self._model, self._first = model, wanted.folder
        if model != self._model:
            raise UserError(
                f"--engine vllm: one server of vLLM runs one model, and {wanted.folder} needs "
                f"{_difference(model, self._model)}, as {self._first} does not",
                hint="serve it by another metier serve, with a --port of its own",
            )
        name = BASE
        if wanted.adapter is not None:
            name = self._adapters.setdefault(wanted.adapter, f"adapter{len(self._adapters) + 1}")
        ends = end_tokens_in(wanted.model, wanted.tokenizer)
        return VllmServerEngine(self._process, name, wanted.tokenizer, ends, wanted.context_length)

    def start(self, reporter: Reporter) -> None:
        """Start the server with all that was asked for.

        Raises:
            UserError: That is nothing.
            MetierError: vLLM cannot run it.
        """
        if self._model is None:
            raise UserError("--engine vllm: none of these products asks a language model", hint="leave --engine out")
        self._process.start(self._model, {name: path for path, name in self._adapters.items()}, reporter)

    @property
    def scores(self) -> bool:
        """True: it says how likely labels are."""
        return True

    @property
    def ended(self) -> str | None:
        """That the server has ended by itself; None as long as it runs."""
        return self._process.ended

    def close(self) -> None:
        """End the server."""
        self._process.close()


def _as_vllm_runs(wanted: WantedModel) -> VllmModel:
    how = wanted.used.engine
    if how.dtype == "int8":
        raise UserError(
            f"--engine vllm: {wanted.folder} was measured with engine.dtype int8, which vLLM does not have",
            hint="serve it without --engine, or run the task again with engine.dtype=auto",
        )
    return VllmModel(
        wanted.model, wanted.context_length, how.dtype, how.trust_remote_code, how.memory_share, how.tensor_parallel
    )


def _difference(one: VllmModel, other: VllmModel) -> str:
    """Return in what the first of two models is another."""
    if one.folder != other.folder:
        return f"the weights in {one.folder}"
    if one.dtype != other.dtype:
        return f"engine.dtype {one.dtype}"
    return "other settings under engine: (trust_remote_code, memory_share or tensor_parallel)"
