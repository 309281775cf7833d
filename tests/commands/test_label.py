"""``metier label`` and ``metier testset`` in a pseudo-terminal, and without one."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import sys
from pathlib import Path

import pytest

from metier.cli import run_cli
from tests.runs.made import make_task, read_rows, write_rows
from tests.systems.test_product import saved

ROOT = Path(__file__).parents[2]
TODAY = [f"{('the invoice', 'my parcel', 'the invoice of my parcel')[i % 3]} is wrong, {i}" for i in range(12)]
_WAIT = 120.0  # seconds for a busy machine


def typed(folder: Path, command: list[str], exchange: list[tuple[str, str]]) -> tuple[str, int]:
    """Run a command in a pseudo-terminal, and type each text once what it is to follow is shown.

    Returns:
        All that was shown, and the exit code.
    """
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
        os.execve(sys.executable, [sys.executable, "-m", "metier", *command], environment)
    shown, left = "", list(exchange)
    while select.select([terminal], [], [], _WAIT)[0]:
        try:
            shown += os.read(terminal, 65536).decode(errors="replace")
        except OSError:  # the command has ended
            break
        while left and left[0][0] in shown:
            os.write(terminal, left.pop(0)[1].encode())
    os.close(terminal)
    assert left == [], shown
    return shown.replace("\r\n", "\n"), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def today(tmp_path: Path) -> Path:
    write_rows(tmp_path / "today.jsonl", ({"text": text} for text in TODAY))
    return tmp_path / "today.jsonl"


def test_rows_are_labelled_with_keys_and_the_same_command_goes_on(tmp_path: Path, today: Path) -> None:
    product = saved(tmp_path)
    command = ["label", str(product), str(today), "--rows", "4", "--quiet"]
    shown, code = typed(tmp_path, command, [("[1 of 4]", "1"), ("[2 of 4]", "x2"), ("[3 of 4]", "bsq")])
    assert code == 0
    assert "1 billing  2 delivery\na key; s skip, b back, q quit\n" in shown and "1 to 2, s, b or q" in shown
    assert "answered: delivery" in shown, "going back shows what was said"
    assert "Answered: 1 of 2 random rows, 1 of 2 uncertain rows." in shown
    assert [row["output"] for row in read_rows(product / "labelled.jsonl")] == ["billing", "delivery"]
    shown, code = typed(tmp_path, command, [("[3 of 4]", "12")])  # typed ahead of the question
    assert code == 0 and "[1 of 4]" not in shown
    assert "Answered: 2 of 2 random rows, 2 of 2 uncertain rows." in shown
    assert re.search(r"Today the product is right on \d+\.0% \[\d+\.\d, \d+\.\d\] \(2 random rows\)\.", shown)
    assert "\nThere is no test of it here to compare with.\n" in shown


def test_ctrl_c_and_ctrl_d_end_it_and_lose_nothing(tmp_path: Path, today: Path) -> None:
    product = saved(tmp_path)
    command = ["label", str(product), str(today), "--rows", "6", "--quiet"]
    shown, code = typed(tmp_path, command, [("[1 of 6]", "1"), ("[2 of 6]", "\x03")])
    assert code == 130 and "stopped; the same command resumes" in shown
    shown, code = typed(tmp_path, command, [("[2 of 6]", "\x1b[C2"), ("[3 of 6]", "\x04")])
    assert code == 0 and "Answered: 1 of 3 random rows, 1 of 3 uncertain rows." in shown


def test_elsewhere_rows_are_written_to_be_filled_in(
    tmp_path: Path, today: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    product = saved(tmp_path)
    assert run_cli(["label", str(product), str(today), "--rows", "4", "--quiet"]) == 0
    assert f"Fill in the column output in {product / 'to_label.jsonl'}" in capsys.readouterr().out
    assert [row["output"] for row in read_rows(product / "to_label.jsonl")] == [""] * 4
    assert run_cli(["label", str(product), str(today), "--rows", "1"]) == 2
    assert run_cli(["label", str(product), str(tmp_path / "none.jsonl")]) == 2
    assert run_cli(["label", str(product), str(today), "-o", str(tmp_path / "a.parquet")]) == 2


def test_a_test_set_is_written_in_a_terminal(tiny_model: Path, tmp_path: Path, today: Path) -> None:
    task = make_task(tmp_path, tiny_model)
    command = ["testset", str(task), str(today), f"evaluation.encoder={tiny_model}", "--rows", "4", "--quiet"]
    command += ["-o", "mine.jsonl", "--difference", "20"]
    shown, code = typed(tmp_path, command, [("[1 of 4] no rows yet; 20 points take 32 rows", "1"), ("[2 of 4]", "2q")])
    assert code == 0
    assert "2 rows: 79.7 points would show; 20 points take 32 rows." in shown
    assert "The random rows alone say how often an answer is right in use (test_where: {part: random})." in shown
    assert [(row["output"], row["part"]) for row in read_rows(tmp_path / "mine.jsonl")] == [
        ("billing", "random"),
        ("delivery", "varied"),
    ]


def test_a_test_set_of_a_scenario_or_of_no_difference_is_refused(
    tiny_model: Path, scenario_run: Path, tmp_path: Path, today: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(scenario_run, tmp_path / "scenario", ignore=shutil.ignore_patterns("out"))
    assert run_cli(["testset", str(tmp_path / "scenario"), str(today)]) == 2
    assert "name the file of one of them" in capsys.readouterr().err
    assert run_cli(["testset", str(make_task(tmp_path, tiny_model)), str(today), "--difference", "0"]) == 2
    assert "--difference: 0 is no number of points" in capsys.readouterr().err
