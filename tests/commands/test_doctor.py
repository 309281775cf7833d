from __future__ import annotations

import pytest

from metier.cli import run_cli
from metier.commands import doctor


def test_everything_is_looked_at() -> None:
    checks = {check.name: check for check in doctor.diagnose()}
    assert {"python", "packages", "cores", "memory", "disk", "precision", "model hub", "models"} <= set(checks)
    assert checks["packages"].ok == "ok"
    assert all(check.mend for check in checks.values() if check.ok != "ok")


def test_what_is_missing_ends_with_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "_NEEDED", ("torch", "a-package-that-is-not-there"))
    assert run_cli(["doctor"]) == 1
    assert "a-package-that-is-not-there" in capsys.readouterr().out
