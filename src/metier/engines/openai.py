"""An engine behind an OpenAI-compatible server: vLLM, llama.cpp, Ollama, LM Studio, a hosted API.

Prompts are sent as rendered, through the completions endpoint (or, for servers that only chat, as one user message).
Every finished answer goes into a journal at once. Knows nothing about tasks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from metier.core import storage
from metier.core.errors import MetierError, UserError
from metier.engines.at_once import at_once
from metier.engines.base import (
    CannotScore,
    EngineStats,
    Generation,
    GenerationRequest,
    Progress,
    Scores,
    ScoringRequest,
)
from metier.engines.journal import Journal
from metier.engines.server import Choice, Client, Completion, Json, Server

_R = TypeVar("_R")
_A = TypeVar("_A")
_SHOWN = 160  # characters of a wrong answer that are shown


class Written(BaseModel):
    """The samples of one generation request, as the journal keeps them."""

    texts: list[str]
    finished: list[bool]


class Likelihood(BaseModel):
    """The summed log-probability of one continuation, as the journal keeps it."""

    logprob: float
    tokens: int


class OpenAIEngine:
    """Asks a server, several requests at once, and retries where that may help.

    Args:
        server: The server, and how to ask it.
        count_tokens: Counts the tokens of texts, with the model's own tokenizer.
        context_length: The most tokens of a prompt and its answer.
        journal: Where finished answers are kept, one JSON line each; None: nowhere.

    Raises:
        UserError: The server does not have the model, or the extra is not installed.
        MetierError: The server is down, or what answers is not such a server.
    """

    def __init__(
        self,
        server: Server,
        *,
        count_tokens: Callable[[Sequence[str]], list[int]],
        context_length: int,
        journal: Path | None = None,
    ) -> None:
        self._server = server
        self._client = Client(server)
        self._count, self._context = count_tokens, context_length
        self._most = server.most_samples
        self._lock = threading.Lock()
        self._journal = Journal(journal)
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
            MetierError: The server keeps failing, or a prompt and its answer do not fit the context. Earlier answers
                are in the journal.
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
        start, before = time.perf_counter(), self.stats.generated_tokens

        def told(done: int) -> None:
            if progress:
                progress(done, self.stats.generated_tokens - before)

        try:
            return at_once(requests, ask, self._server.concurrency, told)
        finally:
            self.stats.seconds += time.perf_counter() - start

    def _generate_one(self, request: GenerationRequest) -> Generation:
        prompt = request.prompt.text
        size = self._count([prompt])[0]
        if size + request.max_tokens > self._context:
            raise MetierError(
                f"a prompt of {size} tokens and an answer of up to {request.max_tokens} do not fit the context of "
                f"{self._context}",
                hint="shorten the instruction, the examples or this input",
            )
        model, api = self._server.model, self._server.api
        key = storage.digest(["generate", model, api, prompt, _settings(request), request.samples])
        kept = self._journal.get(key, Written)
        if kept is None:
            kept = self._written(request)
            self._journal.put(key, kept)
        return Generation(tuple(_cut(text, request.stop) for text in kept.texts), tuple(kept.finished))

    def _written(self, request: GenerationRequest) -> Written:
        found = Written(texts=[], finished=[])
        while len(found.texts) < request.samples:
            wanted = min(self._most, request.samples - len(found.texts))
            body = {**_settings(request), "n": wanted, "seed": request.seed + request.first_sample + len(found.texts)}
            choices = self._choices(body, request.prompt.text)
            if len(choices) < wanted:  # a server that ignores n gives one
                self._most = 1
            for choice in choices[:wanted]:
                found.texts.append(choice.written or "")
                found.finished.append(choice.finish_reason != "length")
        return found

    def _choices(self, body: Json, prompt: str) -> list[Choice]:
        if self._server.api == "chat":
            answer = self._client.complete(
                "chat/completions", {**body, "messages": [{"role": "user", "content": prompt}]}
            )
        else:
            answer = self._client.complete("completions", {**body, "prompt": prompt})
        if not answer.choices or any(choice.written is None for choice in answer.choices):
            raise MetierError(f"{self._server.url}: an answer without text ({answer.model_dump_json()[:_SHOWN]})")
        self._count_usage(answer)
        return answer.choices

    def _score_one(self, request: ScoringRequest) -> Scores:
        found = []
        begin = len(request.prompt.text)
        for continuation in request.continuations:
            whole = request.prompt.text + continuation
            key = storage.digest(["score", self._server.model, whole, begin])
            kept = self._journal.get(key, Likelihood)
            if kept is None:
                body = {"prompt": whole, "max_tokens": 1, "echo": True, "logprobs": 1, "temperature": 0}
                answer = self._client.complete("completions", body)
                self._count_usage(answer)
                kept = _likelihood(answer, begin, len(whole), self._server.url)
                self._journal.put(key, kept)
            found.append(kept)
        return Scores(tuple(kept.logprob for kept in found), tuple(kept.tokens for kept in found))

    def _count_usage(self, answer: Completion) -> None:
        if answer.usage is not None:
            with self._lock:
                self.stats.prompt_tokens += answer.usage.prompt_tokens or 0
                self.stats.generated_tokens += answer.usage.completion_tokens or 0

    def _check_model(self) -> None:
        """Raise unless the server has the model; one that lists no models is checked by its answers."""
        url, model, served = self._server.url, self._server.model, self._client.served()
        if served and model not in served:
            raise UserError(
                f"engine.served_model: {url} does not serve {model!r}", hint=f"it has: {', '.join(served[:8])}"
            )


def _settings(request: GenerationRequest) -> Json:
    """Return a request's sampling as the servers name it; top_k is an extension of vLLM and llama.cpp."""
    settings: Json = {"max_tokens": request.max_tokens, "temperature": request.temperature}
    if request.top_k:
        settings["top_k"] = request.top_k
    if request.stop:
        settings["stop"] = list(request.stop)[:4]  # the interface allows no more
    return {**settings, "seed": request.seed + request.first_sample}


def _cut(text: str, stops: Sequence[str]) -> str:
    places = [place for place in (text.find(stop) for stop in stops) if place >= 0]
    return text[: min(places)] if places else text


def _likelihood(answer: Completion, begin: int, end: int, url: str) -> Likelihood:
    """Return the summed log-probability of the tokens that begin inside a continuation, from an echoed prompt.

    Args:
        answer: The server's answer to a completion with ``echo`` and ``logprobs``.
        begin: Where the continuation begins, in characters.
        end: Where it ends.
        url: Names the server in errors.
    """
    given = answer.choices[0].logprobs if answer.choices else None
    values, offsets = (given.token_logprobs or [], given.text_offset or []) if given else ([], [])
    if len(values) != len(offsets) or not any(offset < end for offset in offsets[1:]):
        raise CannotScore(
            f"{url} gives no log-probabilities of a prompt's tokens, so it cannot score labels",
            hint="leave label_scoring out of evaluation.baselines, or use the transformers or vllm engine",
        )
    inside = [v for v, offset in zip(values, offsets, strict=True) if begin <= offset < end and v is not None]
    if not inside:
        raise MetierError(f"{url}: the echoed prompt holds no token of the continuation")
    return Likelihood(logprob=float(sum(inside)), tokens=len(inside))
