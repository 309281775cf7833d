"""An engine on vLLM's own server: prompts go there as tokens, so special tokens in a text are text there too.

It is asked as `vllm.py` asks vLLM in this process, and so answers alike. Knows nothing about tasks.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from metier.core.errors import MetierError
from metier.engines.at_once import at_once
from metier.engines.base import (
    EngineGone,
    EngineStats,
    Generation,
    GenerationRequest,
    Progress,
    Scores,
    ScoringRequest,
    ToldOfTokens,
)
from metier.engines.control_tokens import PromptReader
from metier.engines.prompts import Prompt
from metier.engines.questions import Found, Question, found, questions, total
from metier.engines.server import Client, Completion, Json, Server
from metier.engines.vllm import ALTERNATIVES
from metier.models.tokenizer import Tokenizer

_AT_ONCE = 64
_ENDS = 5.0  # seconds in which a server that fails may turn out to be ending
_NAMED = "token_id:"  # what stands before a token's number in an answer
_R = TypeVar("_R")
_A = TypeVar("_A")


class Started(Protocol):
    """A server that is started before the engine is first asked; `vllm_process.VllmProcess` is one."""

    def server(self, name: str, concurrency: int) -> Server:
        """Return how it is asked for one of its models."""
        ...

    @property
    def ended(self) -> str | None:
        """That it has ended; None as long as it runs."""
        ...


class VllmServerEngine:
    """Asks vLLM's server for one model, which is the base model or an adapter on it.

    Args:
        started: The server.
        name: The model's name there.
        tokenizer: The model's.
        ends: Tokens that end an answer.
        context_length: The most tokens of a prompt and its answer.
    """

    def __init__(
        self, started: Started, name: str, tokenizer: Tokenizer, ends: frozenset[int], context_length: int
    ) -> None:
        self._started, self._name = started, name
        self._tokenizer, self._ends, self._context = tokenizer, sorted(ends), context_length
        self._reader = PromptReader(tokenizer)
        self._client: Client | None = None
        self._lock = threading.Lock()
        self.stats = EngineStats()

    @property
    def context_length(self) -> int:
        """The most tokens a prompt and its answer may have together."""
        return self._context

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, special tokens not added."""
        return [len(self._tokens(text)) for text in texts]

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Generation]:
        """Continue every prompt; see `Engine.generate`.

        Raises:
            EngineGone: The server has ended.
            MetierError: A prompt and its answer do not fit the model's context, or the server fails.
        """
        before = self.stats.generated_tokens
        bodies = [self._asking(i, request) for i, request in enumerate(requests)]

        def told(done: int) -> None:
            if progress:
                progress(done, self.stats.generated_tokens - before)

        return self._timed(bodies, self._written, told)

    def score(self, requests: Sequence[ScoringRequest], progress: Progress | None = None) -> list[Scores]:
        """Score every prompt's continuations; see `Engine.score`, and `VllmEngine.score` for how.

        Raises:
            EngineGone: The server has ended.
            MetierError: A prompt and a continuation do not fit the model's context, or the server fails.
        """
        tails = [[(*self._tokens(text), self._tokenizer.eos_token_id) for text in r.continuations] for r in requests]
        asked: list[tuple[int, Question, Json]] = []
        for i, (request, ends) in enumerate(zip(requests, tails, strict=True)):
            head = self._fitting(i, request.prompt, max(len(end) for end in ends))
            asked += [(i, one, _body(head, one)) for one in questions(ends, ALTERNATIVES)]

        def told(done: int) -> None:
            if progress:
                progress(done * len(requests) // len(asked), 0)

        at: list[Found] = [{} for _ in requests]
        answers = self._timed(asked, lambda one: found(one[1], self._likelihoods(one[2])), told)
        for (i, _, _), answer in zip(asked, answers, strict=True):
            at[i] |= answer
        return [total(ends, one) for ends, one in zip(tails, at, strict=True)]

    def stream(self, request: GenerationRequest, told: ToldOfTokens | None = None) -> Iterator[str]:
        """Yield the continuation of one prompt piece by piece; closing the iterator ends the request.

        Args:
            request: What is asked for; of its tokens nothing can be told.
            told: Not called.

        Raises:
            EngineGone: The server has ended.
            MetierError: The prompt and its answer do not fit the model's context, or the server fails.
        """
        body = {**self._asking(0, request), "stream_options": {"include_usage": True}}
        with self._watched():
            for part in self._opened().stream("completions", body):
                self._count(part)
                if part.choices and part.choices[0].text:
                    yield part.choices[0].text

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    def _asking(self, index: int, request: GenerationRequest) -> Json:
        return {
            "prompt": self._fitting(index, request.prompt, request.max_tokens),
            "n": request.samples,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_k": request.top_k,
            "stop": list(request.stop),
            "stop_token_ids": self._ends,
            "seed": request.seed + request.first_sample,
        }

    def _opened(self) -> Client:
        if self._client is None:
            self._client = Client(self._started.server(self._name, _AT_ONCE))
        return self._client

    def _timed(self, asked: Sequence[_R], ask: Callable[[_R], _A], told: Callable[[int], None]) -> list[_A]:
        self._opened()  # here, as there is one for all threads
        start = time.perf_counter()
        try:
            return at_once(asked, ask, _AT_ONCE, told)
        finally:
            self.stats.seconds += time.perf_counter() - start

    def _written(self, body: Json) -> Generation:
        choices = self._complete(body).choices
        return Generation(
            tuple(choice.text or "" for choice in choices), tuple(c.finish_reason != "length" for c in choices)
        )

    def _likelihoods(self, body: Json) -> list[dict[int, float]]:
        """Return what an answer says of the tokens at each of its places."""
        given = self._complete(body).choices[0].logprobs
        steps = given.top_logprobs if given is not None else None
        if not steps or not all(steps):
            raise MetierError("vLLM's server gives no log-probabilities of named tokens", hint="upgrade vLLM to 0.32")
        return [{int(name.removeprefix(_NAMED)): value for name, value in (step or {}).items()} for step in steps]

    def _complete(self, body: Json) -> Completion:
        with self._watched():
            answer = self._opened().complete("completions", body)
        self._count(answer)
        return answer

    def _count(self, answer: Completion) -> None:
        if answer.usage is not None:
            with self._lock:
                self.stats.prompt_tokens += answer.usage.prompt_tokens or 0
                self.stats.generated_tokens += answer.usage.completion_tokens or 0

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """Let an error say that the server has ended, where that is why: its connections end a little earlier."""
        try:
            yield
        except MetierError as error:
            until = time.monotonic() + _ENDS
            while (ended := self._started.ended) is None and time.monotonic() < until:
                time.sleep(0.05)
            if ended is not None:
                raise EngineGone(ended, hint="start it again") from error
            raise

    def _tokens(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _fitting(self, index: int, prompt: Prompt, room: int) -> list[int]:
        tokens = self._reader.tokens(prompt.text, prompt.data)
        if len(tokens) + room > self._context:
            raise MetierError(
                f"request {index}: a prompt of {len(tokens)} tokens and an answer of up to {room} do not fit "
                f"the model's context of {self._context}",
                hint="shorten the instruction, the examples or this input, or use a model with a longer context",
            )
        return tokens


def _body(head: Sequence[int], question: Question) -> Json:
    """Return the request for the log-probabilities that a question wants, behind a prompt."""
    body: Json = {
        "prompt": [*head, *question.behind],
        "max_tokens": 1 if question.then is None else 2,
        "temperature": 0.0,
        "logprobs": 1,
        "logprob_token_ids": list(question.wanted),
        "return_tokens_as_token_ids": True,
        "ignore_eos": True,
    }
    return body if question.then is None else {**body, "allowed_token_ids": [question.then]}
