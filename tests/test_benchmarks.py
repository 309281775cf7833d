"""The benchmarks' arithmetic, and the pages' tables: each is what the scripts make of the result files."""

from __future__ import annotations

import importlib
import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks"
TRANSCRIBED = ("ticket_routing", "speed", "regions", "low_data_transcribed")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the table scripts import each other, as they do when one of them is run."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def tables(on_path: None) -> ModuleType:
    return importlib.import_module("tables")


@pytest.fixture
def pages(tables: ModuleType, tmp_path: Path) -> Path:
    """A copy of the pages that hold tables."""
    for page in tables.PAGES:
        (tmp_path / page).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / page, tmp_path / page)
    return tmp_path


def test_the_committed_pages_hold_what_the_result_files_say(tables: ModuleType) -> None:
    assert tables.main(["--check"]) == 0


def test_a_figure_changed_by_hand_is_found_and_put_right(
    tables: ModuleType, pages: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = pages / "docs" / "results.md"
    before = page.read_text(encoding="utf-8")
    changed = before.replace("| 49.6 |", "| 94.6 |")  # a published figure
    assert changed != before
    page.write_text(changed, encoding="utf-8")
    assert tables.main(["--check"], pages) == 1
    assert "docs/results.md is out of date" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == changed
    assert tables.main([], pages) == 0
    assert page.read_text(encoding="utf-8") == before


def test_every_table_of_the_page_of_results_is_generated(tables: ModuleType) -> None:
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    by_hand = tables.BLOCK.sub("", page)
    assert [line for line in by_hand.splitlines() if line.startswith("|")] == []


def test_every_table_stands_on_a_page(tables: ModuleType) -> None:
    shown = {
        block["name"]
        for page in tables.PAGES
        for block in tables.BLOCK.finditer((ROOT / page).read_text(encoding="utf-8"))
    }
    assert shown == set(tables.TABLES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!-- table: demo -->\nno end", "has no <!-- end -->"),
        ("<!-- table: demo -->\n<!-- table: speed -->\n<!-- end -->", "has no <!-- end -->"),
        ("<!-- table: nothing -->\n<!-- end -->", "no such table: nothing"),
    ],
)
def test_a_wrong_marker_is_refused(tables: ModuleType, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        tables.rewritten(text, "a page")


@pytest.mark.parametrize("name", TRANSCRIBED)
def test_figures_taken_from_a_page_say_where_they_are_from(name: str) -> None:
    about = json.loads((BENCHMARKS / "results" / f"{name}.json").read_text(encoding="utf-8"))["about"]
    assert {"command", "machine", "recorded"} <= about.keys()
    assert "commit" in about["recorded"]


def test_a_gain_is_significant_only_with_an_interval_above_zero_and_a_small_p(on_path: None) -> None:
    tables_format = importlib.import_module("tables_format")
    above, across = {"value": 3.0, "low": 1.0, "high": 5.0}, {"value": 3.0, "low": -1.0, "high": 7.0}
    judged = [
        tables_format.significant(*case) for case in ((above, 0.01), (across, 0.01), (above, 0.05), (above, None))
    ]
    assert judged == [True, False, False, False]


def test_a_difference_near_zero_keeps_its_sign(on_path: None) -> None:
    tables_format = importlib.import_module("tables_format")
    assert tables_format.gain({"value": 3.17, "low": -0.026, "high": 6.5}) == "+3.2 [-0.03, +6.5]"


@pytest.mark.parametrize(
    ("over_encoder", "p", "said"),
    [
        ({"value": 9.0, "low": 4.0, "high": 14.0}, 0.01, "significantly better than every other"),
        ({"value": 9.0, "low": 4.0, "high": 14.0}, 0.2, "not shown to be better"),
        ({"value": 9.0, "low": -1.0, "high": 14.0}, 0.01, "not shown to be better"),
    ],
)
def test_the_demonstration_is_called_better_by_the_one_standard(
    on_path: None, monkeypatch: pytest.MonkeyPatch, over_encoder: dict[str, float], p: float, said: str
) -> None:
    runs = importlib.import_module("tables_runs")

    def system(score: float, gain: dict[str, float] | None, p_value: float | None, seconds: float) -> dict[str, Any]:
        return {
            "scores": {"exact_match": score},
            "specialist_gain": gain,
            "p_value": p_value,
            "seconds": seconds,
        }

    run = {
        "metric": "exact_match",
        "systems": {
            "few_shot": system(20.0, {"value": 70.0, "low": 60.0, "high": 80.0}, 0.001, 4.0),
            "encoder_synthetic": system(81.0, over_encoder, p, 0.5),
            "specialist": system(90.0, None, None, 3.0),
        },
    }
    monkeypatch.setattr(runs, "read", lambda name: run)
    told = runs.demo_verdict()
    assert "small encoder on the synthetic pairs (81.0)" in told
    assert said in told
    assert ("use the other" in told) == (said == "not shown to be better")


def test_the_table_has_a_line_for_each_run_and_its_failures(on_path: None) -> None:
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
    self_guide = importlib.import_module("tables_runs").self_guide
    lines = self_guide({"m/backward/t": done, "m/self-guide/t": {"error": "only 3; more"}}).splitlines()
    assert lines[2].startswith("| m | backward | t | 80 | 50.0 |")
    assert lines[2].endswith("| +5.0 [+1.0, +9.0] | +5.0 [+1.0, +9.0] | 30 |")
    assert "only 3" in lines[3] and "more" not in lines[3]
    assert len({line.count("|") for line in lines}) == 1


def test_the_page_on_scale_holds_what_its_arithmetic_gives() -> None:
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
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
