"""An engine behind an OpenAI-compatible server: vLLM, llama.cpp, Ollama, LM Studio, a hosted API. Knows no tasks.

Prompts go as they are rendered, through the completions endpoint (or, for servers that only chat, as one user message).
What is finished is written to a journal at once, so that an answer that was paid for is not asked for again. The key
comes from the environment, and is neither logged nor written.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from metier.core import storage
from metier.core.errors import MetierError, UserError, first_line
from metier.engines.base import (
    CannotScore,
    EngineStats,
    Generation,
    GenerationRequest,
    Progress,
    Scores,
    ScoringRequest,
)

_R = TypeVar("_R")
_A = TypeVar("_A")
_RETRIED = (408, 409, 425, 429, 500, 502, 503, 504)
_LONGEST_WAIT = 60.0  # seconds between two tries, at most
_SHOWN = 160  # characters of a wrong answer that are shown


class OpenAIEngine:
    """Asks a server, several requests at once, and tries again where it may help.

    Args:
        url: The server's base address, with its version part (http://localhost:8000/v1).
        model: The model's name as the server knows it.
        count_tokens: Counts the tokens of texts, with the model's own tokenizer.
        context_length: The most tokens of a prompt and its answer.
        api: ``completions`` (prompts as rendered), or ``chat`` (a prompt becomes one user message).
        key_env: Name of the environment variable that holds the key; it may be unset for a local server.
        concurrency: Requests under way at once.
        timeout: Seconds to wait for one answer.
        retries: How often a request is tried again.
        most_samples: The most samples the server gives in one answer; more are asked for in several requests.
        journal: Where finished answers are kept, one JSON line each; None: nowhere.

    Raises:
        UserError: The server does not know the model, or the extra is not installed.
        MetierError: The server is down, or what answers is no such server.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        count_tokens: Callable[[Sequence[str]], list[int]],
        context_length: int,
        api: Literal["completions", "chat"] = "completions",
        key_env: str = "OPENAI_API_KEY",
        concurrency: int = 8,
        timeout: float = 120.0,
        retries: int = 6,
        most_samples: int = 128,
        journal: Path | None = None,
    ) -> None:
        try:
            import httpx
        except ImportError as error:
            raise UserError("engine: openai needs an extra", hint="pip install 'metier[openai]'") from error
        key = os.environ.get(key_env, "")
        self._client = httpx.Client(
            base_url=url.rstrip("/") + "/",
            timeout=timeout,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            limits=httpx.Limits(max_connections=concurrency),
        )
        self._url, self._model, self._api = url, model, api
        self._concurrency, self._retries = concurrency, retries
        self._count, self._context = count_tokens, context_length
        self._most = most_samples
        self._lock = threading.Lock()
        self._journal = _Journal(journal)
        self.stats = EngineStats()
        self._check_model()

    @property
    def context_length(self) -> int:
        """The most tokens a prompt and its answer may have together."""
        return self._context

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        return self._count(texts)

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Generation]:
        """Continue every prompt; see `Engine.generate`.

        Raises:
            MetierError: The server fails for good, or a prompt and its answer do not fit the context. What was answered
                until then is in the journal.
        """
        return self._all(requests, self._generate_one, progress)

    def score(self, requests: Sequence[ScoringRequest], progress: Progress | None = None) -> list[Scores]:
        """Score every prompt's continuations; see `Engine.score`. The end of an answer is not scored here.

        Raises:
            MetierError: The server gives no log-probabilities of a prompt's tokens (few but vLLM do), or fails.
        """
        return self._all(requests, self._score_one, progress)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _all(self, requests: Sequence[_R], ask: Callable[[_R], _A], progress: Progress | None) -> list[_A]:
        start, before, done = time.perf_counter(), self.stats.generated_tokens, 0
        results: dict[int, _A] = {}
        pool = concurrent.futures.ThreadPoolExecutor(self._concurrency)
        try:
            futures = {pool.submit(ask, request): i for i, request in enumerate(requests)}
            for future in concurrent.futures.as_completed(futures):
                results[futures[future]] = future.result()
                done += 1
                if progress:
                    progress(done, self.stats.generated_tokens - before)
        finally:
            # After a failure or Ctrl-C, what has not been asked is not asked any more.
            pool.shutdown(wait=True, cancel_futures=True)
            self.stats.seconds += time.perf_counter() - start
        return [results[i] for i in range(len(requests))]

    def _generate_one(self, request: GenerationRequest) -> Generation:
        prompt = request.prompt.text
        size = self._count([prompt])[0]
        if size + request.max_tokens > self._context:
            raise MetierError(
                f"a prompt of {size} tokens and an answer of up to {request.max_tokens} do not fit the context of "
                f"{self._context}",
                hint="shorten the instruction, the examples or this input",
            )
        key = storage.digest(["generate", self._model, self._api, prompt, _settings(request), request.samples])
        kept = self._journal.get(key)
        if kept is None:
            texts: list[str] = []
            finished: list[bool] = []
            while len(texts) < request.samples:
                wanted = min(self._most, request.samples - len(texts))
                body = {"model": self._model, **_settings(request), "n": wanted}
                body["seed"] = request.seed + request.first_sample + len(texts)
                choices = self._choices(body, prompt)
                if len(choices) < wanted:  # a server that knows no n gives one
                    self._most = 1
                texts += [text for text, _ in choices[:wanted]]
                finished += [ended for _, ended in choices[:wanted]]
            kept = {"texts": texts, "finished": finished}
            self._journal.put(key, kept)
        cut = [_cut(text, request.stop) for text in kept["texts"]]
        return Generation(tuple(cut), tuple(kept["finished"]))

    def _choices(self, body: dict[str, Any], prompt: str) -> list[tuple[str, bool]]:
        if self._api == "chat":
            answer = self._post("chat/completions", {**body, "messages": [{"role": "user", "content": prompt}]})
            texts = [choice.get("message", {}).get("content") for choice in _list(answer, "choices", self._url)]
        else:
            answer = self._post("completions", {**body, "prompt": prompt})
            texts = [choice.get("text") for choice in _list(answer, "choices", self._url)]
        if not texts or not all(isinstance(text, str) for text in texts):
            raise MetierError(f"{self._url}: an answer without text ({json.dumps(answer)[:_SHOWN]})")
        self._count_usage(answer)
        ended = [choice.get("finish_reason") != "length" for choice in answer["choices"]]
        return list(zip(texts, ended, strict=True))

    def _score_one(self, request: ScoringRequest) -> Scores:
        sums, lengths = [], []
        for continuation in request.continuations:
            whole = request.prompt.text + continuation
            key = storage.digest(["score", self._model, whole, len(request.prompt.text)])
            kept = self._journal.get(key)
            if kept is None:
                body = {"model": self._model, "prompt": whole, "max_tokens": 1, "echo": True, "logprobs": 1}
                answer = self._post("completions", {**body, "temperature": 0})
                self._count_usage(answer)
                kept = _continuation_logprob(answer, len(request.prompt.text), len(whole), self._url)
                self._journal.put(key, kept)
            sums.append(float(kept["logprob"]))
            lengths.append(int(kept["tokens"]))
        return Scores(tuple(sums), tuple(lengths))

    def _count_usage(self, answer: dict[str, Any]) -> None:
        usage = answer.get("usage") or {}
        with self._lock:
            self.stats.prompt_tokens += int(usage.get("prompt_tokens") or 0)
            self.stats.generated_tokens += int(usage.get("completion_tokens") or 0)

    def _check_model(self) -> None:
        """Ask which models there are; a server that does not say is taken at its word later."""
        answer = self._request("GET", "models", None)
        served = [entry.get("id") for entry in answer.get("data") or [] if isinstance(entry, dict)]
        if served and self._model not in served:
            names = ", ".join(str(name) for name in served[:8])
            raise UserError(f"engine.served_model: {self._url} does not serve {self._model!r}", hint=f"it has: {names}")

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._request("POST", path, body)
        told = answer.get("model")
        if isinstance(told, str) and told and told != self._model and not _same_model(told, self._model):
            raise MetierError(
                f"{self._url} was asked for {self._model!r} and answered with {told!r}",
                hint="set engine.served_model to the name it uses",
            )
        return answer

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        """Send one request, again where that may help; waits grow, with jitter, or are what the server asks for."""
        import httpx
        import tenacity

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.wait if isinstance(error, _Again) else None
            grown: float = tenacity.wait_random_exponential(multiplier=0.5, max=_LONGEST_WAIT)(state)
            return min(_LONGEST_WAIT, asked) if asked is not None else grown

        @tenacity.retry(
            retry=tenacity.retry_if_exception_type((_Again, httpx.TransportError)),
            wait=wait,
            stop=tenacity.stop_after_attempt(self._retries + 1),
            reraise=True,
        )
        def once() -> dict[str, Any]:
            response = self._client.request(method, path, json=body)
            if response.status_code in _RETRIED:
                raise _Again(f"HTTP {response.status_code}: {response.text[:_SHOWN]}", _asked_wait(response.headers))
            if response.status_code in (401, 403):
                raise UserError(
                    f"{self._url}: refused (HTTP {response.status_code})", hint="is the key in the environment right?"
                )
            if response.status_code >= 400:
                raise MetierError(f"{self._url}/{path}: HTTP {response.status_code}: {response.text[:_SHOWN]}")
            try:
                answer = response.json()
            except ValueError as error:
                raise MetierError(
                    f"{self._url}/{path}: the answer is not JSON ({response.text[:_SHOWN]!r})",
                    hint="is engine.url right? It ends in /v1 for most servers",
                ) from error
            if not isinstance(answer, dict):
                raise MetierError(f"{self._url}/{path}: the answer is not a JSON object")
            return answer

        try:
            return once()
        except _Again as error:
            raise MetierError(f"{self._url}: still failing after {self._retries + 1} tries ({error})") from error
        except httpx.TransportError as error:
            raise MetierError(
                f"{self._url}: cannot be reached after {self._retries + 1} tries "
                f"({type(error).__name__}: {first_line(error)})",
                hint="is the server running? The same command goes on where it was",
            ) from error


