"""vLLM's own server as a process of this one: found, started, waited for, and ended with it.

It is in an environment of its own, as vLLM wants other versions of packages than Metier. It listens on no port but on a
socket file in a folder that only this user may enter, and wants a key that is made up for it. No prompt is in what it
logs, and it sends no usage statistics.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import secrets
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from metier.core.errors import MetierError, UserError
from metier.core.progress import Reporter
from metier.engines import vllm_child
from metier.engines.server import Server, check_installed
from metier.engines.vllm import ADAPTERS, on_a_processor, rank_for

FOLDER = ".venv-vllm"
"""Where ``make vllm-env`` puts vLLM's environment."""
BASE = "base"
"""What the model without an adapter is called on the server."""
_PATIENCE = 1200.0  # seconds to load a model
_SAYS = 15.0  # seconds between two lines that say that it is still loading
_SHOWN = 12  # last lines of its log, in an error
_ENDS = 15.0  # seconds until it is killed
_ASKED = 600.0  # seconds that an answer may take
_NOT_ITS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "VLLM_ENABLE_V1_MULTIPROCESSING")  # of this environment


@dataclasses.dataclass(frozen=True, slots=True)
class VllmModel:
    """A model, and how vLLM is to run it.

    Attributes:
        folder: Its files.
        context_length: The most tokens of a prompt and its answer.
        dtype: Its precision.
        trust_remote_code: Run code that comes with the model.
        memory_share: Share of the GPU's memory that vLLM may take.
        tensor_parallel: GPUs that share the model.
    """

    folder: Path
    context_length: int
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    trust_remote_code: bool = False
    memory_share: float = 0.85
    tensor_parallel: int = 1


def python_with_vllm(folder: Path | None) -> Path:
    """Return the Python of the environment that vLLM is in.

    Args:
        folder: The environment's; None: `FOLDER` here, if there is one, or that of the ``vllm`` on the PATH.

    Raises:
        UserError: There is none, or no vLLM in it.
    """
    hint = "make vllm-env makes one for processors; for GPUs: python -m venv FOLDER, and pip install vllm there"
    if folder is None and Path(FOLDER).is_dir():
        folder = Path(FOLDER)
    if folder is None:
        found = shutil.which("vllm")
        if found is None:
            raise UserError(
                f"--engine vllm: no vLLM is found: --vllm names no environment, there is no {FOLDER} here, and no "
                "vllm on the PATH",
                hint=hint,
            )
        programs = Path(found).resolve().parent
    else:
        programs = folder / "bin"
    if not (programs / "vllm").is_file():
        raise UserError(f"--vllm {folder or programs}: there is no vLLM in this environment", hint=hint)
    if not (programs / "python").exists():
        raise UserError(f"{programs}: there is no Python beside vllm", hint="name vLLM's environment: --vllm FOLDER")
    return (programs / "python").absolute()


