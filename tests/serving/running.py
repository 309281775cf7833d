"""Servers to test: without a socket, behind one in a thread of this process, or as a process of their own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from metier.serving.app import make_app
from metier.serving.opening import open_runs
from metier.serving.safety import Gate
from metier.serving.server import listening as listens
from metier.serving.settings import ServeSettings

HOME = "http://127.0.0.1:8000"


def app_of(runs: Sequence[Path], **settings: Any) -> FastAPI:
    """Return a server's application."""
    how = ServeSettings(**settings)
    return make_app(how, open_runs(runs, base=how.base), Gate())


def client_of(runs: Sequence[Path], **settings: Any) -> TestClient:
    """Return a client of a server without a socket; it runs while the client is open."""
    return TestClient(app_of(runs, **settings), base_url=HOME)


@contextlib.contextmanager
def listening(runs: Sequence[Path], **settings: Any) -> Iterator[str]:
    """Give the address of a server that runs in a thread."""
    with behind_a_socket(app_of(runs, **settings)) as home:
        yield home


@contextlib.contextmanager
def behind_a_socket(app: FastAPI) -> Iterator[str]:
    """Give the address of an application that runs in a thread."""
    with listens(ServeSettings(port=0)) as where:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [where]})
        thread.start()
        try:
            wait_for(lambda: server.started)
            yield f"http://127.0.0.1:{where.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextlib.contextmanager
def process(runs: Sequence[Path], *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Give a server's process and its address; it is killed at the end if it still runs."""
    command = [sys.executable, "-m", "metier", "serve", *map(str, runs), "--port", "0", *options]
    made = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    try:
        assert made.stdout is not None
        for line in made.stdout:
            if line.startswith("serving on "):
                yield made, line.removeprefix("serving on ").strip().rstrip("/")
                return
        _, told = made.communicate()
        raise AssertionError(told)
    finally:
        made.kill()
        made.communicate()


def wait_for(happened: Any, seconds: float = 60) -> None:
    """Wait until something has happened."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
