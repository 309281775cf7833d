"""Servers to test: in this process, or a process of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from metier.serving.app import make_app
from metier.serving.opening import open_runs
from metier.serving.safety import Gate
from metier.serving.settings import ServeSettings

HOME = "http://127.0.0.1:8000"


def client_of(runs: Sequence[Path], **settings: Any) -> TestClient:
    """Return a client of a server in this process; it runs while the client is open."""
    how = ServeSettings(**settings)
    app = make_app(how, open_runs(runs, base=how.base), Gate())
    return TestClient(app, base_url=HOME)
