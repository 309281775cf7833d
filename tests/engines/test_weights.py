"""Several adapters on one model in memory answer as each would alone, whatever was asked of the others before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from metier.core.errors import MetierError
from metier.engines.base import GenerationRequest, ScoringRequest
from metier.engines.prompts import PromptFormat
from metier.engines.transformers import TransformersEngine
from tests.serving.made import make_adapter

TEXTS = ["the parcel came late", "I was charged twice for one order", "write a new input", "the app closes"]
INSTRUCTION = "Name the team that should answer the message of the customer of the shop, please."  # shared, and kept


@pytest.fixture(scope="module")
def adapters(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path | None]:
    folder = tmp_path_factory.mktemp("adapters")
    targets = (("q_proj", "v_proj"), ("gate_proj", "o_proj"), ("q_proj",))
    return [None, *(make_adapter(tiny_model, folder / str(k), k, some) for k, some in enumerate(targets))]


def alone(model: Path, adapter: Path | None) -> TransformersEngine:
    return TransformersEngine(model, adapter=adapter, dtype="float32", device="cpu")


def asked(engine: TransformersEngine, texts: Sequence[str]) -> list[GenerationRequest]:
    prompts = PromptFormat(engine.tokenizer)
    return [GenerationRequest(prompts.task(INSTRUCTION, (), text), max_tokens=8) for text in texts]


def written(engine: TransformersEngine) -> list[str]:
    return [made.texts[0] for made in engine.generate(asked(engine, TEXTS))]


def scored(engine: TransformersEngine) -> list[tuple[float, ...]]:
    labels = ("billing", "delivery")
    return [s.logprobs for s in engine.score([ScoringRequest(r.prompt, labels) for r in asked(engine, TEXTS)])]


def test_in_turns_each_answers_as_it_does_alone(tiny_model: Path, adapters: list[Path | None]) -> None:
    expected = [(written(alone(tiny_model, one)), scored(alone(tiny_model, one))) for one in adapters]
    assert len({str(one) for one in expected}) == len(adapters), "the adapters make a difference"
    base = alone(tiny_model, None)
    engines = [base, *(base.beside(adapter) for adapter in adapters[1:])]
    for _ in range(2):
        assert [(written(engine), scored(engine)) for engine in engines] == expected
    assert [scored(engine) for engine in engines[::-1]] == [scores for _, scores in expected][::-1]
    again = engines[1].beside(adapters[1])
    assert written(again) == expected[1][0], "an adapter that is there is not loaded twice"
    assert written(engines[2].beside(None)) == expected[0][0]


def test_streams_that_are_read_in_turns_do_not_mix(tiny_model: Path, adapters: list[Path | None]) -> None:
    base = alone(tiny_model, None)
    engines = [base, *(base.beside(adapter) for adapter in adapters[1:])]
    expected = [written(engine)[0] for engine in engines]
    streams = [engine.stream(asked(engine, TEXTS[:1])[0]) for engine in engines]
    told = [""] * len(streams)
    left = set(range(len(streams)))
    while left:
        for k in sorted(left):
            piece = next(streams[k], None)
            if piece is None:
                left.remove(k)
            else:
                told[k] += piece
                scored(engines[(k + 1) % len(engines)])
    assert told == expected


def test_what_is_no_adapter_of_the_model_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(MetierError, match="cannot be put on its base model"):
        alone(tiny_model, None).beside(tmp_path)