class _Again(Exception):
    """An answer after which the request may be tried again."""

    def __init__(self, message: str, wait: float | None) -> None:
        super().__init__(message)
        self.wait = wait


class _Journal:
    """Finished answers by the hash of what was asked, appended to a file as they come; a torn line is passed over."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._held: dict[str, dict[str, Any]] = dict(_journal_lines(path)) if path is not None else {}

    def get(self, key: str) -> dict[str, Any] | None:
        return self._held.get(key)

    def put(self, key: str, value: dict[str, Any]) -> None:
        with self._lock:
            self._held[key] = value
            if self._path is not None:
                with storage.explained(self._path):
                    self._path.parent.mkdir(parents=True, exist_ok=True)
                    with self._path.open("a", encoding="utf-8") as file:
                        file.write(json.dumps({"key": key, "value": value}, ensure_ascii=False) + "\n")


def _journal_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
            yield entry["key"], entry["value"]
        except (ValueError, KeyError, TypeError):
            continue


def _settings(request: GenerationRequest) -> dict[str, Any]:
    """Return a request's sampling as the servers name it; top_k is an extension that vLLM and llama.cpp know."""
    settings: dict[str, Any] = {"max_tokens": request.max_tokens, "temperature": request.temperature}
    if request.top_k:
        settings["top_k"] = request.top_k
    if request.stop:
        settings["stop"] = list(request.stop)[:4]  # as many as the interface allows
    return {**settings, "seed": request.seed + request.first_sample}


