"""Which precision fits a processor."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.models.processor import cpu_multiplies_int8, cpu_prefers_bf16


@pytest.mark.parametrize(
    ("vendor", "flags", "prefers"),
    [
        ("AuthenticAMD", "avx512f avx512_bf16", True),
        ("AuthenticAMD", "avx512f", False),
        ("GenuineIntel", "avx512f avx512_bf16", False),
        ("GenuineIntel", "avx512f avx512_bf16 amx_bf16", True),
        ("", "asimd bf16", True),
    ],
)
def test_bfloat16_is_used_where_it_is_multiplied_faster(tmp_path: Path, vendor: str, flags: str, prefers: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"vendor_id\t: {vendor}\nflags\t\t: {flags}\n", encoding="utf-8")
    assert cpu_prefers_bf16(cpuinfo) is prefers


def test_without_word_of_the_processor_float32_is_used(tmp_path: Path) -> None:
    assert not cpu_prefers_bf16(tmp_path / "cpuinfo")


def test_the_instructions_are_read_from_what_linux_says(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    assert not cpu_multiplies_int8(cpuinfo)
    cpuinfo.write_text("flags\t\t: avx512f avx512_bf16\n", encoding="utf-8")
    assert not cpu_multiplies_int8(cpuinfo)
    cpuinfo.write_text("flags\t\t: avx512f avx512_vnni\n", encoding="utf-8")
    assert cpu_multiplies_int8(cpuinfo)
