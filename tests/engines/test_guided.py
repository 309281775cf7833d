"""Guided rows: what keeps to a JSON schema, also beside rows that do not, and how likely the tokens were."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from metier.core.errors import UserError
from metier.engines.base import Generation, GenerationRequest, Guides
from metier.engines.prompts import Prompt
from metier.engines.transformers import TransformersEngine

TEAMS = json.dumps(
    {
        "type": "object",
        "properties": {"team": {"enum": ["billing", "delivery"]}, "count": {"type": "integer", "maximum": 99}},
        "required": ["team", "count"],
        "additionalProperties": False,
    }
)
TEXTS = ("the parcel came late", "I was charged twice", "the app closes when I open the search page")


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> TransformersEngine:
    return TransformersEngine(tiny_model, dtype="float32", device="cpu")


def asked(text: str, **more: Any) -> GenerationRequest:
    return GenerationRequest(Prompt(text), **{"max_tokens": 60, **more})


def check(text: str) -> None:
    found = json.loads(text)
    assert set(found) == {"team", "count"} and found["team"] in ("billing", "delivery")
    assert isinstance(found["count"], int) and found["count"] <= 99


def test_a_schema_is_kept_to_by_the_likeliest_and_by_samples(engine: TransformersEngine) -> None:
    assert isinstance(engine, Guides) and engine.guides
    (greedy,) = engine.generate([asked(TEXTS[0], schema=TEAMS)])
    (sampled,) = engine.generate([asked(TEXTS[0], schema=TEAMS, samples=6, temperature=1.5, seed=2)])
    for text in (*greedy.texts, *sampled.texts):
        check(text)
    assert greedy.finished == (True,) and len(set(sampled.texts)) > 1


def test_rows_with_and_without_a_schema_share_a_batch_and_are_as_alone(engine: TransformersEngine) -> None:
    requests = [
        asked(TEXTS[0], max_tokens=9),
        asked(TEXTS[1], schema=TEAMS),
        asked(TEXTS[2], max_tokens=30, temperature=1.0, samples=3, seed=5),
        asked(TEXTS[1], schema='{"type": "array", "items": {"type": "integer"}, "maxItems": 3}', samples=2, seed=4),
    ]
    alone = [engine.generate([request])[0] for request in requests]
    assert engine.generate(requests) == alone
    assert engine.generate(requests[::-1]) == alone[::-1]


def test_a_stream_keeps_to_a_schema_too(engine: TransformersEngine) -> None:
    request = asked(TEXTS[0], schema=TEAMS)
    assert "".join(engine.stream(request)) == engine.generate([request])[0].texts[0]


def test_an_answer_that_may_not_be_longer_is_cut_and_says_so(engine: TransformersEngine) -> None:
    (made,) = engine.generate([asked(TEXTS[0], schema=TEAMS, max_tokens=3)])
    assert made.finished == (False,) and made.texts[0].startswith("{")


def test_a_schema_that_cannot_be_compiled_is_the_askers_mistake(engine: TransformersEngine) -> None:
    with pytest.raises(UserError, match="cannot be followed: Invalid type: nothing"):
        engine.generate([asked(TEXTS[0], schema='{"type": "nothing"}')])


def plain_logprobs(engine: TransformersEngine, text: str, tokens: list[int]) -> torch.Tensor:
    """Return the log-probabilities of all tokens at each place of a continuation, by one pass over all of it."""
    tokenizer: Any = engine.tokenizer
    model: Any = engine._model
    prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([[*prompt, *tokens]])).logits[0]
    likely: torch.Tensor = logits[len(prompt) - 1 : -1].float().log_softmax(dim=-1)
    return likely


@pytest.mark.parametrize("more", [{}, {"temperature": 1.3, "seed": 7, "samples": 3}, {"schema": TEAMS}])
def test_tokens_are_as_likely_as_a_plain_pass_says(engine: TransformersEngine, more: dict[str, Any]) -> None:
    tokenizer: Any = engine.tokenizer
    names = {engine.weights.vocabulary.bytes_of(token): token for token in range(len(tokenizer))}
    requests = [asked(text, top=3, max_tokens=20, **more) for text in TEXTS]
    for request, made in zip(requests, engine.generate(requests), strict=True):
        for text, steps in zip(made.texts, made.steps, strict=True):
            tokens = [names[step.taken.token] for step in steps]
            assert tokenizer.decode(tokens) == text
            plain = plain_logprobs(engine, request.prompt.text, tokens)
            assert [step.taken.logprob for step in steps] == pytest.approx(
                plain[range(len(tokens)), tokens].tolist(), abs=1e-4
            )
            values, best = plain.topk(3)
            for step, likely, ids in zip(steps, values.tolist(), best.tolist(), strict=True):
                assert [chance.logprob for chance in step.top] == pytest.approx(likely, abs=1e-4)
                assert [names[chance.token] for chance in step.top] == ids


def test_tokens_behind_a_stop_string_are_not_told(engine: TransformersEngine) -> None:
    (whole,) = engine.generate([asked(TEXTS[0], top=0, max_tokens=20)])
    text = whole.texts[0]
    stop = text[5:7]
    (made,) = engine.generate([asked(TEXTS[0], top=0, max_tokens=20, stop=(stop,))])
    joined = b"".join(step.taken.token for step in made.steps[0]).decode("utf-8", "replace")
    assert made.texts[0] == text[: text.index(stop)]
    assert joined.startswith(made.texts[0]) and len(made.steps[0]) < len(whole.steps[0])


def test_what_is_told_changes_no_answer(engine: TransformersEngine) -> None:
    requests = [asked(text, samples=2, temperature=0.8, seed=3, max_tokens=12) for text in TEXTS]
    told = engine.generate([dataclasses.replace(request, top=2) for request in requests])
    assert [Generation(made.texts, made.finished) for made in told] == engine.generate(requests)


@pytest.mark.model
def test_the_real_model_fills_in_a_form(smollm2: Path) -> None:
    engine = TransformersEngine(smollm2, device="cpu")
    prompt = "<|im_start|>user\nWhich team: I was charged twice.<|im_end|>\n<|im_start|>assistant\n"
    requests = [asked(prompt, schema=TEAMS, top=1), asked(prompt, max_tokens=8), asked(prompt, schema=TEAMS)]
    told, free, again = engine.generate(requests)
    for made in (told, again):
        check(made.texts[0])
        assert made.finished == (True,)
    assert b"".join(step.taken.token for step in told.steps[0]).decode() == told.texts[0] and free.texts[0]
