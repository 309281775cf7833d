"""What OpenAI's clients may wish for an answer, and what of it can be done: the rest is refused by name, never ignored.

A product answers as it was measured: with the likeliest token at each step, once. A base model samples if asked to.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

from pydantic import Field

from metier.serving.base_model import Sampling
from metier.serving.cutting import Limits
from metier.serving.errors import ApiError
from metier.serving.served import ServedProduct
from metier.serving.shapes import Asked

MOST_SAMPLES = 16
_LARGEST_SEED = 2**63 - 1
Stop = Annotated[str, Field(min_length=1, max_length=200)]


class StreamOptions(Asked):
    """How a streamed answer is sent."""

    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None


class ResponseFormat(Asked):
    """The form of an answer: text alone."""

    type: Literal["text"]


class Wishes(Asked):
    """What the two endpoints that write text have in common."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    n: int | None = Field(None, ge=1)
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    seed: int | None = Field(None, ge=0, le=_LARGEST_SEED)
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None

    @property
    def longest(self) -> int | None:
        """The most tokens an answer may have."""
        return self.max_tokens

    @property
    def stops(self) -> tuple[str, ...]:
        """Strings that end an answer."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with the counts of tokens."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def of_product(self, model: ServedProduct) -> Limits:
        """Return where a product's answer is to end.

        Raises:
            ApiError: It is asked for something that it does not do.
        """
        self._check_common()
        if self.temperature:
            raise refused("temperature", f"{model.name} answers with what is likeliest, as it was measured; use 0")
        if (self.n or 1) > 1:
            raise refused("n", f"{model.name} has one answer to an input; use 1")
        if self.longest is not None:
            most = model.tokens
            if most is None:
                raise refused("max_tokens", f"{model.name} asks no language model, so its answers have no tokens")
            if model.product.labels is not None and self.longest < most:
                raise refused("max_tokens", f"a label of {model.name} may have {most} tokens, and is not cut")
        return Limits(self.stops, self.longest)

    def of_base(self) -> Sampling:
        """Return how a base model is to write.

        Raises:
            ApiError: It is asked for something that it does not do.
        """
        self._check_common()
        if self.temperature and self.top_p is not None and self.top_p < 1:
            raise refused("top_p", "sampling from the likeliest part of the tokens is not done here; use 1")
        samples = self.n or 1
        if samples > MOST_SAMPLES:
            raise refused("n", f"a request may have {MOST_SAMPLES} answers")
        if samples > 1 and self.stream:
            raise refused("n", "a stream has one answer")
        seed = self.seed if self.seed is not None else secrets.randbits(62)
        return Sampling(self.temperature or 0.0, samples, seed, self.stops, self.longest)

    def _check_common(self) -> None:
        for name, value in (
            ("presence_penalty", self.presence_penalty),
            ("frequency_penalty", self.frequency_penalty),
            ("logit_bias", self.logit_bias),
        ):
            if value:
                raise refused(name, "what a model has said does not change its next words here; leave it out")
        if self.stream_options is not None and not self.stream:
            raise refused("stream_options", "only with stream")


def refused(param: str, why: str) -> ApiError:
    """Return the error for a wish that is not granted."""
    return ApiError(400, f"{param}: {why}", param=param, code="unsupported_value")
