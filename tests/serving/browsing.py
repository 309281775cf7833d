"""A real server in a process of its own, and a real browser: what the tests of the page run on."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="the page is not tested: pip install playwright")
from playwright.sync_api import Browser, sync_playwright

KEY_VARIABLE = "METIER_TEST_KEY"


class Server:
    """``metier serve`` as a process that can be killed and started again at the same address.

    Args:
        runs: What it serves.
        options: Of the command line, beside the port.
        key: What requests must bring; None: nothing.
    """

    def __init__(self, runs: Sequence[Path], *options: str, key: str | None = None) -> None:
        self._command = [sys.executable, "-m", "metier", "serve", *map(str, runs), *options]
        self._environment = dict(os.environ)
        if key is not None:
            self._command += ["--key-env", KEY_VARIABLE]
            self._environment[KEY_VARIABLE] = key
        self._process: subprocess.Popen[str] | None = None
        self._port = "0"  # a free one
        self.start()

    @property
    def home(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self._port}/"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [*self._command, "--port", self._port]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=self._environment)
        assert self._process.stdout is not None
        told = []
        for line in self._process.stdout:
            told.append(line)
            if found := re.search(r"serving on http://127\.0\.0\.1:(\d+)/", line):
                self._port = found.group(1)
                return
        raise AssertionError(f"the server did not start: {told}")

    def kill(self) -> None:
        """End it at once, as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def serving(runs: Sequence[Path], *options: str, key: str | None = None) -> Iterator[Server]:
    """Run a server for as long as the context is open."""
    server = Server(runs, *options, key=key)
    try:
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser without a window; skip the test, with the reason, where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        told = "the page is NOT TESTED here: there is no chromium (on Debian: apt-get install chromium)"
        warnings.warn(told, stacklevel=2)  # pytest lists warnings where it only counts what was skipped
        pytest.skip(told)
    with sync_playwright() as playwright:
        # Where tests run as root, in a container, there are no user namespaces for the browser's own sandbox.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
