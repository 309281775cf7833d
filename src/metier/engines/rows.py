"""Collects the tokens of every row of a batch, and which rows have ended. Knows nothing about models."""

from __future__ import annotations

import torch

from metier.engines.base import Generation, GenerationRequest, Step
from metier.engines.guidance import Guidance
from metier.models.tokenizer import Tokenizer


class Rows:
    """The tokens of every row, which rows have ended, and which of those have been reported.

    Args:
        requests: Of each row, what it belongs to.
        end_tokens: Tokens that end an answer.
        tokenizer: Turns tokens into text.
        guidance: Guides the rows; None: none of them is to be guided.
    """

    def __init__(
        self,
        requests: list[GenerationRequest],
        end_tokens: frozenset[int],
        tokenizer: Tokenizer,
        guidance: Guidance | None = None,
    ) -> None:
        self._requests = requests
        self._end_tokens = end_tokens
        self._tokenizer = tokenizer
        self._guidance = guidance
        self._tokens: list[list[int]] = [[] for _ in requests]
        self._finished = [False] * len(requests)
        self.ended = [False] * len(requests)
        self._reported = [False] * len(requests)

    def limited(self, logits: torch.Tensor, rows: list[int]) -> torch.Tensor:
        """Return the logits of some rows, ``[rows, vocabulary]``, in which what a row may not take is impossible."""
        return logits if self._guidance is None else self._guidance.limited(logits, rows, self.ended)

    def add(self, rows: list[int], tokens: list[int], logits: torch.Tensor) -> int:
        """Append one token to each row that has not ended, and return how many rows that was.

        Args:
            rows: Which rows.
            tokens: A token for each.
            logits: What the model gave for it, ``[rows, vocabulary]``.
        """
        if self._guidance is not None:
            self._guidance.note(logits, rows, tokens, self.ended)
        running = sum(not self.ended[row] for row in rows)
        for row, token in zip(rows, tokens, strict=True):
            if self.ended[row]:
                continue
            request, held = self._requests[row], self._tokens[row]
            if token in self._end_tokens:
                self._finished[row] = self.ended[row] = True
                continue
            held.append(token)
            if request.stop and _first_stop(self._decode(held[-self._tail(request) :]), request.stop) is not None:
                self._finished[row] = self.ended[row] = True
            elif len(held) >= request.max_tokens or self._too_long(request, held):
                self.ended[row] = True
        return running

    def newly_ended(self, rows: list[int]) -> list[int]:
        """Return those of the given ended rows that were not returned before."""
        fresh = [row for row in rows if not self._reported[row]]
        for row in fresh:
            self._reported[row] = True
        return fresh

    def generation(self, first: int, last: int) -> Generation:
        """Return rows ``first`` to ``last`` (excluded) as one request's continuations."""
        texts, steps = [], []
        for row in range(first, last):
            text = self._decode(self._tokens[row])
            cut = _first_stop(text, self._requests[row].stop)
            texts.append(text if cut is None else text[:cut])
            if self._requests[row].top is not None:
                steps.append(self.steps(row))
        return Generation(tuple(texts), tuple(self._finished[first:last]), tuple(steps))

    def so_far(self, row: int) -> str:
        """Return the part of a row's text that further tokens will not change."""
        request, text = self._requests[row], self._decode(self._tokens[row])
        cut = _first_stop(text, request.stop)
        if cut is not None:
            return text[:cut]
        if self.ended[row]:
            return text
        text = text.rstrip("\ufffd")  # bytes of a character that is not whole yet
        begun = max((_begun(text, stop) for stop in request.stop), default=0)
        return text[: len(text) - begun]

    def steps(self, row: int) -> tuple[Step, ...]:
        """Return a row's tokens as far as they begin before its text is cut; none if they are not asked for."""
        if self._guidance is None or self._requests[row].top is None:
            return ()
        return self._guidance.steps(row, self._inside(row))

    def _inside(self, row: int) -> int:
        """Return how many tokens of a row begin before its text is cut."""
        held = self._tokens[row]
        cut = _first_stop(self._decode(held), self._requests[row].stop)
        if cut is None:
            return len(held)
        return next((count for count in range(len(held)) if len(self._decode(held[:count])) >= cut), len(held))

    def _too_long(self, request: GenerationRequest, held: list[int]) -> bool:
        # Decoding is skipped while the tokens are too few: hardly any token has more than 16 characters.
        if request.max_chars is None or len(held) * 16 <= request.max_chars:
            return False
        return len(self._decode(held)) > request.max_chars

    def _decode(self, tokens: list[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))

    @staticmethod
    def _tail(request: GenerationRequest) -> int:
        # A token is at least a byte, so this many tokens hold any stop string that ends with the last one.
        return max(len(stop.encode()) for stop in request.stop) + 4


def _first_stop(text: str, stops: tuple[str, ...]) -> int | None:
    places = [place for place in (text.find(stop) for stop in stops) if place >= 0]
    return min(places) if places else None


def _begun(text: str, stop: str) -> int:
    """Return how many characters at the end of a text may be the beginning of a stop string."""
    return next((size for size in range(len(stop) - 1, 0, -1) if text.endswith(stop[:size])), 0)
