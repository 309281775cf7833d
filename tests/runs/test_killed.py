"""A run that is killed at every write, and started again each time, ends with the bytes of one left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from metier.cli import run_cli
from tests.runs.made import contents, make_task, steps

OVERRIDES = ["evaluation.baselines=[few_shot]", "evaluation.timed_rows=1"]


def test_killed_at_every_write_a_run_ends_with_the_same_bytes(tiny_model: Path, tmp_path: Path) -> None:
    task, kills, out = make_task(tmp_path, tiny_model), tmp_path / "kills", tmp_path / "out"
    alone = tmp_path / "alone"
    assert run_cli(["run", str(task), *OVERRIDES, "--out", str(alone), "--quiet"]) == 0
    command = [sys.executable, "-m", "tests.runs.killer", str(kills)]
    command += ["run", str(task), *OVERRIDES, "--out", str(out), "--quiet"]
    root = Path(__file__).parents[2]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]

    expected, found = contents(alone), contents(out)
    assert set(found) == set(expected)
    differing = [name for name in expected if found[name] != expected[name]]
    assert {name: (expected[name][-1000:], found[name][-1000:]) for name in differing} == {}

    died = kills.read_text()
    for step in steps(alone):
        for file in ("manifest.json", "result.json", "cost.json"):
            assert f"{out / step}.partial/{file}\n" in died, f"not killed at the write of {step}/{file}"
        assert f"{out / step}\n" in died, f"not killed when {step} was about to get its name"
    assert f"{out / 'report.html'}\n" in died and f"{out / 'result.json'}\n" in died
    assert "checkpoint" in died
