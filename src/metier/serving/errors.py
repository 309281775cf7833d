"""What goes wrong with a request, in the shape that OpenAI's clients read: every error of the server has it."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypedDict

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from metier.core.errors import MetierError, UserError
from metier.engines.base import CannotScore, EngineGone

_A_TYPE = re.compile(r"str|constrained-str|list\[.*\]")  # as pydantic names what of a union it has tried
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


DECISIONS = "/v1/systemone"
"""Its clients read another shape, which stands beside OpenAI's in the same body."""


class Problem(TypedDict):
    """What is wrong with a part of a request, as the clients of `DECISIONS` read it."""

    loc: list[str | int]
    msg: str
    type: str


class ApiError(Exception):
    """A request that is not answered.

    Args:
        status: The HTTP status.
        message: What was wrong and what to do about it.
        param: Which part of the request was wrong.
        code: A word for programs.
        retry_after: Seconds after which it may be tried again.
        problems: What is wrong part by part, where the request's form is.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
        problems: Sequence[Problem] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.problems = problems
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}

    @property
    def body(self) -> dict[str, Any]:
        """What is sent."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self, path: str) -> JSONResponse:
        """Return what is sent to who has asked for a path."""
        body = self.body
        if path == DECISIONS:
            kind, message = body["error"]["type"], self.message
            body["detail"] = list(self.problems) or {"error_type": kind, "message": message}
        return JSONResponse(body, self.status, self.headers)


class ErrorDetail(BaseModel):
    """What was wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """The body of every error."""

    error: ErrorDetail


_EVENT = {"type": "object", "properties": {"data": {"type": "string"}}, "required": ["data"]}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what the schema says of the errors of an endpoint, beside those that any may give."""
    return {status: {"model": ErrorBody, "description": HTTPStatus(status).phrase} for status in statuses}


def streamed(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the same of an endpoint whose answer comes as server-sent events if that is asked for."""
    return {200: {"content": {"text/event-stream": {"itemSchema": _EVENT}}}, **documented(*statuses)}


def handle_errors(app: FastAPI) -> None:
    """Let an application answer every error in this shape."""
    app.add_exception_handler(ApiError, _of_api)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(MetierError, _of_metier)
    app.add_exception_handler(Exception, _unforeseen)


def told(errors: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Return the first of pydantic's errors in a sentence, and the name of the part that it is about."""
    first = errors[0]
    parts = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    where = ".".join(part for part in parts if not _A_TYPE.fullmatch(part))
    message = {
        "extra_forbidden": "is not known here, and nothing is ignored: leave it out",
        "missing": "is missing",
        "json_invalid": f"is not JSON ({first.get('ctx', {}).get('error', '')})",
    }.get(first["type"], str(first["msg"]).removeprefix("Value error, "))
    if first["type"] == "json_invalid":
        return f"the body {message}", ""
    if message.startswith(f"{where}:"):
        return message, where
    return f"{where or 'the body'}: {message}", where


async def _of_api(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return error.response(request.url.path)


async def _of_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    message, where = (clean(part) for part in told(error.errors()))
    if request.url.path != DECISIONS:
        return ApiError(400, message, param=where or None, code="invalid_value").response(request.url.path)
    problems: list[Problem] = [
        {"loc": [clean(part) for part in one["loc"]], "msg": clean(one["msg"]), "type": one["type"]}
        for one in error.errors()
    ]
    return ApiError(422, message, param=where or None, code="invalid_value", problems=problems).response(DECISIONS)


async def _of_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    made = ApiError(error.status_code, str(error.detail), code=HTTPStatus(error.status_code).name.lower())
    made.headers.update(error.headers or {})
    return made.response(request.url.path)


def api_error(error: ApiError | MetierError) -> ApiError:
    """Return an error as it is sent."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, CannotScore):
        return ApiError(400, error.message, param="model", code="cannot_score")
    if isinstance(error, EngineGone):
        return ApiError(503, error.message, code="engine_ended")
    return ApiError(400 if isinstance(error, UserError) else 500, error.message)


async def _of_metier(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MetierError)
    return api_error(error).response(request.url.path)


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    # Where it happened is said on the console, and no more: an error's own message may hold a user's text.
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}, line {last.lineno}"
    print(
        f"error: {type(error).__name__} in {where} ({request.method} {request.url.path})", file=sys.stderr, flush=True
    )
    message = f"the server failed ({type(error).__name__})"
    return ApiError(500, message, code="internal_error").response(request.url.path)


def clean(part: str | int) -> str:
    """Return text from a request so that it can be sent back: half of a surrogate pair is no UTF-8."""
    return str(part).encode("utf-8", "backslashreplace").decode()
