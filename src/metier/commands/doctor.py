"""Says what this machine has, what would be slow or missing, and what to do about it. Changes nothing."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import psutil
from rich.text import Text

from metier.core.cache import cache_folder
from metier.core.net import hub_answers
from metier.models.fetch import known_models
from metier.models.load import pick_device, pick_dtype
from metier.models.processor import cpu_multiplies_int8, cpu_prefers_bf16

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
# Each optional extra, and the modules that it needs.
_EXTRAS = {
    "vllm": ("vllm",),
    "llamacpp": ("xllamacpp", "httpx", "tenacity"),
    "openai": ("httpx", "tenacity"),
    "errant": ("errant",),
    "harper": ("harper",),
    "ray": ("ray",),
    "s3": ("s3fs",),
    "gcs": ("gcsfs",),
    "static": ("model2vec",),
    "faiss": ("faiss",),
    "readability": ("textstat",),
    "serve": ("fastapi", "uvicorn", "prometheus_client"),
}
_SPACY_MODEL = "en_core_web_sm"  # ERRANT needs it, and PyPI does not have it
Level = Literal["ok", "slow", "missing"]
_WITHOUT_HUB = "models in the catalogue come from PyPI instead; other hub models only if already downloaded"
_GB = 1e9


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at.

    Attributes:
        name: What.
        ok: ``ok``, ``slow`` (works, but could be faster or do more) or ``missing`` (a run would fail).
        detail: What was found.
        mend: What to do about it; None where nothing is to be done.
    """

    name: str
    ok: Level
    detail: Text
    mend: Text | None = None


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


def _check(name: str, ok: Level, detail: str, mend: str | None = None) -> Check:
    # As Text, since rich would read the extra in 'metier[vllm]' as markup and leave it out.
    return Check(name, ok, Text(detail), None if mend is None else Text(mend))


def _python() -> Check:
    return _check("python", "ok", f"{sys.version.split()[0]} at {sys.prefix}")


def _packages() -> Check:
    missing = []
    for name in _NEEDED:
        try:
            version(name)
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return _check("packages", "missing", f"not installed: {', '.join(missing)}", "pip install metier")
    return _check("packages", "ok", ", ".join(f"{name} {version(name)}" for name in _NEEDED[:4]))


def _cores() -> Check:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    if threads > cores:
        return _check("cores", "slow", f"{cores} cores, {threads} threads", f"set OMP_NUM_THREADS={cores}")
    busy = psutil.getloadavg()[0]
    if busy > cores * 0.7:
        return _check(
            "cores",
            "slow",
            f"{cores} cores, load {busy:.1f}",
            "stop other programs: sharing the cores slows everything far more than twofold",
        )
    return _check("cores", "ok", f"{cores} cores, {threads} threads")


def _memory() -> Check:
    memory = psutil.virtual_memory()
    detail = f"{memory.available / _GB:.1f} of {memory.total / _GB:.1f} GB free"
    if memory.available < 2.5 * _GB:
        return _check("memory", "missing", detail, "the smallest model needs 2.5 GB: close other programs")
    return _check("memory", "ok", detail)


def _disk() -> Check:
    folder = next(p for p in (cache_folder(), *cache_folder().parents) if p.exists())
    free = shutil.disk_usage(folder).free
    detail = f"{free / _GB:.1f} GB free at the model cache"
    if free < 1.5 * _GB:
        return _check("disk", "missing", detail, "free some space, or set METIER_CACHE to a folder on another disk")
    return _check("disk", "ok", detail)


def _accelerator() -> Check:
    import torch

    if torch.cuda.is_available():
        return _check("accelerator", "ok", torch.cuda.get_device_name())
    if torch.backends.mps.is_available():
        return _check("accelerator", "ok", "Apple GPU (mps)")
    return _check(
        "accelerator",
        "slow",
        "none: models run on the processor",
        "nothing to do for models of up to about 0.5 billion parameters; larger ones need a GPU",
    )


