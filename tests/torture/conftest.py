"""A run that lacked nothing and was left alone, for all files that a process tests: what others must come to."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.cli import run_cli
from tests.runs.made import make_task
from tests.torture.how import OVERRIDES


@pytest.fixture(scope="session")
def alone(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task's folder, with its run in ``out``; neither is to be changed."""
    folder = tmp_path_factory.mktemp("alone")
    task = make_task(folder, tiny_model)
    assert run_cli(["run", str(task), *OVERRIDES, "--out", str(folder / "out"), "--quiet"]) == 0
    return folder
