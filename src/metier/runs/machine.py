"""Says what this machine is."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import psutil

from metier.report.facts import MachineFacts

_PACKAGES = ("torch", "transformers", "trl", "peft")


def machine() -> MachineFacts:
    """Return what this machine is."""
    import torch

    return MachineFacts(
        cpu=_cpu_name(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        accelerator=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        versions={"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        threads=torch.get_num_threads(),
    )


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