def _precision() -> Check:
    device = pick_device("auto")
    precision = str(pick_dtype("auto", device)).removeprefix("torch.")
    if device != "cpu":
        return _check("precision", "ok", f"{precision} on {device}")
    detail = f"bfloat16 is {_matmul_seconds('float32') / _matmul_seconds('bfloat16'):.1f} times as fast as float32 here"
    if precision == "float32":
        return _check("precision", "ok", f"float32; {detail}")
    return _check("precision", "ok", detail)


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
        return _check(
            "pip",
            "slow",
            "not in this environment",
            "python -m ensurepip (without pip, a model can come only from the hub)",
        )
    return _check("pip", "ok", version("pip"))


def _engine() -> Check:
    """Say which engine to run a model with here, for which job, and why (docs/scale.md has the figures)."""
    device = pick_device("auto")
    if device == "cuda":
        if find_spec("vllm") is not None:
            return _check(
                "engine", "ok", "set engine.kind=vllm: it is fastest on a GPU, scores, and runs LoRA adapters"
            )
        mend = "pip install 'metier[vllm]', then set engine.kind=vllm"
        return _check("engine", "slow", "transformers works here; vllm is several times as fast on a GPU", mend)
    if device != "cpu":
        return _check("engine", "ok", f"transformers, on {device}")
    if cpu_prefers_bf16():
        return _check(
            "engine",
            "ok",
            "transformers, for both jobs: on a processor with bfloat16 it writes many texts at once faster than "
            "llama.cpp (by benchmarks/generation.py), and llama.cpp cannot score labels",
        )
    if cpu_multiplies_int8():
        return _check(
            "engine",
            "ok",
            "transformers; with engine.dtype=int8 it is about twice as fast, and close decisions may change "
            "(docs/scale.md)",
        )
    detail = "transformers; without bfloat16, llama.cpp may write faster (it cannot score labels)"
    if find_spec("xllamacpp") is not None:
        return _check("engine", "slow", detail, "try engine.kind=llamacpp")
    return _check("engine", "slow", detail, "pip install 'metier[llamacpp]', then set engine.kind=llamacpp")


def _extras() -> Check:
    """Say which optional extras are installed; a run fails without one only if it asks for it."""
    here = [name for name, modules in _EXTRAS.items() if all(find_spec(module) for module in modules)]
    lacking = [name for name in _EXTRAS if name not in here]
    if "errant" in here and find_spec(_SPACY_MODEL) is None:
        here.remove("errant")
        lacking.append("errant's English model")
    detail = f"installed: {', '.join(here) or 'none'}"
    if not lacking:
        return _check("extras", "ok", detail)
    return _check("extras", "ok", f"{detail}; not installed: {', '.join(lacking)}", _how_to_install(lacking))


def _how_to_install(lacking: Sequence[str]) -> str:
    """Return how to install extras, were they wanted."""
    advice = []
    if extras := [name for name in lacking if name in _EXTRAS]:
        advice.append(f"if you need them: pip install 'metier[{','.join(extras)}]'")
    if "vllm" in lacking:
        advice.append("vllm needs a GPU")
    if any("errant" in name for name in lacking):
        advice.append(f"errant needs its English model too: python -m spacy download {_SPACY_MODEL}")
    return "; ".join(advice)


def _hub() -> Check:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return _check("model hub", "slow", "switched off by HF_HUB_OFFLINE", _WITHOUT_HUB)
    if hub_answers(constants.ENDPOINT):
        return _check("model hub", "ok", "answers")
    return _check(
        "model hub",
        "slow",
        "does not answer",
        _WITHOUT_HUB,
    )


def _models() -> Check:
    here = [model.name for model in known_models() if model.here]
    if not here:
        return _check(
            "models",
            "slow",
            f"none in {_short(cache_folder())}",
            "nothing: a run fetches its model; metier models fetch NAME does so beforehand",
        )
    return _check("models", "ok", ", ".join(here))


def _short(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
