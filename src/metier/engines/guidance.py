"""What is asked of rows beside their text: a schema to keep to while they are written, and how likely tokens were."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from metier.engines.base import Chance, GenerationRequest, Step
from metier.engines.vocabulary import Followed, Vocabulary, within


class Guidance:
    """Guides the rows of a batch.

    Args:
        requests: Of each row, what it belongs to.
        vocabulary: The model's tokens.
    """

    def __init__(self, requests: Sequence[GenerationRequest], vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._top = [request.top for request in requests]
        self._followed: list[Followed | None] = [
            vocabulary.follow(request.schema) if request.schema is not None else None for request in requests
        ]
        self._steps: list[list[Step]] = [[] for _ in requests]

    def limited(self, logits: torch.Tensor, rows: Sequence[int], ended: Sequence[bool]) -> torch.Tensor:
        """Return logits, ``[rows, vocabulary]``, in which what a row's schema does not allow is impossible."""
        return within(logits, [None if ended[row] else self._followed[row] for row in rows])

    def note(self, logits: torch.Tensor, rows: Sequence[int], tokens: Sequence[int], ended: Sequence[bool]) -> None:
        """Take down which token each row has taken, unless it has ended before.

        Args:
            logits: What the model gave, ``[rows, vocabulary]``, without the schemas' limits.
            rows: Which rows these are.
            tokens: The token that each has taken.
            ended: Of every row, whether it has ended.
        """
        for place, (row, token) in enumerate(zip(rows, tokens, strict=True)):
            if ended[row]:
                continue
            if (followed := self._followed[row]) is not None:
                followed.take(token)
            if (top := self._top[row]) is not None:
                self._steps[row].append(self._step(logits[place], token, top))

    def steps(self, row: int, tokens: int) -> tuple[Step, ...]:
        """Return the first tokens of a row."""
        return tuple(self._steps[row][:tokens])

    def _step(self, logits: torch.Tensor, token: int, top: int) -> Step:
        likely = logits.float().log_softmax(dim=-1)
        values, tokens = likely.topk(top)
        best = [self._chance(*pair) for pair in zip(tokens.tolist(), values.tolist(), strict=True)]
        return Step(self._chance(token, float(likely[token])), tuple(best))

    def _chance(self, token: int, logprob: float) -> Chance:
        return Chance(self._vocabulary.bytes_of(token), logprob)
