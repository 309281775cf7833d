"""Runs the server until it is told to stop: then it finishes what it is answering and refuses what comes."""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from metier.core.errors import UserError
from metier.serving.app import make_app
from metier.serving.safety import Gate
from metier.serving.served import Served
from metier.serving.settings import ServeSettings


def listening(settings: ServeSettings) -> socket.socket:
    """Return a socket that listens where the settings say.

    Raises:
        UserError: The port is taken, or the host is not this machine's.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Without the protocol's name asyncio leaves Nagle's algorithm on: a response is then held until its client, which
    # waits for the rest, acknowledges the head, 40 ms later.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((settings.host, settings.port))
    except OSError as error:
        made.close()
        raise UserError(
            f"{settings.host}:{settings.port}: cannot listen there ({error.strerror})", hint="choose another --port"
        ) from error
    return made


def serve(settings: ServeSettings, served: Served, where: socket.socket, ready: Callable[[], None]) -> None:
    """Answer requests until SIGTERM or Ctrl-C; a second one ends at once.

    Args:
        settings: How the server is run.
        served: What it serves.
        where: What `listening` returned.
        ready: Called when requests are answered.
    """
    gate = Gate()
    # Errors are told by `errors.py`, without the text that a traceback may show.
    config = uvicorn.Config(
        make_app(settings, served, gate), log_level="critical", server_header=False, access_log=False
    )
    _Server(config, gate, ready).run(sockets=[where])


class _Server(uvicorn.Server):
    """A server that answers 503 while it finishes what it has begun."""

    def __init__(self, config: uvicorn.Config, gate: Gate, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._gate = gate
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = self.force_exit = self._gate.closing
        self._gate.closing = True

    async def on_tick(self, counter: int) -> bool:
        if self._gate.closing and not self._gate.inside:
            self.should_exit = True
        return await super().on_tick(counter)