def _cut(text: str, stops: Sequence[str]) -> str:
    places = [place for place in (text.find(stop) for stop in stops) if place >= 0]
    return text[: min(places)] if places else text


def _continuation_logprob(answer: dict[str, Any], begin: int, end: int, url: str) -> dict[str, Any]:
    """Return the summed log-probability of the tokens that begin inside a continuation, from an echoed prompt.

    Args:
        answer: The server's answer to a completion with ``echo`` and ``logprobs``.
        begin: Where the continuation begins, in characters.
        end: Where it ends.
        url: Names the server in errors.
    """
    told = (_list(answer, "choices", url) or [{}])[0].get("logprobs") or {}
    values, offsets = told.get("token_logprobs"), told.get("text_offset")
    if not values or not offsets or len(values) != len(offsets) or not any(o < end for o in offsets[1:]):
        raise CannotScore(
            f"{url} gives no log-probabilities of a prompt's tokens, so it cannot score labels",
            hint="leave label_scoring out of evaluation.baselines, or use the transformers or vllm engine",
        )
    inside = [v for v, o in zip(values, offsets, strict=True) if begin <= o < end and v is not None]
    if not inside:
        raise MetierError(f"{url}: the echoed prompt holds no token of the continuation")
    return {"logprob": float(sum(inside)), "tokens": len(inside)}


def _list(answer: dict[str, Any], key: str, url: str) -> list[dict[str, Any]]:
    found = answer.get(key)
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise MetierError(f"{url}: an answer without {key} ({json.dumps(answer)[:_SHOWN]})")
    return found


def _same_model(told: str, asked: str) -> bool:
    """Whether two names may be one model: servers tell a file's path, or a dated version."""
    short = Path(told).name.removesuffix(".gguf").lower()
    return short.startswith(Path(asked).name.removesuffix(".gguf").lower())


def _asked_wait(headers: Any) -> float | None:
    """Return the seconds that a server asks to wait; None if it does not say."""
    for name in ("retry-after-ms", "retry-after", "x-ratelimit-reset-requests", "x-ratelimit-reset-tokens"):
        text = str(headers.get(name, "")).strip().lower()
        if not text:
            continue
        try:
            seconds = float(text.removesuffix("ms").removesuffix("s"))
        except ValueError:
            continue
        return seconds / 1000 if name.endswith("-ms") or text.endswith("ms") else seconds
    return None
