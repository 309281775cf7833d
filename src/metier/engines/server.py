"""Sends requests to an OpenAI-compatible server and reads its answers. Knows nothing about prompts or samples.

A request is retried where that may help. The key comes from the environment, and is neither logged nor written.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from metier.core.errors import MetierError, UserError, first_line

_RETRIED = (408, 409, 425, 429, 500, 502, 503, 504)
_LONGEST_WAIT = 60.0  # seconds between two tries, at most
_SHOWN = 160  # characters of a wrong answer that are shown

Json = dict[str, object]


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """A server, and how to ask it.

    Attributes:
        url: Its base address, with the version part (http://localhost:8000/v1).
        model: The model's name on the server.
        api: ``completions`` (prompts as rendered), or ``chat`` (a prompt becomes one user message).
        key_env: Environment variable that holds the key; may be unset for a local server.
        key: The key itself, in its place.
        socket: The file of a local socket, where it listens on no port.
        more: What every request for an answer says beside its own.
        concurrency: Requests in progress at once.
        timeout: Seconds to wait for one answer.
        retries: How often a request is retried.
        most_samples: The most samples the server gives in one answer; more are asked for in several requests.
    """

    url: str
    model: str
    api: Literal["completions", "chat"] = "completions"
    key_env: str = "OPENAI_API_KEY"
    key: str | None = dataclasses.field(default=None, repr=False)
    socket: Path | None = None
    more: Mapping[str, object] = dataclasses.field(default_factory=dict)
    concurrency: int = 8
    timeout: float = 120.0
    retries: int = 6
    most_samples: int = 128


class Message(BaseModel):
    """The message of a chat answer."""

    content: str | None = None


class Logprobs(BaseModel):
    """Log-probabilities of the tokens of a prompt and its answer, where each begins, and of others in its place."""

    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None
    text_offset: list[int] | None = None


class Choice(BaseModel):
    """One sample of an answer."""

    text: str | None = None
    message: Message | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None

    @property
    def written(self) -> str | None:
        """What the model wrote, by either endpoint."""
        return self.message.content if self.message is not None else self.text


class Usage(BaseModel):
    """Tokens that the server counted."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Completion(BaseModel):
    """A server's answer to a completion request; everything else in it is ignored."""

    model: str | None = None
    choices: list[Choice]
    usage: Usage | None = None


class _Entry(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_Entry]


class Client:
    """A connection to a server.

    Args:
        server: Which, and how to ask it.

    Raises:
        UserError: The extra is not installed.
    """

    def __init__(self, server: Server) -> None:
        check_installed()
        import httpx

        key = server.key or os.environ.get(server.key_env, "")
        self._server = server
        limits = httpx.Limits(max_connections=server.concurrency)
        self._http = httpx.Client(
            base_url=server.url.rstrip("/") + "/",
            timeout=server.timeout,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            limits=limits,
            transport=None if server.socket is None else httpx.HTTPTransport(uds=str(server.socket), limits=limits),
        )

    def served(self) -> list[str]:
        """Return the names of the models the server has; empty if it does not say.

        Raises:
            MetierError: The server cannot be reached, or is not of this kind.
        """
        answer = self._request("GET", "models", None)
        try:
            return [entry.id for entry in _Models.model_validate(answer).data]
        except ValidationError:
            return []

    def complete(self, path: str, body: Mapping[str, object]) -> Completion:
        """Return the answer to a completion request.

        Raises:
            UserError: The server refuses the key.
            MetierError: The server cannot be reached, keeps failing, or answers with something else.
        """
        url, asked = self._server.url, self._server.model
        answer = self._request("POST", path, {"model": asked, **self._server.more, **body})
        try:
            found = Completion.model_validate(answer)
        except ValidationError as error:
            place = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise MetierError(f"{url}: an answer with a wrong {place} ({json.dumps(answer)[:_SHOWN]})") from error
        if found.model and not _same_model(found.model, asked):
            raise MetierError(
                f"{url} was asked for {asked!r} and answered with {found.model!r}",
                hint="set engine.served_model to the name it uses",
            )
        return found

    def stream(self, path: str, body: Mapping[str, object]) -> Iterator[Completion]:
        """Yield the answer to a completion request in parts, as they come; closing the iterator ends the request.

        It is not retried.

        Raises:
            MetierError: The server cannot be reached, fails, or answers with something else.
        """
        import httpx

        url = self._server.url
        asked = {"model": self._server.model, **self._server.more, **body, "stream": True}
        try:
            with self._http.stream("POST", path, json=asked) as response:
                if response.status_code >= 400:
                    response.read()
                    raise MetierError(f"{url}/{path}: HTTP {response.status_code}: {response.text[:_SHOWN]}")
                for line in response.iter_lines():
                    told = line.removeprefix("data:").strip()
                    if line.startswith("data:") and told != "[DONE]":
                        yield _part(told, url)
        except httpx.TransportError as error:
            raise MetierError(f"{url}: the answer broke off ({type(error).__name__}: {first_line(error)})") from error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _request(self, method: str, path: str, body: Json | None) -> Json:
        """Send a request, and retry where that may help; waits grow, with jitter, or are what the server asks for."""
        import httpx
        import tenacity

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.wait if isinstance(error, _Again) else None
            grown: float = tenacity.wait_random_exponential(multiplier=0.5, max=_LONGEST_WAIT)(state)
            return min(_LONGEST_WAIT, asked) if asked is not None else grown

        tries = self._server.retries + 1
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((_Again, httpx.TransportError)),
            wait=wait,
            stop=tenacity.stop_after_attempt(tries),
            reraise=True,
        )
        url = self._server.url
        try:
            return retrying(self._once, method, path, body)
        except _Again as error:
            raise MetierError(f"{url}: still failing after {tries} tries ({error})") from error
        except httpx.TransportError as error:
            raise MetierError(
                f"{url}: cannot be reached after {tries} tries ({type(error).__name__}: {first_line(error)})",
                hint="is the server running? Then run the same command again to resume",
            ) from error

    def _once(self, method: str, path: str, body: Json | None) -> Json:
        url = self._server.url
        response = self._http.request(method, path, json=body)
        shown = response.text[:_SHOWN]
        if response.status_code in _RETRIED:
            raise _Again(f"HTTP {response.status_code}: {shown}", _asked_wait(response.headers))
        if response.status_code in (401, 403):
            raise UserError(
                f"{url}: access denied (HTTP {response.status_code})",
                hint=f"check the key in the environment variable {self._server.key_env}",
            )
        if response.status_code >= 400:
            raise MetierError(f"{url}/{path}: HTTP {response.status_code}: {shown}")
        try:
            answer = response.json()
        except ValueError as error:
            raise MetierError(
                f"{url}/{path}: the answer is not JSON ({shown!r})",
                hint="check engine.url; for most servers it ends in /v1",
            ) from error
        if not isinstance(answer, dict):
            raise MetierError(f"{url}/{path}: the answer is not a JSON object")
        return answer


