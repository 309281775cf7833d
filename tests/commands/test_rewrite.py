"""``metier rewrite`` with what a scenario's run left."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest

from metier.cli import run_cli


def rewrite(scenario_run: Path, *arguments: str) -> int:
    return run_cli(["rewrite", "--task", "mend", "--run", str(scenario_run / "out"), *arguments])


def test_a_file_that_is_all_but_prose_comes_back_to_the_byte(
    scenario_run: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    text = "\ufeff# Title\r\n\r\n```\r\ncode. Here.\r\n```\r\n| a |\r\n|---|\r\n| b. C |\r\n<p>\r\n😀\r\n"
    path = tmp_path / "a.md"
    path.write_bytes(text.encode())
    assert rewrite(scenario_run, str(path)) == 0
    assert capfdbinary.readouterr().out == text.encode()


def test_in_place_keeps_what_was_there(scenario_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from metier.rewriting import rewrite as rewriting

    # What a random model writes is left alone; the file's own handling is what is tested here.
    def changed(texts: list[str], *rest: object) -> list[rewriting.Rewritten]:
        return [rewriting.Rewritten(text, text.replace("come", "came")) for text in texts]

    monkeypatch.setattr(rewriting, "_rewritten", changed)
    path = tmp_path / "a.md"
    path.write_bytes(b"- It come late.\r\n- Fine.\r\n")
    path.chmod(0o640)
    assert rewrite(scenario_run, "--in-place", "--quiet", str(path)) == 0
    assert path.read_bytes() == b"- It came late.\r\n- Fine.\r\n"
    assert (tmp_path / "a.md.bak").read_bytes() == b"- It come late.\r\n- Fine.\r\n"
    assert path.stat().st_mode & 0o777 == 0o640
    path.write_bytes(b"They come.\n")
    assert rewrite(scenario_run, "--in-place", "--quiet", str(path)) == 0
    assert (tmp_path / "a.md.bak2").read_bytes() == b"They come.\n"
    assert not list(tmp_path.glob(".*partial"))


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"\xff\xfe\x00a", "not UTF-8"), (b"text\0more", "it contains a zero byte")],
)
def test_a_binary_file_is_refused_and_not_touched(
    scenario_run: Path, tmp_path: Path, content: bytes, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    assert rewrite(scenario_run, "--in-place", str(path)) == 2
    assert told in capsys.readouterr().err and path.read_bytes() == content


@pytest.mark.parametrize(
    "text",
    [
        "",
        "word " * 10_000,
        "Great 😀 news 👩‍👩‍👧! هذه جملة قصيرة. Ende.\n",
        "| a | b |\n|---|---|\n| It go. | x |\n\n<div>It go.</div>\n",
        "No newline at the end. `code.` https://x.org/a?b=1. Mr. Smith has 3 cats.",
    ],
)
def test_standard_input_never_loses_a_text(
    scenario_run: Path, text: str, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The tiny model writes noise: every sentence it spoils must stay as it was, and nothing else may change."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert rewrite(scenario_run, "-", "--quiet") == 0
    out = capfdbinary.readouterr().out.decode()
    assert len(out) >= 0.3 * len(text)
    for kept in ("`code.`", "https://x.org/a?b=1", "| It go. | x |", "<div>It go.</div>"):
        assert (kept in text) == (kept in out)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--task", "sing"], "no model for the task 'sing'"),
        (["--task", "mend", "--by", "word"], "--by: 'word'"),
        (["--task", "mend", "--in-place"], "not standard input"),
        (["--task", "mend", "nowhere.txt"], "nowhere.txt: cannot be read"),
        ([], "--task is missing"),
    ],
)
def test_a_wrong_rewrite_command_is_explained(
    scenario_run: Path,
    arguments: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"It go.")))
    assert run_cli(["rewrite", "--run", str(scenario_run / "out"), *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_task_with_labels_rewrites_nothing(
    scenario_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(scenario_run / "out", tmp_path / "out")
    path = tmp_path / "out" / "tasks" / "mend" / "task.json"
    held = json.loads(path.read_text()) | {"labels": ["the parcel came late", "I was charged twice"], "metric": None}
    path.write_text(json.dumps(held))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"It go.")))
    assert run_cli(["rewrite", "--task", "mend", "--run", str(tmp_path / "out")]) == 2
    assert "it rewrites nothing" in capsys.readouterr().err


def test_without_a_run_the_newest_is_found(
    scenario_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert run_cli(["rewrite", "--task", "mend"]) == 2
    assert "metier run writing" in capsys.readouterr().err
    (tmp_path / "runs").mkdir()
    shutil.copytree(scenario_run / "out", tmp_path / "runs" / "tiny")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert run_cli(["rewrite", "--task", "mend"]) == 0
