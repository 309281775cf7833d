"""The protocol of every engine: requests, results, counts. Knows nothing about any particular engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from metier.core.errors import MetierError
from metier.engines.prompts import Prompt

Progress = Callable[[int, int], None]
"""Called with (requests done, tokens made since the call began)."""


@dataclasses.dataclass(frozen=True, slots=True)
class GenerationRequest:
    """Ask for ``samples`` continuations of one prompt.

    Attributes:
        prompt: What to continue.
        samples: How many continuations.
        max_tokens: Longest continuation.
        temperature: 0 always takes the most likely token.
        top_k: Sample from the k most likely tokens; 0: from all.
        stop: Strings that end a continuation; they are not part of it.
        seed: Seeds this request only: its samples do not depend on what else is in the batch.
        max_chars: A longer continuation is of no use, so an engine may stop it there, unfinished.
        first_sample: Number of the first sample: asking for 0-5 and then 6-9 gives the same samples as asking for 0-9.
        schema: A JSON schema, as text, that a continuation has to satisfy. Only an engine that is `Guides` takes it.
        top: How many of the likeliest tokens to tell at each step, beside the one that was taken; None: tell nothing.
            Only an engine that is `Guides` takes it.
    """

    prompt: Prompt
    samples: int = 1
    max_tokens: int = 128
    temperature: float = 0.0
    top_k: int = 0
    stop: tuple[str, ...] = ()
    seed: int = 0
    max_chars: int | None = None
    first_sample: int = 0
    schema: str | None = None
    top: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Chance:
    """How likely a token was.

    Attributes:
        token: Its bytes; of a special token its name.
        logprob: Its natural-log probability, as the model has it: before temperature, ``top_k`` and a schema.
    """

    token: bytes
    logprob: float


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """A token of a continuation.

    Attributes:
        taken: The token.
        top: The likeliest tokens at its place, the likeliest first; as many as were asked for.
    """

    taken: Chance
    top: tuple[Chance, ...]


ToldOfTokens = Callable[[Sequence[Step]], None]
"""Called with further tokens of a continuation."""


@dataclasses.dataclass(frozen=True, slots=True)
class Generation:
    """The continuations of one prompt.

    Attributes:
        texts: One per sample, without the stop string or end token.
        finished: For each, whether the model ended it (False: it was cut off at ``max_tokens``).
        steps: For each, its tokens, the end token not among them; empty unless the request asks for them.
    """

    texts: tuple[str, ...]
    finished: tuple[bool, ...]
    steps: tuple[tuple[Step, ...], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class ScoringRequest:
    """Ask how likely each continuation is after one prompt, the end of the answer included."""

    prompt: Prompt
    continuations: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Scores:
    """Log-likelihoods of the continuations of one prompt, end token included.

    Attributes:
        logprobs: Summed natural-log probability of each continuation.
        tokens: Number of tokens summed for each, the end token included.
    """

    logprobs: tuple[float, ...]
    tokens: tuple[int, ...]


class CannotScore(MetierError):
    """The engine cannot compute how likely a given text is."""


class EngineGone(MetierError):
    """The process that runs the model has ended."""


@dataclasses.dataclass(slots=True)
class EngineStats:
    """What an engine has done since it was created."""

    prompt_tokens: int = 0
    generated_tokens: int = 0
    seconds: float = 0.0


class Engine(Protocol):
    """Runs one model, with or without an adapter."""

    @property
    def stats(self) -> EngineStats:
        """What it has done since it was created."""
        ...

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Generation]:
        """Continue every prompt; results come in the order of the requests."""
        ...

    def score(self, requests: Sequence[ScoringRequest], progress: Progress | None = None) -> list[Scores]:
        """Score every prompt's continuations; results come in the order of the requests."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, without special tokens."""
        ...

    @property
    def context_length(self) -> int:
        """The most tokens a prompt and its answer may have together."""
        ...


@runtime_checkable
class Streams(Protocol):
    """An engine that can say what it has written so far."""

    def stream(self, request: GenerationRequest, told: ToldOfTokens | None = None) -> Iterator[str]:
        """Yield the continuation of one prompt piece by piece; joined, they are what `Engine.generate` returns.

        Args:
            request: What is asked for.
            told: Called before a piece with the tokens since the last one, where ``request.top`` asks for them.
        """
        ...


@runtime_checkable
class Guides(Protocol):
    """An engine that can keep to a JSON schema, and tell how likely each token was that it took."""

    @property
    def guides(self) -> bool:
        """Whether its model's tokenizer allows it."""
        ...


@runtime_checkable
class HoldsAdapters(Protocol):
    """An engine that can put adapters on the one model that it has in memory."""

    def beside(self, adapter: Path | None) -> Engine:
        """Return an engine on the same model with another adapter, or none; the two are used in turns, not at once."""
        ...
