"""A lock is held by one process, and tells the others which."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from metier.core.lock import Held, Lock


def test_who_holds_it_is_said_and_it_can_be_had_afterwards(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    first.acquire()
    with pytest.raises(Held, match=rf"^process {os.getpid()} on "):
        second.acquire()
    first.release()
    second.acquire()
    second.release()
    second.remove()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("said", [b"", b"\xff", b"a\nb", b"\x1b[31m"])
def test_what_is_not_plain_text_is_not_repeated(said: bytes, tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    first.acquire()
    (tmp_path / "lock.holder").write_bytes(said)
    with pytest.raises(Held, match="^another process$"):
        second.acquire()
    first.release()
