from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from metier.core.errors import UserError
from metier.core.run_folder import Run, open_run, peak_memory


def test_two_runs_on_one_folder(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom metier.core.run_folder import open_run\n"
        "from metier.core.errors import UserError\n"
        "try:\n    open_run(Path(sys.argv[1])).__enter__()\nexcept UserError as error:\n    print(error.message)\n"
    )
    with open_run(tmp_path):
        told = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "another metier run is working in this folder" in told.stdout


def test_a_folder_is_made_and_let_go_again(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    for _ in range(2):
        with open_run(folder) as run:
            assert run == Run(folder)
    with pytest.raises(ZeroDivisionError), open_run(folder):
        raise ZeroDivisionError
    with open_run(folder):  # an error lets it go too
        pass


def test_a_folder_that_cannot_be_made_is_the_users_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **more: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UserError, match="cannot be written") as caught, open_run(tmp_path / "new"):
        pass
    assert "--out" in str(caught.value.hint)


def test_a_tasks_folder_is_inside(tmp_path: Path) -> None:
    assert Run(tmp_path).inside("tasks", "one").folder == tmp_path / "tasks" / "one"


def test_peak_memory_is_told_in_bytes() -> None:
    assert 5_000_000 < peak_memory() < 2**44, "a process of Python holds some megabytes, not kilobytes"
