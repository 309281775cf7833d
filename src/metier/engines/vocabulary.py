"""A model's tokens as bytes, and what a JSON schema allows of them at each step, by llguidance.

Needs the extra ``metier[serve]``, and a tokenizer of the tokenizers library.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from metier.core.errors import UserError
from metier.engines.schemas import grammar_of, limits

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

_COMPILED = 16  # schemas that are kept compiled


class Vocabulary:
    """The tokens of a model.

    Args:
        tokenizer: The model's tokenizer.
        size: How many logits the model gives.
        end_tokens: Tokens that end an answer.
    """

    def __init__(self, tokenizer: Any, size: int, end_tokens: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._size = size
        self._end_tokens = sorted(end_tokens)
        self._known: LLTokenizer | None = None
        self._compiled: collections.OrderedDict[str, LLMatcher] = collections.OrderedDict()

    @property
    def readable(self) -> bool:
        """Whether the tokenizer is one whose tokens' bytes are known."""
        return hasattr(self._tokenizer, "backend_tokenizer")

    def bytes_of(self, token: int) -> bytes:
        """Return a token's bytes; of a special token its name."""
        return self._llguidance.decode_bytes([token])

    def follow(self, schema: str) -> Followed:
        """Return what a continuation needs to keep to a schema.

        Raises:
            UserError: The schema cannot be followed.
        """
        if schema not in self._compiled:
            from llguidance import LLMatcher

            made = LLMatcher(self._llguidance, grammar_of(schema), log_level=0, limits=limits())
            if made.is_error():
                raise UserError(f"the schema cannot be followed: {made.get_error()}")
            self._compiled[schema] = made
            while len(self._compiled) > _COMPILED:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(schema)
        return Followed(self._compiled[schema].deep_copy(), self._size)

    @property
    def _llguidance(self) -> LLTokenizer:
        """The tokenizer as llguidance has it; made once, as that takes up to a second."""
        if self._known is None:
            try:
                from llguidance.hf import from_tokenizer
            except ImportError as error:
                raise UserError("llguidance is not installed", hint="pip install 'metier[serve]'") from error
            self._known = from_tokenizer(self._tokenizer, n_vocab=self._size, eos_token=self._end_tokens)
        return self._known


class Followed:
    """A continuation that keeps to a schema.

    Args:
        matcher: Has read what was written so far.
        size: How many tokens there are.
    """

    def __init__(self, matcher: LLMatcher, size: int) -> None:
        self._matcher = matcher
        self._size = size

    def allowed(self) -> torch.Tensor:
        """Return which tokens may come next, ``[vocabulary]``.

        Raises:
            UserError: The schema is too complex to say.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        self._check()
        return torch.from_numpy(np.unpackbits(bits, count=self._size, bitorder="little").astype(np.bool_))

    def take(self, token: int) -> None:
        """Go on with the token that was taken.

        Raises:
            UserError: The schema is too complex to go on.
        """
        self._matcher.consume_token(token)
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise UserError(f"the schema cannot be followed further: {self._matcher.get_error()}")


def within(logits: torch.Tensor, rows: Sequence[Followed | None]) -> torch.Tensor:
    """Return the logits of rows, ``[rows, vocabulary]``, with what a row's schema does not allow made impossible."""
    if not any(rows):
        return logits
    refused = torch.zeros(logits.shape, dtype=torch.bool)
    for place, row in enumerate(rows):
        if row is not None:
            refused[place] = ~row.allowed()
    return logits.masked_fill(refused.to(logits.device), float("-inf"))
