"""What every request has to pass before an endpoint sees it, and the headers that every response gets.

A page of another site can reach a server on this machine through the user's browser. It is kept out in three ways: the
Host header has to be the server's own, so that no foreign name may point here (DNS rebinding); an Origin has to be the
server's own; and no header allows other origins to read a response (no CORS).
"""

from __future__ import annotations

import hmac
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from metier.serving.errors import ApiError
from metier.serving.settings import LOOPBACK, MOST_BYTES, ServeSettings

_OPEN = ("/", "/health", "/settings", "/favicon.ico")  # without a key; what is under /static/ too
_HOST = re.compile(r"(?:(?P<name>[A-Za-z0-9.-]+)|\[(?P<v6>[0-9A-Fa-f:]+)\])(?::\d+)?")
_DIGITS = 12  # of a size that is worth reading as a number
CSP = "Content-Security-Policy"
_TOO_LARGE = f"a request may have {MOST_BYTES:,} bytes"
_HEADERS = {
    CSP: "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Gate:
    """Whether the server takes requests, and how many it is answering."""

    def __init__(self) -> None:
        self.closing = False
        self.inside = 0


class Guard:
    """Lets through what may be answered.

    Args:
        app: What answers.
        settings: How the server is run.
        gate: Says whether requests are taken.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings, gate: Gate) -> None:
        self._app = app
        self._settings = settings
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refused(Headers(scope=scope), scope["path"])
        if refused is not None:
            await refused.response(scope["path"])(scope, receive, send_with_headers)
            return
        read = 0

        async def receive_so_much() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MOST_BYTES:
                raise HTTPException(413, _TOO_LARGE)
            return message

        self._gate.inside += 1
        try:
            await self._app(scope, receive_so_much, send_with_headers)
        finally:
            self._gate.inside -= 1

    def _refused(self, headers: Headers, path: str) -> ApiError | None:
        host = headers.get("host", "")
        if not self._known(host):
            return ApiError(
                403, "the Host header is not this server's; call it by the address that it prints", code="host"
            )
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return ApiError(403, "requests from pages of other sites are not answered", code="origin")
        key = self._settings.key
        if key is not None and path not in _OPEN and not path.startswith("/static/"):
            given = headers.get("authorization", "")
            scheme, _, token = given.partition(" ")
            if not given:
                return ApiError(401, "a key is needed: Authorization: Bearer KEY", code="missing_api_key")
            if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), key.encode()):
                return ApiError(401, "the key is not right", code="invalid_api_key")
        size = headers.get("content-length", "0")
        if size.isdecimal() and (len(size) > _DIGITS or int(size) > MOST_BYTES):
            return ApiError(413, _TOO_LARGE, code="content_too_large")
        if self._gate.closing:
            return ApiError(503, "the server is stopping", code="stopping", retry_after=5)
        return None

    def _known(self, host: str) -> bool:
        if self._settings.host not in LOOPBACK:
            return True  # it may go by any name there, and a foreign page does not have the key
        return _name(host) in LOOPBACK


def _name(host: str) -> str:
    """Return the name in a Host header."""
    found = _HOST.fullmatch(host)
    return (found["name"] or found["v6"]).lower() if found else ""
