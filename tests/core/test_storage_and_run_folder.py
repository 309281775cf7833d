from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.core import storage
from metier.core.errors import MetierError, UserError
from metier.core.run_folder import Run, open_run


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


def test_a_shard_is_made_once(tmp_path: Path) -> None:
    calls = []

    def make() -> list[int]:
        calls.append(1)
        return [1, 2]

    run = Run(tmp_path)
    assert run.stage("s", {"a": 1}).shard("part-0", make) == [1, 2]
    assert run.stage("s", {"a": 1}).shard("part-0", make) == [1, 2]
    assert len(calls) == 1
    assert run.stage("s", {"a": 2}).shard("part-0", make) == [1, 2]
    assert len(calls) == 2, "other inputs are another stage"


def test_a_finished_stage_is_found_again_and_the_manifest_holds_no_times(tmp_path: Path) -> None:
    run = Run(tmp_path)
    stage = run.stage("s", {"a": 1})
    assert not stage.done
    stage.shard("part-0", lambda: "x")
    stage.finish({"count": 1})
    again = run.stage("s", {"a": 1})
    assert again.done
    assert again.outcome == {"count": 1}
    assert again.cost["seconds"] >= 0
    assert "part" in again.cost["parts"]
    assert "seconds" not in (again.path / "manifest.json").read_text()


def test_two_runs_on_one_folder(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom metier.core.run_folder import open_run\n"
        "from metier.core.errors import UserError\n"
        "try:\n    open_run(Path(sys.argv[1])).__enter__()\nexcept UserError as error:\n    print(error.message)\n"
    )
    with open_run(tmp_path):
        told = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "another metier run is working in this folder" in told.stdout
