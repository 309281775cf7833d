"""Starts the servers that `serving.py` measures, each in a process of its own, and ends them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import httpx

from metier.engines.llamacpp import ALIAS
from metier.engines.vllm_process import BASE, python_with_vllm
from metier.exporting.gguf_writer import write_gguf
from metier.models.locate import resolve_gguf, resolve_model
from metier.systems.product import read_product

_START = 300.0  # seconds
_LLAMA = """\
import os, sys, time
from pathlib import Path
from metier.engines.llamacpp import start_server
server = start_server(Path(sys.argv[1]), int(sys.argv[2]), 1024, threads=len(os.sched_getaffinity(0)))
print("listening", server.listening_address, flush=True)
time.sleep(1e9)
"""
_SLOTS = 16  # answers at once; more than that wait


@dataclasses.dataclass(frozen=True, slots=True)
class Host:
    """A server that runs: what the table calls it, its address, and its process."""

    title: str
    home: str
    pid: int


Start = Callable[[Sequence[Path], str | None], AbstractContextManager[Host]]
"""From the runs and their base model to a server that runs as long as the context."""


def model_name(host: str, base: str) -> str:
    """Return what a host calls a base model."""
    if host.startswith("llamacpp"):
        return ALIAS
    if host == "vllm":
        return BASE
    return str(resolve_model(base).path) if host == "transformers" else Path(base).name


@contextlib.contextmanager
def metier(runs: Sequence[Path], base: str | None) -> Iterator[Host]:
    """Run ``metier serve``."""
    more = ["--base"] if base is not None else []
    command = [sys.executable, "-m", "metier", "serve", *map(str, runs), "--port", "0", "--queue", "1000", *more]
    with _process(command, stdout=subprocess.PIPE) as made:
        yield Host(f"metier serve{_dtype(runs)}", _told(made, r"serving on (http://\S+?)/?$"), made.pid)


@contextlib.contextmanager
def transformers(runs: Sequence[Path], base: str | None) -> Iterator[Host]:
    """Run ``transformers serve``, in the precision in which Metier runs the model by default."""
    assert base is not None
    command = [str(Path(sys.executable).with_name("transformers")), "serve", model_name("transformers", base)]
    with _listening([*command, "--device", "cpu", "--dtype", _precision()]) as (home, pid):
        yield Host("transformers serve", home, pid)


@contextlib.contextmanager
def vllm(runs: Sequence[Path], base: str | None) -> Iterator[Host]:
    """Run vLLM's own server in its environment (``.venv-vllm``, or that of the ``vllm`` on the PATH)."""
    assert base is not None
    command = [str(python_with_vllm(None)), "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(resolve_model(base).path), "--served-model-name", model_name("vllm", base)]
    command += ["--dtype", _precision(), "--max-model-len", "2048", "--kv-cache-memory-bytes", str(2 * 2**30)]
    with _listening([*command, "--disable-log-stats", "--disable-uvicorn-access-log"]) as (home, pid):
        yield Host("vLLM", home, pid)


@contextlib.contextmanager
def llamacpp(runs: Sequence[Path], base: str | None) -> Iterator[Host]:
    """Run llama.cpp's server with the catalogue's GGUF file of the model."""
    assert base is not None
    with _llamacpp(resolve_gguf(base), "llama.cpp (quantised)") as host:
        yield host


@contextlib.contextmanager
def llamacpp_f16(runs: Sequence[Path], base: str | None) -> Iterator[Host]:
    """Run llama.cpp's server with the same weights as the others, in 16 bits."""
    assert base is not None
    with tempfile.TemporaryDirectory() as folder:
        gguf = Path(folder) / "model.gguf"
        write_gguf(resolve_model(base).path, gguf, "f16", name=base, licence=None)
        with _llamacpp(gguf, "llama.cpp (16 bits)") as host:
            yield host


HOSTS: Mapping[str, Start] = {
    "metier": metier,
    "transformers": transformers,
    "llamacpp": llamacpp,
    "llamacpp-f16": llamacpp_f16,
    "vllm": vllm,
}


@contextlib.contextmanager
def _llamacpp(gguf: Path, title: str) -> Iterator[Host]:
    command = [sys.executable, "-c", _LLAMA, str(gguf), str(_SLOTS)]
    with _process(command, stdout=subprocess.PIPE) as made:
        yield Host(title, _told(made, r"listening (http://\S+)"), made.pid)


def _dtype(runs: Sequence[Path]) -> str:
    """Return what tells runs whose task file names a precision from others."""
    used = [read_product(run / "product").model for run in runs]
    named = {one.engine.dtype for one in used if one is not None} - {"auto"}
    return f" ({', '.join(sorted(named))})" if named else ""


def _precision() -> str:
    """Return the precision in which Metier runs a model here by default."""
    from metier.models.load import pick_dtype

    return str(pick_dtype("auto", "cpu")).removeprefix("torch.")


@contextlib.contextmanager
def _listening(command: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Run a server on a port that is free, and yield its address and process once it is well."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = f"http://127.0.0.1:{port}"
    with _process([*command, "--host", "127.0.0.1", "--port", str(port)], stdout=subprocess.DEVNULL) as made:
        _wait(made, f"{home}/health")
        yield home, made.pid


@contextlib.contextmanager
def _process(command: Sequence[str], stdout: int) -> Iterator[subprocess.Popen[str]]:
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "VLLM_NO_USAGE_STATS": "1"}
    made = subprocess.Popen(command, stdout=stdout, stderr=subprocess.DEVNULL, text=True, env=quiet)
    try:
        yield made
    finally:
        made.terminate()
        try:
            made.wait(20)
        except subprocess.TimeoutExpired:
            made.kill()


def _told(made: subprocess.Popen[str], pattern: str) -> str:
    """Return the address that a server prints once it answers."""
    assert made.stdout is not None
    for line in made.stdout:
        if found := re.search(pattern, line):
            return found[1]
    raise RuntimeError(f"the server ended with {made.wait()}: {' '.join(map(str, made.args))}")  # type: ignore[arg-type]


def _wait(made: subprocess.Popen[str], health: str) -> None:
    end = time.monotonic() + _START
    while time.monotonic() < end:
        if made.poll() is not None:
            raise RuntimeError(f"the server ended with {made.returncode}")
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(health, timeout=5).status_code == 200:
                return
        time.sleep(0.5)
    raise RuntimeError(f"{health} did not answer")
