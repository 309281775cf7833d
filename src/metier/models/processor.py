"""What kinds of numbers the processor multiplies fast, by what Linux says of it."""

from __future__ import annotations

from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def cpu_prefers_bf16(cpuinfo: Path = _CPUINFO) -> bool:
    """Whether this processor multiplies bfloat16 faster than float32: with AMX, on Arm, and AMD with AVX-512 BF16.

    Intel's AVX-512 BF16 alone, as where a hypervisor hides AMX, does half as many products a second as float32
    (docs/scale.md).

    Args:
        cpuinfo: What Linux says of the processor; elsewhere there is no such file, and float32 is right.
    """
    words = _words(cpuinfo)
    if words & {"amx_bf16", "bf16"}:
        return True
    return "avx512_bf16" in words and "GenuineIntel" not in words


def cpu_multiplies_int8(cpuinfo: Path = _CPUINFO) -> bool:
    """Whether this processor has instructions for products of 8-bit integers (VNNI).

    Args:
        cpuinfo: What Linux says of the processor; elsewhere there is no such file.
    """
    return bool({"avx512_vnni", "avx_vnni"} & _words(cpuinfo))


def _words(cpuinfo: Path) -> set[str]:
    return set(cpuinfo.read_text(errors="replace").split()) if cpuinfo.exists() else set()
