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


def test_the_score_over_several_sets_is_the_mean_of_theirs() -> None:
    import numpy as np

    low_data = load("low_data")
    found = low_data.scored_over_sets([np.array([True, False]), np.array([True] * 8)])
    assert found.corpus == 75.0
    assert list(found.rows) == [100, 0, *[100] * 8]


def test_a_way_that_finds_a_tasks_rows_is_told_from_one_that_finds_its_topics() -> None:
    import numpy as np

    from metier.selection import kcenter
    from metier.selection.cluster import cluster

    regions = load("regions")
    assert regions.data_set("ag_news_classify_with_choices") == "ag_news" and regions.data_set("own") == "own"
    rng = np.random.default_rng(0)
    kinds = [f"{name}_{k}" for name in ("ag_news", "paws", "trec") for k in ("a", "b")]
    templates = np.array([kind for kind in kinds for _ in range(150)])
    axes = np.eye(8)
    rows = np.array([axes[kinds.index(t) // 2] + 0.1 * rng.normal(size=8) for t in templates])
    codes = kcenter.encode((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), largest=1.0)
    found = regions.measure(codes, templates, cluster(codes, 3, 0), 5, 0.05)
    assert all(len(values) == 6 for values in found.values())
    assert np.mean(found["most like all texts, twice the budget"], axis=0)[1:].tolist() == [1.0, 1.0]
    assert np.mean(found["most like all texts, ten times"], axis=0)[1] < 0.7
