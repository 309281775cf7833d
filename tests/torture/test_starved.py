"""What a run lacks is said in a line with the right code, and the same command then comes to the same end.

A full disk, one without inodes, one that is read-only, little memory, a clock that goes backwards, and a network that
is not there, answers nonsense or does not answer. One thread is what all tests of the tiny model run with.
"""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from metier.cli import run_cli
from tests.runs.made import contents, write_rows
from tests.torture.how import FULL, OVERRIDES, in_full

# Kilobytes at which a run of the tiny model breaks off in different places: its steps, checkpoints, weights, product.
SIZES = (4, 40, 120, 200, 300, 400, 600, 800, 840, 880) if FULL else (300,)
INODES = (4, 30, 45, 60, 80, 90) if FULL else ()
# Megabytes of address space in which a run cannot even import its libraries, or not all of them, or not train.
MEMORY = (150, 200, 300, 400, 700, 1000) if FULL else (200,)

Disk = Callable[[str], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A function that mounts a small disk, or changes how the one it has mounted is."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted: list[bool] = []

    def mount(how: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"remount,{how}" if mounted else how, "metier-test", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            warnings.warn(f"no disk is filled here: mounting one needs root ({error})", stacklevel=2)
            pytest.skip("mounting a small disk needs root")
        mounted.append(True)
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def run_of(task: Path, out: Path) -> list[str]:
    return ["run", str(task / "task.yaml"), *OVERRIDES, "--out", str(out), "--quiet"]


def same_as(alone: Path, out: Path) -> None:
    expected, found = contents(alone / "out"), contents(out)
    assert set(found) == set(expected)
    assert [name for name in expected if found[name] != expected[name]] == []


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one error that was told."""
    said = capsys.readouterr().err
    assert said.count("error: ") == 1 and "Traceback" not in said and "--debug" not in said, said
    return next(line for line in said.splitlines() if line.startswith("error: "))


@pytest.mark.parametrize("how", [*(f"size={s}k" for s in SIZES), *(f"nr_inodes={i}" for i in INODES)])
def test_a_disk_that_is_full(how: str, alone: Path, disk: Disk, capsys: pytest.CaptureFixture[str]) -> None:
    out = disk(how) / "out"
    assert run_cli(run_of(alone, out)) == 1
    line = told(capsys)
    assert "the disk is full" in line or "cannot be written" in line, line
    disk("size=200m,nr_inodes=0")
    assert run_cli(run_of(alone, out)) == 0
    same_as(alone, out)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"] if FULL else ["csv"])
def test_a_disk_that_is_full_of_answers(
    ending: str, alone: Path, disk: Disk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.jsonl"
    write_rows(rows, ({"input": f"case {i} charged", "more": "x" * 400} for i in range(1000)))
    out = disk("size=450k") / f"answers.{ending}"
    command = ["predict", str(alone / "out"), str(rows), "--quiet", "-o"]
    assert run_cli([*command, str(out)]) == 1
    assert "the disk is full" in told(capsys)
    assert not out.exists(), "nothing half-written has the final name"
    disk("size=200m")
    assert run_cli([*command, str(out)]) == 0
    assert run_cli([*command, str(tmp_path / out.name)]) == 0
    assert out.read_bytes() == (tmp_path / out.name).read_bytes()
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_a_disk_that_is_read_only(alone: Path, disk: Disk, capsys: pytest.CaptureFixture[str]) -> None:
    out = disk("size=10m") / "out"
    disk("ro")
    assert run_cli(run_of(alone, out)) == 2
    assert "cannot be written (Read-only file system)" in told(capsys)
    disk("rw")
    assert run_cli([*run_of(alone, out), "--limit", "2"]) == 0


@pytest.mark.parametrize("megabytes", MEMORY)
def test_little_memory(megabytes: int, alone: Path, tmp_path: Path) -> None:
    limit = megabytes << 20
    done = subprocess.run(
        [sys.executable, "-m", "metier", *run_of(alone, tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    # Where an extension cannot allocate and does not say so, Python has no better word than SystemError.
    assert "error: out of memory (" in done.stderr or "error: SystemError: " in done.stderr, done.stderr
    assert run_cli(run_of(alone, tmp_path / "out")) == 0
    same_as(alone, tmp_path / "out")


@in_full
def test_a_clock_that_goes_backwards(alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the run is from 2040, and while the other half is made, every look at the clock is an hour earlier."""
    out = tmp_path / "out"
    task, settings = str(alone / "task.yaml"), [*OVERRIDES, "--out", str(out), "--quiet"]
    assert run_cli(["select", task, *settings]) == 0
    for path in (out, *out.rglob("*")):
        os.utime(path, (2_208_988_800, 2_208_988_800))
    began, looks = time.time(), iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: began - 3600.0 * next(looks))
    assert run_cli(run_of(alone, out)) == 0
    same_as(alone, out)


class Nonsense(BaseHTTPRequestHandler):
    """Answers everything with a page, as the proxy of a hotel does."""

    def do_GET(self) -> None:
        page = b"<!DOCTYPE html><html><body>Please log in to the network.</body></html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


def fetch(port: int, cache: Path) -> subprocess.CompletedProcess[str]:
    """Fetch a model where this is all the network there is, and return what came of it."""
    url = f"http://127.0.0.1:{port}"
    known = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "HF_"))}
    environment = {
        **known,
        **{"METIER_CACHE": str(cache), "HF_HOME": str(cache / "hub"), "HF_ENDPOINT": url},
        **{"PIP_INDEX_URL": f"{url}/simple", "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0", "PIP_TIMEOUT": "3"},
    }
    return subprocess.run(
        [sys.executable, "-m", "metier", "models", "fetch", "all-minilm-l6-v2"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def check_not_fetched(done: subprocess.CompletedProcess[str], cache: Path) -> None:
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert done.stderr.count("error: ") == 1 and "--debug" not in done.stderr, done.stderr
    assert "hint: check the network" in done.stderr, done.stderr
    assert not list(cache.glob("models/*/config.json")), "nothing that was fetched is taken for a model"


def test_a_network_that_answers_with_a_page(tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Nonsense)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    check_not_fetched(fetch(server.server_port, tmp_path), tmp_path)
    server.shutdown()


@pytest.mark.parametrize("answers", ["nothing", "never"] if FULL else ["nothing"])
def test_a_network_that_does_not_answer(answers: str, tmp_path: Path) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if answers == "never":
            listening.listen(64)  # takes connections, and says no word
        check_not_fetched(fetch(listening.getsockname()[1], tmp_path), tmp_path)
