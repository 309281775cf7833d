from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from metier.cli import run_cli
from metier.commands.options import open_console, scenario_of


def test_help_is_quick_and_brings_no_torch() -> None:
    """Half a second on an idle machine; what is counted is the processor's time, so that others' work is not."""
    code = (
        "import sys, time; from metier.cli import run_cli; run_cli(['--help']); "
        "print('torch' in sys.modules, time.process_time())"
    )
    best = 9.9
    for _ in range(2):
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        *_, torch, seconds = told.split()
        assert torch == "False" and "synthesize" in told
        best = min(best, float(seconds))
    assert best < 1.5


STOPPED_AT = """
import os, signal, sys

class Stop:
    def find_spec(self, name, *more):
        if name == "{name}":
            os.kill(os.getpid(), signal.{signal})

sys.meta_path.insert(0, Stop())
sys.argv = ["metier", "schema"]
from metier.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("name", "signal", "code"),
    [("metier.cli", "SIGINT", 130), ("typer", "SIGINT", 130), ("pydantic", "SIGINT", 130), ("typer", "SIGTERM", 143)],
)
def test_a_signal_during_the_first_imports_ends_it_with_a_line(name: str, signal: str, code: int) -> None:
    started = STOPPED_AT.format(name=name, signal=signal)
    done = subprocess.run([sys.executable, "-c", started], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "stopped; the same command resumes\n")


def test_the_users_mistakes_end_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["run", str(tmp_path / "none.yaml")]) == 2
    assert "no such file" in capsys.readouterr().err
    assert run_cli(["nonsense"]) == 2
    assert run_cli(["run", "--limt", "3"]) == 2


def test_init_validate_and_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_cli(["init", "mine"]) == 0
    assert run_cli(["validate", "mine/task.yaml"]) == 0
    assert "3 to test on" in capsys.readouterr().out
    assert run_cli(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Task"


def test_validate_finds_a_wrong_test_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run_cli(["init", "mine"])
    with (tmp_path / "mine" / "test.jsonl").open("a") as file:
        file.write('{"input": "no output here"}\n')
    assert run_cli(["validate", "mine/task.yaml"]) == 2
    assert "test.jsonl:4: there is no output beside input" in capsys.readouterr().err


def test_models_list_and_a_typo(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["models", "list"]) == 0
    assert "smollm2-135m-instruct" in capsys.readouterr().out
    assert run_cli(["models", "fetch", "smollm-135m-instruct"]) == 2
    assert "did you mean smollm2-135m-instruct?" in capsys.readouterr().err


def test_an_unforeseen_failure_is_one_line_unless_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("metier.tasks.read_task.task_json_schema", fail)
    assert run_cli(["schema"]) == 1
    assert capsys.readouterr().err.startswith("error: RuntimeError: a fault\n  hint:")
    with pytest.raises(RuntimeError):
        run_cli(["schema", "--debug"])


def test_ctrl_c_is_a_clean_stop(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("metier.tasks.read_task.task_json_schema", stop)
    assert run_cli(["schema"]) == 130
    assert "the same command resumes" in capsys.readouterr().err


def test_a_smoke_run_of_a_scenario_lets_the_model_write_little_and_nothing_where_it_writes_nothing() -> None:
    small = scenario_of(Path("writing"), ["tasks.clarity.synthetic=300"], smoke=True)
    assert small is not None and small.settings.synthetic == 16
    assert small.settings.tasks["clarity"].synthetic == 16 and small.settings.tasks["grammar"].synthetic is None
    none = scenario_of(Path("writing"), ["synthetic=0"], smoke=True)
    assert none is not None and none.settings.synthetic == 0


def test_tables_that_go_into_a_file_are_not_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert open_console().width == 200
    monkeypatch.setenv("COLUMNS", "70")
    assert open_console().width == 70