def check_installed() -> None:
    """Raise unless what asks a server is installed.

    Raises:
        UserError: It is not.
    """
    for name in ("httpx", "tenacity"):
        if find_spec(name) is None:
            raise UserError(f"servers are not asked without {name}", hint="pip install 'metier[openai]'")


class _Again(Exception):
    """An answer after which the request may be retried."""

    def __init__(self, message: str, wait: float | None) -> None:
        super().__init__(message)
        self.wait = wait


def _part(told: str, url: str) -> Completion:
    """Return a part of a streamed answer."""
    try:
        return Completion.model_validate_json(told)
    except ValidationError as error:
        raise MetierError(f"{url}: a part of an answer is not one ({told[:_SHOWN]!r})") from error


def _same_model(given: str, asked: str) -> bool:
    """Whether two names may mean one model: servers give a file's path, or a dated version."""
    short = Path(given).name.removesuffix(".gguf").lower()
    return short.startswith(Path(asked).name.removesuffix(".gguf").lower())


def _asked_wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait; None if it does not say."""
    for name in ("retry-after-ms", "retry-after", "x-ratelimit-reset-requests", "x-ratelimit-reset-tokens"):
        text = headers.get(name, "").strip().lower()
        if not text:
            continue
        try:
            seconds = float(text.removesuffix("ms").removesuffix("s"))
        except ValueError:
            continue
        return seconds / 1000 if name.endswith("-ms") or text.endswith("ms") else seconds
    return None
