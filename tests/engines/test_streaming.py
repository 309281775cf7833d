"""Texts that are streamed at the same time: written side by side, and each the text that it is alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from metier.core.errors import UserError
from metier.engines.base import GenerationRequest
from metier.engines.prompts import Prompt
from metier.engines.transformers import TransformersEngine

TEXTS = ("the parcel came late and nobody rang", "I was charged", "the app closes when I open the search page", "write")


@pytest.fixture
def engine(tiny_model: Path) -> TransformersEngine:
    return TransformersEngine(tiny_model, dtype="float32", device="cpu")


@pytest.fixture
def passes(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which every pass of the model adds how many rows it had."""
    rows: list[int] = []
    model: Any = engine._model
    forward = model.forward

    def counted(*args: Any, **kwargs: Any) -> Any:
        rows.append(len(kwargs["input_ids"]))
        return forward(*args, **kwargs)

    monkeypatch.setattr(model, "forward", counted)
    return rows


def requests() -> list[GenerationRequest]:
    """Return requests that differ in all that may differ."""
    shared = "answer what is asked, with the name of a team and with nothing else: "
    return [
        GenerationRequest(Prompt(TEXTS[0]), max_tokens=30),
        GenerationRequest(Prompt(shared + TEXTS[1], shared=len(shared)), max_tokens=24, temperature=1.2, seed=3),
        GenerationRequest(Prompt(TEXTS[2]), max_tokens=12, stop=(" c",)),
        GenerationRequest(Prompt(TEXTS[3]), max_tokens=20, schema='{"enum": ["billing", "delivery"]}'),
        GenerationRequest(Prompt(shared + TEXTS[3], shared=len(shared)), max_tokens=40, temperature=0.9, top_k=5),
    ]


def in_turns(streams: list[Iterator[str]], begin: int = 0) -> list[str]:
    """Take a piece of every stream in turn, a further stream beginning every ``begin`` rounds; return the texts."""
    found, live, rounds = ["" for _ in streams], set(range(len(streams))), 0
    while live:
        for k in sorted(live):
            if rounds < begin * k:
                continue
            piece = next(streams[k], None)
            if piece is None:
                live.remove(k)
            else:
                found[k] += piece
        rounds += 1
    return found


@pytest.mark.parametrize("begin", [0, 3])
def test_each_is_written_as_alone(engine: TransformersEngine, begin: int) -> None:
    wanted = [made.texts[0] for made in engine.generate(requests())]
    assert in_turns([engine.stream(request) for request in requests()], begin) == wanted


def test_they_share_passes(engine: TransformersEngine, passes: list[int]) -> None:
    request = GenerationRequest(Prompt(TEXTS[0]), max_tokens=30, schema='{"type": "string", "minLength": 40}')
    in_turns([engine.stream(dataclasses.replace(request, temperature=1.0, seed=k)) for k in range(8)])
    assert max(passes) == 8
    assert len(passes) < 60, "eight prompts, and thirty tokens of all of them; not eight times thirty"


def test_one_that_is_given_up_makes_room_and_changes_nothing(engine: TransformersEngine, passes: list[int]) -> None:
    wanted = [made.texts[0] for made in engine.generate(requests())]
    streams = [engine.stream(request) for request in requests()]
    begun = [next(stream) for stream in streams]
    streams[1].close()  # type: ignore[attr-defined]
    passes.clear()
    rest = in_turns([streams[k] for k in (0, 2, 3, 4)])
    assert [begun[k] + more for k, more in zip((0, 2, 3, 4), rest, strict=True)] == [wanted[k] for k in (0, 2, 3, 4)]
    assert max(passes) <= 4
    assert in_turns([engine.stream(requests()[0])]) == wanted[:1]


def test_batches_between_pieces_change_nothing(engine: TransformersEngine) -> None:
    wanted = engine.generate(requests())
    streams = [engine.stream(request) for request in requests()[:2]]
    begun = [next(stream) for stream in streams]
    assert engine.generate(requests()) == wanted
    rest = in_turns(streams)
    assert [one + more for one, more in zip(begun, rest, strict=True)] == [made.texts[0] for made in wanted[:2]]


def test_where_memory_runs_out_all_are_told(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    streams = [engine.stream(request) for request in requests()[:2]]
    for stream in streams:
        next(stream)
    model: Any = engine._model

    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(model, "forward", full)
        for stream in streams:
            with pytest.raises(torch.OutOfMemoryError):
                list(stream)
    assert in_turns([engine.stream(requests()[0])]) == [engine.generate(requests()[:1])[0].texts[0]]


def test_a_schema_that_cannot_be_followed_ends_its_own_text_alone(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from metier.engines.vocabulary import Followed

    wanted = engine.generate(requests()[:1])[0].texts[0]
    steps = 0

    def failing(self: Followed, token: int) -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            raise UserError("the schema cannot be followed further")

    monkeypatch.setattr(Followed, "take", failing)
    monkeypatch.setattr(Followed, "allowed", lambda self: torch.ones(self._size, dtype=torch.bool))
    good = engine.stream(requests()[0])
    bad = engine.stream(GenerationRequest(Prompt(TEXTS[1]), max_tokens=30, schema="{}"))
    text = next(good)
    with pytest.raises(UserError, match="followed further"):
        list(bad)
    assert text + "".join(good) == wanted
