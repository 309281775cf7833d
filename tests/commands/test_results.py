"""``metier compare`` of finished runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metier.cli import run_cli


def test_runs_are_compared(task_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(task_run / "out")
    assert run_cli(["compare", out, out, "--html", str(tmp_path / "page.html"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert found["lines"][0]["rows"] == 10
    assert found["pairings"][0]["gain"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert "Specialists on the same rows" in (tmp_path / "page.html").read_text()


def test_what_is_no_finished_run_is_not_compared(
    task_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["compare", str(tmp_path)]) == 2
    assert "there is no finished run in it" in capsys.readouterr().err
    (tmp_path / "result.json").write_text("{}")
    assert run_cli(["compare", str(task_run / "out"), str(tmp_path)]) == 2
    assert "the same metier run command writes it again" in capsys.readouterr().err
