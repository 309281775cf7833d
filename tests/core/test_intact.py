"""Files that are no longer as they were written are found, and what was written down of them is not trusted either."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.core.intact import prints_of, what_changed


def made(folder: Path) -> dict[str, dict[str, int | str]]:
    (folder / "in").mkdir()
    for name in ("a", "in/b"):
        (folder / name).write_bytes(name.encode() * 100)
    return prints_of(folder, [folder / "a", folder / "in" / "b"])


def test_files_as_they_were_are_fine(tmp_path: Path) -> None:
    prints = made(tmp_path)
    assert list(prints) == ["a", "in/b"]
    assert what_changed(tmp_path, prints) is None


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    prints = made(tmp_path)
    (tmp_path / "in" / "b").write_bytes(b"in/b" * 99 + b"in/c")
    assert what_changed(tmp_path, prints) == "in/b has changed since it was written"
    (tmp_path / "in" / "b").write_bytes(b"in/b" * 99)
    assert what_changed(tmp_path, prints) == "in/b has 396 of 400 bytes"
    (tmp_path / "in" / "b").unlink()
    assert what_changed(tmp_path, prints) == "in/b is missing"


def test_sizes_alone_are_checked_too(tmp_path: Path) -> None:
    made(tmp_path)
    assert what_changed(tmp_path, {"a": 100}) is None
    assert what_changed(tmp_path, {"a": 99}) == "a has 100 of 99 bytes"


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "in/../../a", "link"])
def test_a_path_out_of_the_folder_is_not_read(name: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to("/etc/passwd")
    assert what_changed(folder, {name: 1}) == f"{name} is not inside it"


@pytest.mark.parametrize("told", [None, "many", [], {}, {"bytes": None}, True])
def test_nonsense_about_a_file_is_refused(told: object, tmp_path: Path) -> None:
    made(tmp_path)
    assert what_changed(tmp_path, {"a": told}) is not None


def test_a_digest_that_is_nonsense_is_another_one(tmp_path: Path) -> None:
    made(tmp_path)
    assert what_changed(tmp_path, {"a": {"bytes": 100, "sha256": 7}}) == "a has changed since it was written"
    assert what_changed(tmp_path, {"a": {"bytes": 100}}) == "a has changed since it was written"