class VllmProcess:
    """A server of one model, with and without adapters; it ends when this process does.

    Args:
        python: The Python of vLLM's environment.

    Raises:
        UserError: The extra that asks servers is not installed.
    """

    def __init__(self, python: Path) -> None:
        check_installed()
        self._python = python
        self._process: subprocess.Popen[bytes] | None = None
        self._log: collections.deque[str] = collections.deque(maxlen=200)
        self._folder: Path | None = None
        self._key = secrets.token_urlsafe(32)

    def start(self, model: VllmModel, adapters: Mapping[str, Path], reporter: Reporter) -> None:
        """Start the server and wait until it answers.

        Args:
            model: The model.
            adapters: PEFT adapters for it, by the names that they are to have.
            reporter: Is told how it goes.

        Raises:
            MetierError: It ends, or does not answer in time.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="metier-"))
        told = json.dumps(_wanted(model, adapters, self._socket))
        self._process = subprocess.Popen(
            [str(self._python), "-u", str(Path(vllm_child.__file__).resolve()), told],
            stdin=subprocess.PIPE,  # it is held open for as long as this process lives
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(self._key),
            start_new_session=True,  # Ctrl-C is for this process, which first finishes what it is answering
        )
        threading.Thread(target=self._read, name="vLLM's log", daemon=True).start()
        try:
            self._wait(reporter)
        except BaseException:
            self.close()
            raise

    def server(self, name: str, concurrency: int) -> Server:
        """Return how the model is asked, with an adapter by its name or as `BASE`."""
        assert self._folder is not None
        return Server(
            "http://vllm/v1",
            name,
            key=self._key,
            socket=self._socket,
            concurrency=concurrency,
            timeout=_ASKED,
            retries=0,
        )

    @property
    def ended(self) -> str | None:
        """That it has ended by itself, and with which code; None as long as it runs."""
        code = self._process.poll() if self._process is not None else None
        return None if code is None else f"vLLM's server has ended (exit code {code})"

    def close(self) -> None:
        """End the server, and wait until it has ended."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                assert self._process.stdin is not None
                self._process.stdin.close()
            try:
                self._process.wait(_ENDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _socket(self) -> Path:
        assert self._folder is not None
        return self._folder / "s"

    def _wait(self, reporter: Reporter) -> None:
        """Wait until the server says that it is well, and say now and then that it is loading."""
        begun = said = time.monotonic()
        reporter.say("starting vLLM, which takes a while")
        while not self._is_well():
            if self.ended is not None:
                time.sleep(0.2)  # for the last of its lines
                raise MetierError(f"{self.ended} while it was loading. Its last lines:\n{self._last_lines()}")
            now = time.monotonic()
            if now - begun > _PATIENCE:
                raise MetierError(
                    f"vLLM's server does not answer after {_PATIENCE:.0f} s. Its last lines:\n{self._last_lines()}"
                )
            if now - said > _SAYS:
                said = now
                reporter.say(f"  vLLM is loading, {now - begun:.0f} s: {self._log[-1][:100] if self._log else '…'}")
            time.sleep(0.2)
        reporter.say(f"vLLM is ready after {time.monotonic() - begun:.0f} s")

    def _is_well(self) -> bool:
        import httpx

        try:
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(self._socket)), timeout=30) as client:
                return client.get("http://vllm/health").status_code == 200
        except httpx.TransportError:
            return False

    def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        for line in self._process.stdout:
            if text := line.decode("utf-8", "replace").strip():
                self._log.append(text)

    def _last_lines(self) -> str:
        return "\n".join(f"  {line[:300]}" for line in list(self._log)[-_SHOWN:]) or "  (none)"


def _wanted(model: VllmModel, adapters: Mapping[str, Path], socket: Path) -> dict[str, object]:
    """Return what `vllm_child.arguments` makes vLLM's command line of."""
    options: dict[str, str | Sequence[str] | None] = {
        "uds": str(socket),
        "served-model-name": BASE,
        "dtype": model.dtype,
        "max-model-len": str(model.context_length),
        "gpu-memory-utilization": str(model.memory_share),
        "tensor-parallel-size": str(model.tensor_parallel),
        "generation-config": "vllm",  # nothing of the model's own: a request says all that it wants
        "enable-prefix-caching": None,
        "disable-uvicorn-access-log": None,
        "disable-log-stats": None,
    }
    if model.trust_remote_code:
        options["trust-remote-code"] = None
    if adapters:
        modules = [json.dumps({"name": name, "path": str(path.resolve())}) for name, path in adapters.items()]
        options |= {
            "enable-lora": None,
            "lora-modules": modules,
            "max-lora-rank": str(max(map(rank_for, adapters.values()))),
            "max-loras": str(min(ADAPTERS, len(adapters))),
            "max-cpu-loras": str(max(ADAPTERS, len(adapters))),
        }
    here = on_a_processor({"dtype": model.dtype, "gpu_memory_utilization": model.memory_share})
    on_cpu = {
        "dtype": str(here["dtype"]),
        "no-enable-chunked-prefill": None,
        "kv-cache-memory-bytes": str(here["kv_cache_memory_bytes"]),
        "block-size": str(here["block_size"]),
    }
    return {"model": str(model.folder.resolve()), "options": options, "on_cpu": on_cpu}


def _environment(key: str) -> dict[str, str]:
    own = {"VLLM_API_KEY": key, "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "INFO"}
    return {name: value for name, value in os.environ.items() if name not in _NOT_ITS} | own
