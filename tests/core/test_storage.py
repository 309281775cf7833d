from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.core import storage
from metier.core.errors import MetierError, UserError


@given(st.lists(st.dictionaries(st.text(), st.text() | st.none() | st.floats(allow_nan=False), max_size=3), max_size=4))
def test_records_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, object]]
) -> None:
    path = tmp_path_factory.mktemp("records") / "records.jsonl"
    storage.write_lines(path, records)
    assert storage.read_lines(path) == records


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    storage.write_text(path, "old")

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(MetierError, match="the disk is full"):
        storage.write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_may_not_be_written_is_the_users_mistake(tmp_path: Path) -> None:
    def refuse() -> None:
        with storage.explained(tmp_path):
            raise OSError(errno.EROFS, "Read-only file system")

    with pytest.raises(UserError, match="cannot be written"):
        refuse()


def test_seeds_depend_on_every_part() -> None:
    seeds = {
        storage.seed_of(0, "a", 1),
        storage.seed_of(0, "a", 2),
        storage.seed_of(0, "b", 1),
        storage.seed_of(1, "a", 1),
    }
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_file_that_is_not_whole_says_which_and_what_to_do(tmp_path: Path) -> None:
    for name, read in (("a.json", storage.read_json), ("a.jsonl", storage.read_lines)):
        (tmp_path / name).write_text('{"a": ')
        with pytest.raises(MetierError, match=f"{name}: not readable as JSON") as caught:
            read(tmp_path / name)
        assert "delete" in str(caught.value.hint)


@given(st.dictionaries(st.text(), st.integers() | st.text(), max_size=5))
def test_a_digest_does_not_depend_on_the_order_of_keys(value: dict[str, object]) -> None:
    assert storage.digest(value) == storage.digest(dict(reversed(value.items())))


def test_a_finished_folder_replaces_what_stood_there(tmp_path: Path) -> None:
    for name in ("new.partial", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"in-{name}").touch()
    storage.replace_folder(tmp_path / "new.partial", tmp_path / "new")
    assert [p.relative_to(tmp_path).as_posix() for p in sorted(tmp_path.rglob("*"))] == ["new", "new/in-new.partial"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        Exception("I/O error: No space left on device (os error 28)"),
        shutil.Error([("a", "b", "[Errno 28] No space left on device: 'a' -> 'b'")]),
        RuntimeError(
            "[enforce fail at inline_container.cc:747] . open file failed with strerror: No space left on device"
        ),
    ],
)
def test_a_full_disk_is_told_whichever_library_noticed(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(MetierError, match="the disk is full") as caught, storage.explained(tmp_path):
        raise error
    assert "run the same command again" in str(caught.value.hint)


def test_what_is_not_about_writing_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="^shapes$"), storage.explained(tmp_path):
        raise RuntimeError("shapes")
    with pytest.raises(UserError, match="^mine$"), storage.explained(tmp_path):
        raise UserError("mine")
