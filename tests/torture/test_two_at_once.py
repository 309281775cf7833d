"""Two commands on one folder, and folders moved, copied or of another version: right results, or a clear line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import metier
from metier.cli import run_cli
from metier.core import storage
from metier.core.run_folder import open_run
from metier.steps.pairs import choose_pairs
from tests.runs.made import contents, steps, write_rows
from tests.torture.how import FULL, OVERRIDES, in_full


def command(task: Path, out: Path, name: str = "run") -> list[str]:
    return [name, str(task / "task.yaml"), *OVERRIDES, "--out", str(out), "--quiet"]


def same_as(alone: Path, out: Path) -> None:
    expected, found = contents(alone / "out"), contents(out)
    assert set(found) == set(expected)
    assert [name for name in expected if found[name] != expected[name]] == []


def predicted(run: Path, rows: Path, out: Path) -> int:
    return run_cli(["predict", str(run), str(rows), "-o", str(out), "--quiet"])


def test_the_second_run_is_told_who_holds_the_folder(
    alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    holds = "import sys; from pathlib import Path; from metier.core.run_folder import open_run\n"
    holds += "with open_run(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    first = subprocess.Popen(
        [sys.executable, "-c", holds, str(tmp_path / "out")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with first:
        assert first.stdout is not None and first.stdout.readline() == "held\n"
        assert run_cli(command(alone, tmp_path / "out")) == 2
        said = capsys.readouterr().err
        assert f"another metier run is working in this folder (process {first.pid} on " in said and "--out" in said
        first.kill()
    with open_run(tmp_path / "out"):
        pass
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"], "the first one's name is gone"


def test_a_file_is_answered_while_a_run_makes_its_product_again(
    alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A product that is opened before, between and after: there is one, whole, or it is said that there is none."""
    out, rows = tmp_path / "out", tmp_path / "rows.jsonl"
    write_rows(rows, [{"input": "charged twice"}])
    shutil.copytree(alone / "out", out)
    (out / "product" / "made-from.json").write_text('"something else"')
    replace, codes = storage.replace_folder, []

    def watched(partial: Path, final: Path) -> None:
        if final.name == "product":
            codes.append(predicted(out, rows, tmp_path / "before.jsonl"))
            aside = final.with_name("aside")
            final.rename(aside)  # what another process can see for a moment
            codes.append(predicted(out, rows, tmp_path / "between.jsonl"))
            aside.rename(final)
        replace(partial, final)

    monkeypatch.setattr(storage, "replace_folder", watched)
    assert run_cli(command(alone, out)) == 0
    codes.append(predicted(out, rows, tmp_path / "after.jsonl"))
    assert codes == [0, 2, 0]
    assert "there is no product in it" in capsys.readouterr().err
    assert (tmp_path / "before.jsonl").read_bytes() == (tmp_path / "after.jsonl").read_bytes()


def test_a_run_that_is_not_finished_has_no_product_yet(
    alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(tmp_path / "rows.jsonl", [{"input": "charged twice"}])
    assert run_cli(command(alone, tmp_path / "out", "select")) == 0
    assert predicted(tmp_path / "out", tmp_path / "rows.jsonl", tmp_path / "answers.jsonl") == 2
    assert "there is no product in it" in capsys.readouterr().err
    assert run_cli(["compare", str(tmp_path / "out"), str(alone / "out")]) == 2
    assert "there is no finished run in it" in capsys.readouterr().err


def test_a_folder_that_is_moved_between_two_starts_is_gone_on_with(alone: Path, tmp_path: Path) -> None:
    assert run_cli(command(alone, tmp_path / "here", "train")) == 0
    before = {name: (tmp_path / "here" / name).stat().st_mtime_ns for name in steps(tmp_path / "here")}
    (tmp_path / "there").mkdir()
    (tmp_path / "here").rename(tmp_path / "there" / "out")
    out = tmp_path / "there" / "out"
    assert run_cli(command(alone, out)) == 0
    same_as(alone, out)
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before, "no step was made again"


@pytest.mark.parametrize("how", ["moved", "deleted"] if FULL else ["moved"])
def test_a_folder_that_is_moved_or_deleted_under_a_run_is_said(
    how: str, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"

    def choose_and_lose(*given: object) -> object:
        chosen = choose_pairs(*given)  # type: ignore[arg-type]
        out.rename(tmp_path / "moved") if how == "moved" else shutil.rmtree(out)
        return chosen

    monkeypatch.setattr("metier.runs.run.choose_pairs", choose_and_lose)
    assert run_cli(command(alone, out)) == 1
    said = capsys.readouterr().err
    assert f"error: {out}: the run folder was moved or deleted while the run went on" in said, said
    monkeypatch.undo()
    again = tmp_path / "moved" if how == "moved" else out
    if how == "deleted":
        shutil.rmtree(out, ignore_errors=True)
    assert run_cli(command(alone, again)) == 0
    same_as(alone, again)


@in_full
def test_a_copy_that_is_made_in_the_middle_of_a_step_is_gone_on_with(
    alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, copies = storage.replace_folder, []

    def copied(partial: Path, final: Path) -> None:
        if final.name.startswith(("training-", "evaluation-")):
            copies.append(tmp_path / f"copy-{final.name}")
            shutil.copytree(tmp_path / "out", copies[-1])
        replace(partial, final)

    monkeypatch.setattr(storage, "replace_folder", copied)
    assert run_cli(command(alone, tmp_path / "out")) == 0
    monkeypatch.undo()
    assert len(copies) == 2
    for copy in copies:
        assert run_cli(command(alone, copy)) == 0
        same_as(alone, copy)


@in_full
def test_another_versions_folder_is_worked_in_beside_what_it_made(
    alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copytree(alone / "out", out)
    monkeypatch.setattr(metier, "__version__", "0.0.9")
    assert run_cli(command(alone, out)) == 0
    assert steps(out) > steps(alone / "out"), "its steps are still there"
    assert storage.read_json(out / "product" / "product.json")["metier"] == "0.0.9"
