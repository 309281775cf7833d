from __future__ import annotations

import importlib.util
import tomllib
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from metier.cli import run_cli
from metier.commands import doctor


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Modules that are to count as not installed; all others count as installed."""
    found: set[str] = set()
    spec = importlib.util.find_spec("json")

    def find(name: str) -> ModuleSpec | None:
        return None if name in found else spec

    monkeypatch.setattr(doctor, "find_spec", find)
    return found


def advice(name: str) -> str:
    return next(str(check.mend) for check in doctor.diagnose() if check.name == name)


def test_everything_is_looked_at() -> None:
    checks = {check.name: check for check in doctor.diagnose()}
    assert {"python", "packages", "cores", "memory", "disk", "precision", "model hub", "models"} <= set(checks)
    assert checks["packages"].ok == "ok"
    assert all(check.mend for check in checks.values() if check.ok != "ok")


def test_what_is_missing_ends_with_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "_NEEDED", ("torch", "a-package-that-is-not-there"))
    assert run_cli(["doctor"]) == 1
    assert "a-package-that-is-not-there" in capsys.readouterr().out


def test_the_extra_is_printed_with_its_brackets(
    absent: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    absent |= {"vllm", "errant"}
    assert run_cli(["doctor"]) == 0
    assert "pip install 'metier[vllm,errant]'" in capsys.readouterr().out


def test_errant_without_its_english_model_is_not_installed(absent: set[str]) -> None:
    absent.add("en_core_web_sm")
    told = advice("extras")
    assert "python -m spacy download en_core_web_sm" in told
    assert "pip install" not in told


def test_nothing_is_advised_where_every_extra_is_installed(absent: set[str]) -> None:
    assert absent == set()
    assert advice("extras") == "None"


def test_an_extra_that_needs_two_modules_needs_both(absent: set[str]) -> None:
    absent.add("httpx")
    assert "metier[llamacpp,openai]" in advice("extras")


def test_every_extra_of_the_package_is_looked_for() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(doctor._EXTRAS) == set(project["optional-dependencies"]) - {"dev", "torture"}


def test_the_engine_that_is_advised_fits_the_device(absent: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "cpu_prefers_bf16", lambda: False)
    monkeypatch.setattr(doctor, "cpu_multiplies_int8", lambda: False)
    absent |= {"vllm", "xllamacpp"}
    told = {}
    for device in ("cuda", "mps", "cpu"):
        monkeypatch.setattr(doctor, "pick_device", lambda _, device=device: device)
        told[device] = str(doctor._engine().mend)
    assert "metier[vllm]" in told["cuda"]
    assert told["mps"] == "None"
    assert "metier[llamacpp]" in told["cpu"]
