"""How a server is run, as its command line says."""

from __future__ import annotations

import dataclasses

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_BYTES = 1_000_000
"""Of a request's body."""
MOST_INPUTS = 256
"""Of one request."""


@dataclasses.dataclass(frozen=True, slots=True)
class ServeSettings:
    """How a server is run.

    Attributes:
        host: Where it listens.
        port: On which port; 0: on a free one.
        key: What a request must bring; None: nothing.
        base: Whether the base models are served too.
        feedback: Whether corrections are taken down.
        queue: Requests that wait at most.
        timeout: Seconds that a request may take.
        log_text: Whether what is asked and answered is logged.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    key: str | None = None
    base: bool = False
    feedback: bool = False
    queue: int = 256
    timeout: float = 120.0
    log_text: bool = False
