"""A run, and a file that is answered, stopped at random moments: nothing is lost, and the end is the same bytes.

`tests.runs.test_killed` kills a run at every write. Here the moments are random, and SIGTERM and Ctrl-C come too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runs.made import contents, make_task, write_rows
from tests.torture.how import FULL, OVERRIDES, in_full
from tests.torture.stopper import CODES, Start

STOPS = 50 if FULL else 3
ROWS = 1500 if FULL else 400


def stop_often(folder: Path, command: list[str], stops: int = STOPS) -> list[Path]:
    """Stop a command so many times, check how every start ended, and return the folders of its ends but the first.

    The first, in ``alone``, was left alone.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.torture.stopper", str(stops), str(folder), *command],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    alone, *made = (Start(**json.loads(line)) for line in done.stdout.splitlines())
    for start in made:
        assert "Traceback" not in start.printed, start
        if start.stopped:
            assert start.signal is not None and start.code == CODES[start.signal], start
            assert start.signal == "SIGKILL" or start.printed == "stopped; the same command resumes\n", start
        else:
            assert start.code == alone.code, start
    assert sum(start.stopped for start in made) == stops
    return sorted({folder / start.out for start in made})


def same_run(alone: Path, out: Path) -> None:
    expected, found = contents(alone), contents(out)
    assert set(found) == set(expected)
    assert [name for name in expected if found[name] != expected[name]] == []


@pytest.fixture(scope="module")
def ends(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """The folder of a run that was left alone, and those of runs that were stopped."""
    folder = tmp_path_factory.mktemp("ends")
    task = make_task(folder, tiny_model)
    return folder / "alone", stop_often(folder, ["run", str(task), *OVERRIDES, "--out", "{out}", "--quiet"])


def test_a_run_ends_with_the_same_bytes(ends: tuple[Path, list[Path]]) -> None:
    alone, stopped = ends
    for out in stopped:
        same_run(alone, out)


def test_a_file_is_answered_with_the_same_bytes(ends: tuple[Path, list[Path]], tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    write_rows(rows, ({"input": f"case {i} charged {'twice ' * (i % 7)}"} for i in range(ROWS)))
    with rows.open("a") as file:
        file.write("broken\n")
    command = ["predict", str(ends[0]), str(rows), "-o", "{out}/answers.csv", "--quiet"]
    for out in stop_often(tmp_path, command):
        for name in ("answers.csv", "answers.csv.errors.jsonl"):
            assert (out / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
        assert len(list(out.iterdir())) == 2, "nothing else is left"


@in_full
@pytest.mark.model
@pytest.mark.timeout(1800)
def test_a_run_of_the_real_small_model_ends_with_the_same_bytes(smollm2: Path, tmp_path: Path) -> None:
    task = make_task(tmp_path, smollm2)
    for out in stop_often(tmp_path, ["run", str(task), "--smoke", "--out", "{out}", "--quiet"], stops=6):
        same_run(tmp_path / "alone", out)
