"""What requests have in common, and the counts that responses carry."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from metier.serving.model import Outcome


class Asked(BaseModel):
    """A request's body: what is not known is refused, and numbers are numbers."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Usage(BaseModel):
    """Tokens by the base model's tokenizer; 0 where no language model is asked."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


def usage_of(outcomes: Sequence[Outcome]) -> Usage:
    """Return what some outcomes took."""
    read = sum(outcome.prompt_tokens for outcome in outcomes)
    written = sum(outcome.completion_tokens for outcome in outcomes)
    return Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)


def new_id(kind: str) -> str:
    """Return a name for a response."""
    return f"{kind}-{secrets.token_hex(12)}"
