"""The benchmark's table is made of what a run prints as JSON."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent.parent / "benchmarks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_has_a_line_for_each_run_and_its_failures() -> None:
    gain = {"value": 5.0, "low": 1.0, "high": 9.0}
    system = {"scores": {"rouge_l": 50.0}, "specialist_gain": gain, "seconds": 1.0}
    absent: dict[str, Any] = {"scores": {}, "specialist_gain": None, "note": "it could not be had"}
    done = {
        "metric": "rouge_l",
        "systems": {
            "copied_input": system,
            "few_shot": system,
            "specialist": {**system, "specialist_gain": None},
            "tfidf": absent,
        },
        "counts": {"training_pairs": 80},
        "gain": gain,
        "seconds": {"training": 10.0, "synthesis": 20.4},
    }
    lines = (
        load("self_guide").markdown({"m/backward/t": done, "m/self-guide/t": {"error": "only 3; more"}}).splitlines()
    )
    assert lines[2].startswith("| m | backward | t | 80 | 50.0 |")
    assert lines[2].endswith("| +5.0 [+1.0, +9.0] | +5.0 [+1.0, +9.0] | 30 |")
    assert "only 3" in lines[3]
    assert len({line.count("|") for line in lines}) == 1
