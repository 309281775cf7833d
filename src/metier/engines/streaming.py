"""Texts that are written at the same time, each told as it grows: one pass of the model reads a token of each.

A text may begin while others are being written, and be given up at any time. Each draws from its own random stream, so
it is the text that `decoding` gives.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import torch

from metier.core.errors import UserError
from metier.engines.base import Step
from metier.engines.decoding import Decoder, State, Waiting, draws_of, joined_states
from metier.engines.rows import Rows
from metier.engines.sampling import next_tokens


@dataclasses.dataclass(slots=True, eq=False)
class Growing:
    """A text that is being written.

    Attributes:
        rows: Its one row.
        temperature: As its request has it, ``[1]``.
        top_k: As its request has it.
        draws: Its random numbers, ``[steps]``.
        steps: How many tokens it has.
        known: What is known of it.
        told: How many characters of that have been told.
        told_steps: How many of its tokens have been told.
        failure: Why it cannot go on; None: it can, or has ended.
    """

    rows: Rows
    temperature: torch.Tensor
    top_k: int
    draws: npt.NDArray[np.float32]
    steps: int = 0
    known: str = ""
    told: int = 0
    told_steps: int = 0
    failure: BaseException | None = None


class Streaming:
    """Writes texts side by side.

    Args:
        decoder: Runs the model.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._texts: list[Growing] = []  # in the order of the state's rows
        self._state: State | None = None
        self._taken: list[int] = []  # tokens that were told and that the model has not read yet

    def begin(self, prefix: tuple[int, ...], one: Waiting) -> Growing:
        """Read the prompt of one more text, beside those that are being written."""
        self._read_on()
        device = self._decoder.device
        fresh = self._decoder.begun(prefix, [one], torch.zeros(1, dtype=torch.long, device=device), apart=False)
        self._state = fresh if self._state is None else joined_states(self._state, fresh)
        request = one.request
        text = Growing(
            self._decoder.rows([request]),
            torch.tensor([request.temperature], device=device),
            request.top_k,
            draws_of(request, request.max_tokens)[0],
        )
        self._texts.append(text)
        return text

    def next(self, text: Growing) -> str | None:
        """Return what is new of a text, and None once all of it was told; the others grow with it.

        Raises:
            BaseException: What has ended it.
        """
        while text.told == len(text.known) and text in self._texts:
            self._step()
        if text.told == len(text.known) and text.failure is not None:
            raise text.failure
        piece = text.known[text.told :]
        text.told = len(text.known)
        return piece or None

    def steps(self, text: Growing) -> tuple[Step, ...]:
        """Return the tokens of a text that were not returned before; none if its request does not ask for them."""
        fresh = text.rows.steps(0)[text.told_steps :]
        text.told_steps += len(fresh)
        return fresh

    def drop(self, text: Growing) -> None:
        """Write no more of a text."""
        if text in self._texts:
            self._keep([one is not text for one in self._texts])

    def _step(self) -> None:
        """Let each text take its next token."""
        self._read_on()
        if self._state is None:
            return
        logits = self._state.logits
        self._taken = [self._take(text, logits[place : place + 1]) for place, text in enumerate(self._texts)]
        self._keep([not text.rows.ended[0] and text.failure is None for text in self._texts])

    def _take(self, text: Growing, logits: torch.Tensor) -> int:
        """Let a text take its next token, of ``[1, vocabulary]``; what it wishes for may be what ends it."""
        draw = torch.tensor(text.draws[text.steps : text.steps + 1], device=logits.device)
        try:
            token = next_tokens(text.rows.limited(logits, [0]), text.temperature, text.top_k, draw).tolist()
            self._decoder.stats.generated_tokens += text.rows.add([0], token, logits)
        except UserError as error:
            text.failure = error
            return 0
        text.steps += 1
        text.known = max(text.known, text.rows.so_far(0), key=len)
        return int(token[0])

    def _read_on(self) -> None:
        """Let the model read the tokens that were taken last; where that fails, it ends all texts."""
        if not self._taken:
            return
        assert self._state is not None
        try:
            self._decoder.advance(self._state, torch.tensor(self._taken, device=self._decoder.device))
        except Exception as error:
            for text in self._texts:
                text.failure = error
            self._texts, self._state = [], None
        self._taken = []

    def _keep(self, stays: list[bool]) -> None:
        if all(stays):
            return
        places = [place for place, stay in enumerate(stays) if stay]
        self._texts = [self._texts[place] for place in places]
        self._taken = [self._taken[place] for place in places] if self._taken else []
        if not places:
            self._state = None
        elif self._state is not None:
            self._state = self._state.kept(torch.tensor(places, device=self._decoder.device))
