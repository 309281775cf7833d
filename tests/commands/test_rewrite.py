"""``metier rewrite`` with what a scenario's run left."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

import metier
from metier.cli import run_cli
from metier.systems.product import Answer, OpenProduct


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


def came(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every product answer with "came" for "come": what a random model writes is left alone."""

    def answer(self: OpenProduct, inputs: Sequence[str]) -> list[Answer]:
        return [Answer(text.replace("come", "came"), None, False, None) for text in inputs]

    monkeypatch.setattr(OpenProduct, "answer", answer)
    monkeypatch.setattr(OpenProduct, "finished", lambda self, answers: [True] * len(answers))


def test_in_place_keeps_what_was_there(scenario_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    came(monkeypatch)
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


TEXT = "# Title\n\nThe parcel come late on 3 May. It go home, and nobody rang `bell()`.\n"


@pytest.mark.parametrize("form", ["RUN FILE", "--run", "a product's folder"])
def test_the_run_may_be_named_in_three_ways_and_python_gives_the_same_text(
    scenario_run: Path, tmp_path: Path, form: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = tmp_path / "a.md"
    path.write_text(TEXT)
    run = scenario_run / "out"
    arguments = {
        "RUN FILE": [str(run), str(path), "--task", "mend"],
        "--run": ["--run", str(run), "--task", "mend", str(path)],
        "a product's folder": [str(run / "tasks" / "mend" / "product"), str(path)],
    }[form]
    assert run_cli(["rewrite", *arguments, "--quiet"]) == 0
    assert capfdbinary.readouterr().out.decode() == metier.load(run, "mend").rewrite(TEXT)


def test_python_rewrites_under_the_same_guard(scenario_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = metier.load(scenario_run / "out", "mend")

    def loses_numbers(self: OpenProduct, inputs: Sequence[str]) -> list[Answer]:
        return [Answer(text.replace("3 May", "May").replace("go", "went"), None, False, None) for text in inputs]

    monkeypatch.setattr(OpenProduct, "answer", loses_numbers)
    monkeypatch.setattr(OpenProduct, "finished", lambda self, answers: [True] * len(answers))
    assert model.rewrite(TEXT) == TEXT.replace("go", "went")
    monkeypatch.setattr(OpenProduct, "finished", lambda self, answers: [False] * len(answers))
    assert model.rewrite(TEXT) == TEXT


def shipping(run: Path, folder: Path, **changes: object) -> Path:
    """Return a copy of a scenario's product for mend, with something else said of it."""
    copied = folder / "product"
    shutil.copytree(run / "out" / "tasks" / "mend" / "product", copied)
    told = json.loads((copied / "product.json").read_text())
    (copied / "product.json").write_text(json.dumps(told | changes))
    (copied / "files.json").unlink()  # it knows what was written
    return copied


@pytest.mark.parametrize(
    ("kind", "verdict", "warns"),
    [
        ("specialist", "worse", True),
        ("specialist", None, True),
        ("specialist", "better", False),
        ("classic", None, False),
    ],
)
def test_the_warning_is_about_the_product(
    scenario_run: Path,
    tmp_path: Path,
    kind: str,
    verdict: str | None,
    warns: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured = json.loads((scenario_run / "out/tasks/mend/product/product.json").read_text())["measured"]
    product = shipping(scenario_run, tmp_path, kind=kind, measured=measured | {"verdict": verdict})
    (tmp_path / "a.md").write_text("# Title\n")
    assert run_cli(["rewrite", str(product), str(tmp_path / "a.md")]) == 0
    assert ("not significantly better at mend" in capsys.readouterr().err) == warns


def test_a_product_that_asks_no_model_rewrites(
    scenario_run: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    product = shipping(scenario_run, tmp_path, form="replacements", model=None, kind="classic")
    (product / "replacements.json").write_text('[["come", "came"]]')
    (tmp_path / "a.md").write_text("- It come late.\n- `come` here.\n")
    assert run_cli(["rewrite", str(product), str(tmp_path / "a.md")]) == 0
    told = capfdbinary.readouterr()
    assert told.out.decode() == "- It came late.\n- `come` here.\n"
    assert b"1 of 2 sentences changed" in told.err


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
        (["--task", "sing"], "no product for the task 'sing'"),
        (["--task", "mend", "--by", "word"], "--by: 'word'"),
        (["--task", "mend", "--in-place"], "not standard input"),
        (["--task", "mend", "nowhere.txt"], "nowhere.txt: cannot be read"),
        ([], "name one with --task: mend, shorten"),
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
    scenario_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    product = shipping(scenario_run, tmp_path, labels=["a", "b"])
    assert run_cli(["rewrite", str(product), "-"]) == 2
    assert "it rewrites nothing" in capsys.readouterr().err


def test_without_a_run_the_newest_is_found(
    scenario_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert run_cli(["rewrite", "--task", "mend"]) == 2
    assert "metier run writing" in capsys.readouterr().err
    assert run_cli(["rewrite"]) == 2
    assert "neither a run nor a task is named" in capsys.readouterr().err
    (tmp_path / "runs").mkdir()
    shutil.copytree(scenario_run / "out", tmp_path / "runs" / "tiny")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert run_cli(["rewrite", "--task", "mend"]) == 0
