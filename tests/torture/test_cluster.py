"""A run on a Ray cluster of two nodes, one of which is killed in the middle: the same bytes as without one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metier.cli import run_cli
from tests.runs.made import FEW, contents, make_task
from tests.torture.how import in_full

MANY = ("synthesis.inputs=960", *FEW)  # so that both nodes have jobs for a while


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of two nodes, each with processes of its own and one core."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    options = {"num_cpus": 1, "include_dashboard": False}
    made = cluster_utils.Cluster(initialize_head=True, head_node_args=options)
    yield made
    made.shutdown()


@in_full
def test_a_run_ends_with_the_same_bytes_when_a_node_is_killed(cluster: Any, tiny_model: Path, tmp_path: Path) -> None:
    task, alone, out = make_task(tmp_path, tiny_model), tmp_path / "alone", tmp_path / "out"
    assert run_cli(["run", str(task), *MANY, "--out", str(alone), "--quiet"]) == 0
    second = cluster.add_node(num_cpus=1)
    command = [sys.executable, "-m", "metier", "run", str(task), *MANY, "--launch", f"ray:{cluster.address}"]
    started = subprocess.Popen(
        [*command, "launch.workers=2", "--out", str(out), "--quiet"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    while started.poll() is None and len(list(out.glob("synthesis-*.partial/*.json"))) < 3:
        time.sleep(0.05)
    assert started.poll() is None and not list(out.glob("synthesis-*/manifest.json")), "killed in the middle"
    cluster.remove_node(second, allow_graceful=False)
    told = started.communicate(timeout=500)[1]
    assert started.returncode == 0, told[-2000:]
    found, expected = contents(out), contents(alone)
    assert {name for name in expected | found if found.get(name) != expected.get(name)} == {"task.json"}, "its launch:"
