"""The benchmark's table is made of what a run prints as JSON."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent.parent / "benchmarks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
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


def test_the_page_on_scale_holds_what_its_arithmetic_gives() -> None:
    page = (Path(__file__).parent.parent / "docs" / "scale.md").read_text()
    scale = load("scale")
    for table in (scale.tasks_table(), scale.bytes_table(), scale.pools_table()):
        assert table in page


def test_low_data_gains_are_paired_and_have_their_interval() -> None:
    import numpy as np

    better = np.arange(100) % 4 != 0
    worse = np.arange(100) % 2 == 0
    low_data = load("low_data")
    ours, theirs = ({seed: [one] * 5 for seed in (0, 1)} for one in (better, worse))
    gain = low_data._gain(ours, theirs)
    assert gain["value"] == 25.0 and 15 < gain["low"] < 25 < gain["high"] < 35
    assert low_data._gain(ours, ours) == {"value": 0.0, "low": 0.0, "high": 0.0}
