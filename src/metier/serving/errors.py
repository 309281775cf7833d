"""What goes wrong with a request, in the shape that OpenAI's clients read: every error of the server has it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from metier.core.errors import MetierError, UserError

_A_TYPE = re.compile(r"str|constrained-str|list\[.*\]")  # as pydantic names what of a union it has tried
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class ApiError(Exception):
    """A request that is not answered.

    Args:
        status: The HTTP status.
        message: What was wrong and what to do about it.
        param: Which part of the request was wrong.
        code: A word for programs.
        retry_after: Seconds after which it may be tried again.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}

    @property
    def body(self) -> dict[str, Any]:
        """What is sent."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    @property
    def response(self) -> JSONResponse:
        """What is sent, as a response."""
        return JSONResponse(self.body, self.status, self.headers)


class ErrorDetail(BaseModel):
    """What was wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """The body of every error."""

    error: ErrorDetail


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what the schema says of the errors of an endpoint, beside those that any may give."""
    return {status: {"model": ErrorBody, "description": HTTPStatus(status).phrase} for status in statuses}


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
    return error.response


async def _of_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    message, where = told(error.errors())
    # A lone half of a surrogate pair cannot be sent back as UTF-8.
    clean = message.encode("utf-8", "backslashreplace").decode()
    param = where.encode("utf-8", "backslashreplace").decode() or None
    return ApiError(400, clean, param=param, code="invalid_value").response


async def _of_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    made = ApiError(error.status_code, str(error.detail), code=HTTPStatus(error.status_code).name.lower())
    made.headers.update(error.headers or {})
    return made.response


async def _of_metier(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MetierError)
    return ApiError(400 if isinstance(error, UserError) else 500, error.message).response


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    return ApiError(500, f"the server failed ({type(error).__name__})", code="internal_error").response
