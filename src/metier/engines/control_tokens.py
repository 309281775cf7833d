"""Turns prompts into tokens so that text from outside is text: ``<|im_end|>`` in an input ends no turn.

A tokenizer takes its special tokens wherever their names stand. Where one stands in a part of the prompt that is data,
the prompt is cut at the special tokens of the other parts, as the tokenizer itself would do, and what is between them
is read without any. All other prompts are read by the tokenizer as they are, so nothing changes for them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

Span = tuple[int, int]
"""Of characters: the first, and the one behind the last."""


class PromptReader:
    """Turns a model's prompts into tokens.

    Args:
        tokenizer: A tokenizer of transformers.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        known = getattr(tokenizer, "added_tokens_decoder", {})
        self._special = {str(token.content): int(number) for number, token in known.items() if token.special}

    def tokens(self, text: str, data: Sequence[Span]) -> list[int]:
        """Return a prompt's tokens; none is added.

        Args:
            text: The prompt, with every special token of its template written out.
            data: The parts of it that come from outside.
        """
        if not self.is_special(text, data):
            return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        tokens: list[int] = []
        at = 0
        for begin, end in self._meant(text, data):
            tokens += self._plain(text[at:begin])
            tokens.append(self._special[text[begin:end]])
            at = end
        return tokens + self._plain(text[at:])

    def is_special(self, text: str, data: Sequence[Span]) -> bool:
        """Whether the name of a special token stands in a part that comes from outside."""
        return any(name in text[begin:end] for begin, end in data for name in self._special)

    def _meant(self, text: str, data: Sequence[Span]) -> list[Span]:
        """Return where special tokens stand that have nothing in common with any of the data."""
        pattern = "|".join(re.escape(name) for name in sorted(self._special, key=len, reverse=True))
        found = (match.span() for match in re.finditer(pattern, text))
        return [(begin, end) for begin, end in found if not any(begin < last and first < end for first, last in data)]

    def _plain(self, text: str) -> list[int]:
        if not text:
            return []
        return list(self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])
