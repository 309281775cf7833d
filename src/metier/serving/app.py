"""Puts the server together: the endpoints, what guards them, and the page."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

import metier
from metier.serving import chat, classify, completions, feedback, listing, metrics, rewrite, runs, systemone
from metier.serving.counts import Counts
from metier.serving.errors import handle_errors
from metier.serving.safety import Gate, Guard
from metier.serving.schema_check import SchemaCheck
from metier.serving.served import Served
from metier.serving.settings import ServeSettings
from metier.serving.state import State
from metier.serving.worker import Pace, Worker

_PAGE = Path(__file__).parent / "page"
_ENDPOINTS = (listing, metrics, chat, completions, classify, systemone, rewrite, runs, feedback)


def make_app(settings: ServeSettings, served: Served, gate: Gate) -> FastAPI:
    """Return the server's application.

    Args:
        settings: How it is run.
        served: What it serves.
        gate: Is closed when it is to end.
    """
    worker = Worker(Pace(waiting=settings.queue))
    state = State(settings, served, worker, Counts(worker), SchemaCheck(settings.queue))

    @contextlib.asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        worker.start()
        yield
        worker.stop()

    app = FastAPI(
        title="metier serve",
        version=metier.__version__,
        lifespan=running,
        docs_url=None,  # these pages load their scripts from elsewhere
        redoc_url=None,
    )
    app.add_middleware(Guard, settings=settings, gate=gate)
    handle_errors(app)
    for endpoints in _ENDPOINTS:
        app.include_router(endpoints.routes(state))
    app.mount("/static", StaticFiles(directory=_PAGE), name="static")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html", headers={"Cache-Control": "no-cache"})

    return app
