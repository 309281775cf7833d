"""What OpenAI's clients may wish for an answer, and what of it can be done: the rest is refused by name, never ignored.

A product answers as it was measured: with the likeliest token at each step, once. A base model samples if asked to.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

from pydantic import Field

from metier.engines.schemas import text_of
from metier.serving.base_model import Sampling, ServedBase
from metier.serving.cutting import Limits
from metier.serving.errors import ApiError
from metier.serving.guided import Guide
from metier.serving.served import ServedProduct
from metier.serving.shapes import Asked

MOST_SAMPLES = 16
_LARGEST_SEED = 2**63 - 1
Stop = Annotated[str, Field(min_length=1, max_length=200)]


class StreamOptions(Asked):
    """How a streamed answer is sent."""

    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None


class TextFormat(Asked):
    """Any text."""

    type: Literal["text"]

    @property
    def schema_text(self) -> str | None:
        """What an answer has to satisfy: nothing."""
        return None


class ObjectFormat(Asked):
    """Any JSON object."""

    type: Literal["json_object"]

    @property
    def schema_text(self) -> str | None:
        """What an answer has to satisfy, as a JSON schema."""
        return text_of({"type": "object"})


class NamedSchema(Asked):
    """A JSON schema with a name, which nothing depends on."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    given: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class SchemaFormat(Asked):
    """JSON by a schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema

    @property
    def schema_text(self) -> str | None:
        """What an answer has to satisfy, as a JSON schema.

        Raises:
            UserError: It is too large, or nested too deep.
        """
        return text_of(self.json_schema.given)


ResponseFormat = Annotated[TextFormat | ObjectFormat | SchemaFormat, Field(discriminator="type")]


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
    response_format: ResponseFormat | None = None
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
    def top(self) -> int | None:
        """How many of the likeliest tokens are told at each step; None: nothing is told of tokens."""
        return None

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

    def of_base(self, model: ServedBase) -> Sampling:
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
        return Sampling(self.temperature or 0.0, samples, seed, self.stops, self.longest, self.guide(model))

    def guide(self, model: ServedProduct | ServedBase) -> Guide:
        """Return what else is wished for an answer.

        Raises:
            ApiError: The model does not do that.
        """
        schema = self.response_format.schema_text if self.response_format is not None else None
        labels = model.product.labels if isinstance(model, ServedProduct) else None
        if schema is not None and labels is not None:
            raise refused("response_format", f"{model.name} answers with one of its labels; use text")
        for name, asked in (("response_format", schema is not None), ("logprobs", self.top is not None)):
            if asked and not model.guides:
                raise refused(name, f"what {model.name} runs on does not do this; leave it out")
        return Guide(schema, self.top)

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
