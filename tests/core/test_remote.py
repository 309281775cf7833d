"""Data, models and run folders by URL, on fsspec's memory file system: the interface that s3:// and gs:// have too."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from metier.cli import run_cli
from metier.core.errors import MetierError, UserError
from metier.core.remote import is_hub_id, is_url, local, run_folder
from metier.data.pairs import read_examples
from metier.models.locate import resolve_model
from tests.runs.made import FEW, contents, make_task


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr("metier.core.remote._cache", lambda: tmp_path / "remote")
    fs = fsspec.filesystem("memory")
    yield fs
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


def put(fs: Any, folder: Path, there: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            fs.pipe_file(f"{there}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def test_urls_are_told_from_paths() -> None:
    assert is_url("s3://bucket/x") and is_url("hf://datasets/a/b") and is_url("memory://x")
    assert not is_url("C:/x") and not is_url("runs/x") and not is_url("owner/name") and not is_url("S3 //x")


def test_a_data_file_is_brought_once_and_again_when_it_has_changed(memory: Any) -> None:
    def write(answer: str) -> None:
        memory.pipe_file("/data/test.jsonl", json.dumps({"input": "a", "output": answer}).encode())

    write("first")
    assert read_examples("memory://data/test.jsonl", labels=None).examples[0].output == "first"
    path = local("memory://data/test.jsonl")
    assert local("memory://data/test.jsonl") == path and path.name == "test.jsonl"
    write("second, longer")
    assert read_examples("memory://data/test.jsonl", labels=None).examples[0].output == "second, longer"
    with pytest.raises(UserError, match="nothing exists at this URL"):
        read_examples("memory://data/none.jsonl", labels=None)


def test_a_model_folder_is_brought_and_is_the_same_model(memory: Any, tiny_model: Path) -> None:
    put(memory, tiny_model, "/models/tiny")
    assert resolve_model("memory://models/tiny").digest == resolve_model(str(tiny_model)).digest


def test_a_driver_that_is_missing_and_a_kind_that_is_unknown_are_said() -> None:
    with pytest.raises(UserError, match="gcsfs is not installed"):
        local("gs://bucket/x.jsonl")
    with pytest.raises(UserError, match="cannot be opened"):
        local("nosuchkind://x")


def test_a_name_that_leads_out_of_the_folder_is_refused(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.pipe_file("/data/x", b"1")
    monkeypatch.setattr(type(memory), "find", lambda self, root: [f"{root}/../../evil"])
    with pytest.raises(UserError, match="leads outside the folder"):
        local("memory://data")


def test_a_run_at_a_url_goes_on_from_another_machine(memory: Any, tiny_model: Path, tmp_path: Path) -> None:
    task = make_task(tmp_path / "task", tiny_model)
    here = tmp_path / "here"
    assert run_cli(["run", str(task), *FEW, "--out", str(here), "--quiet"]) == 0
    assert run_cli(["train", str(task), *FEW, "--out", "memory://bucket/runs/one", "--quiet"]) == 0
    assert memory.exists("/bucket/runs/one") and not memory.exists("/bucket/runs/one/result.json")
    shutil.rmtree(tmp_path / "remote")  # as on another machine
    cost = next(p for p in memory.find("/bucket") if "/training-" in p and p.endswith("cost.json"))
    trained = memory.cat_file(cost)
    assert run_cli(["run", str(task), *FEW, "--out", "memory://bucket/runs/one", "--quiet"]) == 0
    assert memory.cat_file(cost) == trained  # it was not trained again
    with run_folder("memory://bucket/runs/one") as folder:
        assert contents(folder) == contents(here)
    assert not [p for p in memory.find("/bucket") if ".partial" in p]
    assert run_cli(["compare", "memory://bucket/runs/one", str(here)]) == 0


def test_what_could_not_be_put_there_is_told_and_kept_here(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> None:
        raise OSError("the bucket is gone")

    with pytest.raises(MetierError, match="the bucket is gone"), run_folder("memory://bucket/two") as folder:
        (folder / "x.json").write_text("{}")
        monkeypatch.setattr(type(memory), "put_file", refuse)
    assert (folder / "x.json").exists()


def test_hub_ids() -> None:
    assert is_hub_id("owner/name-v1.5")
    assert not is_hub_id("folder/file.jsonl")
    assert not is_hub_id("name")
