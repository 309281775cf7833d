"""Run folders and data on S3: a server of its interface, over HTTP, and a run that is killed and resumed there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metier.cli import run_cli
from metier.core.errors import MetierError, UserError
from metier.core.remote import local, run_folder
from tests.runs.made import FEW, contents, make_task

pytest.importorskip("moto")
boto3 = pytest.importorskip("boto3")

SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
server.start()
print("port", server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
# The command, but for new files that are uploaded every fifth of a second.
COMMAND = """
import metier.core.remote
metier.core.remote._EVERY = 0.2
from metier.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3 server in a process of its own."""
    started = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert started.stdout is not None
    port = next(line.split()[1] for line in iter(started.stdout.readline, "") if line.startswith("port "))
    yield f"http://127.0.0.1:{port}"
    started.kill()
    started.wait()


@pytest.fixture
def s3(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Another client of the server, with an empty bucket; Metier is told of it as any tool is, by the environment."""
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "METIER_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="bucket")
    yield client
    for name in keys(client):
        client.delete_object(Bucket="bucket", Key=name)
    client.delete_bucket(Bucket="bucket")


def keys(client: Any) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="bucket")
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


def read(client: Any, key: str) -> bytes:
    return bytes(client.get_object(Bucket="bucket", Key=key)["Body"].read())


def started(task: Path, cache: Path) -> subprocess.Popen[str]:
    """Start a run at the bucket, on a machine with such a cache."""
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "run", str(task), *FEW, "--out", "s3://bucket/runs/one", "--quiet"],
        env={**os.environ, "METIER_CACHE": str(cache)},
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def test_a_run_that_is_killed_is_resumed_by_another_machine(s3: Any, tiny_model: Path, tmp_path: Path) -> None:
    task = make_task(tmp_path / "task", tiny_model)
    alone = tmp_path / "alone"
    assert run_cli(["run", str(task), *FEW, "--out", str(alone), "--quiet"]) == 0
    first = started(task, tmp_path / "one")
    for _ in range(3000):
        done = [key for key in keys(s3) if "/synthesis-" in key and key.endswith("manifest.json")]
        if done or first.poll() is not None:
            break
        time.sleep(0.1)
    assert first.poll() is None, "it was to be killed on its way"
    first.send_signal(signal.SIGKILL)
    first.wait()
    held = keys(s3)
    assert done and not any(key.endswith("one/result.json") for key in held)
    kept = {key: read(s3, key) for key in held if "/synthesis-" in key and ".partial" not in key}

    second = started(task, tmp_path / "two")
    assert second.wait() == 0, second.stderr.read() if second.stderr else ""
    assert {key: read(s3, key) for key in kept} == kept, "what was done is not done again, its cost.json included"
    with run_folder("s3://bucket/runs/one") as folder:
        assert contents(folder) == contents(alone)
    assert not [key for key in keys(s3) if ".partial" in key]


def test_a_data_file_that_has_changed_is_brought_again(s3: Any) -> None:
    def write(answer: str) -> None:
        s3.put_object(Bucket="bucket", Key="data/test.jsonl", Body=json.dumps({"output": answer}).encode())

    for answer in ("first", "other"):
        write(answer)
        assert json.loads(local("s3://bucket/data/test.jsonl").read_text()) == {"output": answer}
    write("within a folder")
    assert "within" in (local("s3://bucket/data") / "test.jsonl").read_text()
    write("within another")
    assert "another" in (local("s3://bucket/data") / "test.jsonl").read_text()


def test_a_bucket_that_is_not_there_is_said_at_once_and_not_made(s3: Any) -> None:
    with pytest.raises(UserError, match="no bucket 'nobucket'"), run_folder("s3://nobucket/x"):
        raise AssertionError("the run has begun")
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["bucket"]


def test_a_bucket_that_goes_during_the_run_is_said_and_the_files_are_kept(s3: Any) -> None:
    with (
        pytest.raises(MetierError, match="s3://bucket/two: FileNotFoundError"),
        run_folder("s3://bucket/two") as folder,
    ):
        s3.delete_bucket(Bucket="bucket")
        (folder / "x.json").write_text("{}")
    assert (folder / "x.json").exists()
    s3.create_bucket(Bucket="bucket")
