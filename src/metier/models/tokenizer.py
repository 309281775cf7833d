"""What Metier uses of a transformers tokenizer, as a type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Tokenizer(Protocol):
    """Turns text into tokens and back, and renders conversations."""

    bos_token: str | None
    bos_token_id: int | None
    eos_token_id: int

    def __call__(
        self, text: str, *, add_special_tokens: bool = True, return_offsets_mapping: bool = False
    ) -> Mapping[str, Any]:
        """Return ``input_ids``, and ``offset_mapping`` if asked for."""
        ...

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Return the text of some tokens."""
        ...

    def get_added_vocab(self) -> Mapping[str, int]:
        """Return the special tokens and their ids."""
        ...

    def apply_chat_template(
        self, conversation: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> object:
        """Return a conversation as the model's template writes it."""
        ...

    def save_pretrained(self, save_directory: str) -> object:
        """Write the tokenizer's files into a folder."""
        ...
