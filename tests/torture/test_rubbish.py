"""Whatever a command is fed, it ends soon, with one clear line and the right code, in little memory.

Beside the other tests every fourth of the table is tried, in ``make torture`` all of it.
"""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from metier.cli import run_cli
from tests.runs.made import make_task, write_rows
from tests.torture.how import FULL, OVERRIDES
from tests.torture.rubbish import Rubbish, write
from tests.torture.rubbish.data import all_data
from tests.torture.rubbish.models import all_models
from tests.torture.rubbish.products import all_products
from tests.torture.rubbish.tasks import all_tasks

TABLE = [*all_tasks(), *all_data(), *all_models(), *all_products()]
SECONDS = 5.0
KILOBYTES = 600_000  # that one input may add to the most the process has held
IN_A_PROCESS = ("task file: nothing", "JSON Lines: cut off", "run, compare: gone")
UNFORESEEN = "--debug shows where it failed"


@pytest.fixture(scope="module")
def made(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A finished run whose product is the tuned model, one whose product asks no model, and the tiny model."""
    folder = tmp_path_factory.mktemp("made")
    task = str(make_task(folder, tiny_model))
    run = ["run", task, *OVERRIDES, "--quiet"]
    assert run_cli([*run, "ship=specialist", "--out", str(folder / "run")]) == 0
    classic = ["evaluation.baselines=[tfidf]", "ship=tfidf_synthetic"]
    shutil.copytree(folder / "run", folder / "classic")  # so that it is not tuned again
    assert run_cli([*run, *classic, "--out", str(folder / "classic")]) == 0
    return {"run": folder / "run", "classic": folder / "classic", "model": tiny_model}


def prepared(bad: Rubbish, made: Mapping[str, Path], folder: Path) -> list[str]:
    """Make an input's files, and return the command that reads them."""
    here = folder / "here"
    if bad.copies is not None:
        shutil.copytree(made[bad.copies], here)
    here.mkdir(exist_ok=True)
    write_rows(folder / "rows.jsonl", [{"input": "charged twice"}])
    for path, content in bad.files.items():
        write(here / path, content)
    if bad.change is not None:
        bad.change(here)
    places = {"here": here, **made}
    return [re.sub(r"\{(\w+)\}", lambda found: str(places[found[1]]), part) for part in bad.command]


@pytest.mark.parametrize("bad", TABLE if FULL else TABLE[::4], ids=lambda bad: bad.name)
def test_rubbish_is_refused_in_a_line(
    bad: Rubbish, made: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = prepared(bad, made, tmp_path)
    capsys.readouterr()
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    code = run_cli(command)
    taken = time.process_time() - start
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    told = capsys.readouterr().err
    assert code == bad.code, told
    assert told.count("error: ") == 1 and "Traceback" not in told and UNFORESEEN not in told, told
    line = next(line for line in told.splitlines() if line.startswith("error: "))
    assert len(line) < 1000, line
    assert taken < SECONDS and held < KILOBYTES, (taken, held)


def test_the_table_is_long_and_says_no_name_twice() -> None:
    names = [bad.name for bad in TABLE]
    assert len(names) >= 200 and len(set(names)) == len(names)


@pytest.mark.parametrize("bad", [bad for bad in TABLE if bad.name in IN_A_PROCESS], ids=lambda bad: bad.name)
def test_a_process_of_its_own_says_the_same(bad: Rubbish, made: Mapping[str, Path], tmp_path: Path) -> None:
    command = prepared(bad, made, tmp_path)
    done = subprocess.run([sys.executable, "-m", "metier", *command], capture_output=True, text=True, check=False)
    assert done.returncode == bad.code and done.stderr.startswith("error: "), done.stderr
