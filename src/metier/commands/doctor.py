"""Says what this machine has, what would be slow or missing, and how to mend it. Changes nothing."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import psutil

from metier.core.cache import cache_folder
from metier.core.net import hub_answers
from metier.models.fetch import known_models
from metier.models.load import cpu_has_bf16

_NEEDED = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "pydantic",
    "rouge-score",
    "datasketch",
)
_EXTRAS = {
    "vllm": "vllm",
    "llamacpp": "xllamacpp",
    "openai": "tenacity",
    "errant": "errant",
    "harper": "harper",
    "ray": "ray",
}
_GB = 1e9


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at.

    Attributes:
        name: What.
        ok: ``ok``, ``slow`` (works, but could be faster or fuller) or ``missing`` (a run would fail).
        detail: What was found.
        mend: What to do about it; None where nothing is to be done.
    """

    name: str
    ok: Literal["ok", "slow", "missing"]
    detail: str
    mend: str | None = None


def diagnose() -> list[Check]:
    """Look at everything a run needs; takes a few seconds."""
    checks: list[Callable[[], Check]] = [
        _python,
        _packages,
        _cores,
        _memory,
        _disk,
        _accelerator,
        _precision,
        _pip,
    ]
    return [*(check() for check in checks), _engine(), _extras(), _hub(), _models()]


def _python() -> Check:
    return Check("python", "ok", f"{sys.version.split()[0]} at {sys.prefix}")


def _packages() -> Check:
    missing = []
    for name in _NEEDED:
        try:
            version(name)
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check("packages", "missing", f"not installed: {', '.join(missing)}", "pip install metier")
    return Check("packages", "ok", ", ".join(f"{name} {version(name)}" for name in _NEEDED[:4]))


def _cores() -> Check:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    if threads > cores:
        return Check("cores", "slow", f"{cores} cores, {threads} threads", f"set OMP_NUM_THREADS={cores}")
    busy = psutil.getloadavg()[0]
    if busy > cores * 0.7:
        return Check(
            "cores",
            "slow",
            f"{cores} cores, load {busy:.1f}",
            "stop other work: threads that wait slow all down",
        )
    return Check("cores", "ok", f"{cores} cores, {threads} threads")


def _memory() -> Check:
    memory = psutil.virtual_memory()
    detail = f"{memory.available / _GB:.1f} of {memory.total / _GB:.1f} GB free"
    if memory.available < 2.5 * _GB:
        return Check("memory", "missing", detail, "the smallest model needs 2.5 GB: close other programs")
    return Check("memory", "ok", detail)


def _disk() -> Check:
    folder = next(p for p in (cache_folder(), *cache_folder().parents) if p.exists())
    free = shutil.disk_usage(folder).free
    detail = f"{free / _GB:.1f} GB free at the model cache"
    if free < 1.5 * _GB:
        return Check("disk", "missing", detail, "free some space, or set METIER_CACHE to a folder on another disk")
    return Check("disk", "ok", detail)


def _accelerator() -> Check:
    import torch

    if torch.cuda.is_available():
        return Check("accelerator", "ok", torch.cuda.get_device_name())
    if torch.backends.mps.is_available():
        return Check("accelerator", "ok", "Apple GPU (mps)")
    return Check("accelerator", "slow", "none: models run on the processor", "fine up to about 0.5 B parameters")


def _precision() -> Check:
    half, single = _matmul_seconds("bfloat16"), _matmul_seconds("float32")
    detail = f"bfloat16 is {single / half:.1f} times as fast as float32 here"
    if not cpu_has_bf16():
        return Check("precision", "slow", f"this processor has no bfloat16 unit; {detail}", "float32 is used on it")
    return Check("precision", "ok", detail)


def _matmul_seconds(dtype: str) -> float:
    import torch

    a = torch.ones(512, 1024, dtype=getattr(torch, dtype))
    b = torch.ones(1024, 1024, dtype=getattr(torch, dtype))
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return best


def _pip() -> Check:
    if find_spec("pip") is None:
        return Check(
            "pip",
            "slow",
            "not in this environment",
            "python -m ensurepip (it fetches models where no hub answers)",
        )
    return Check("pip", "ok", version("pip"))


def _engine() -> Check:
    """Say which engine to run a model with here, for which job, and why (docs/scale.md has the figures)."""
    import torch

    if torch.cuda.is_available():
        if find_spec("vllm") is not None:
            return Check(
                "engine", "ok", "set engine.kind=vllm: it writes fastest on a GPU; it scores and runs LoRA too"
            )
        mend = "pip install 'metier[vllm]', then engine.kind=vllm"
        return Check("engine", "slow", "transformers works here; vllm writes several times as fast on a GPU", mend)
    if cpu_has_bf16():
        return Check(
            "engine",
            "ok",
            "transformers, for both jobs: on a processor with bfloat16 it writes many texts at once faster than "
            "llama.cpp (by benchmarks/generation.py), and llama.cpp cannot score labels",
        )
    if find_spec("xllamacpp") is not None:
        return Check("engine", "slow", "without bfloat16, llama.cpp may write faster", "try engine.kind=llamacpp")
    return Check(
        "engine",
        "slow",
        "transformers; without bfloat16, llama.cpp may write faster (it cannot score labels)",
        "pip install 'metier[llamacpp]', then engine.kind=llamacpp",
    )


def _extras() -> Check:
    """Say which parts that are not always installed are here; nothing fails for want of them unless it is asked for."""
    here = [name for name, module in _EXTRAS.items() if find_spec(module) is not None]
    lacking = [name for name in _EXTRAS if name not in here]
    detail = f"here: {', '.join(here) or 'none'}"
    if not lacking:
        return Check("extras", "ok", detail)
    return Check("extras", "ok", f"{detail}; not here: {', '.join(lacking)}", f"pip install 'metier[{lacking[0]}]'")


def _hub() -> Check:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return Check("model hub", "slow", "switched off by HF_HUB_OFFLINE", "catalogue models come from PyPI wheels")
    if hub_answers(constants.ENDPOINT):
        return Check("model hub", "ok", "answers")
    return Check(
        "model hub",
        "slow",
        "does not answer",
        "catalogue models come from PyPI wheels; hub ids cannot be used",
    )


def _models() -> Check:
    here = [model.name for model in known_models() if model.here]
    if not here:
        return Check(
            "models",
            "slow",
            f"none in {_short(cache_folder())}",
            "metier models fetch NAME; a run does it too",
        )
    return Check("models", "ok", ", ".join(here))


def _short(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
