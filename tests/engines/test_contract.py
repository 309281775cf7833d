"""What every engine that is installed must do, on the real small model."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from metier.engines.base import CannotScore, Engine, GenerationRequest, ScoringRequest
from metier.engines.prompts import Prompt

pytestmark = pytest.mark.model
PACKAGES = {"transformers": "transformers", "llamacpp": "xllamacpp", "vllm": "vllm"}
KINDS = [kind for kind, package in PACKAGES.items() if find_spec(package)]
ASK = "<|im_start|>user\nName a colour.<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module", params=KINDS)
def engine(request: pytest.FixtureRequest, smollm2: Path) -> Iterator[Engine]:
    """Each engine in turn, with the same model."""
    from transformers import AutoTokenizer

    made: Any
    if request.param == "llamacpp":
        from metier.engines.llamacpp import LlamaCppEngine

        tokenizer: Any = AutoTokenizer.from_pretrained(str(smollm2))
        made = LlamaCppEngine(
            request.getfixturevalue("smollm2_gguf"),
            count_tokens=lambda texts: [len(tokenizer(t, add_special_tokens=False)["input_ids"]) for t in texts],
            context_length=512,
            slots=4,
            device="cpu",
        )
    elif request.param == "vllm":
        made = request.getfixturevalue("vllm_engine")
    else:
        from metier.engines.transformers import TransformersEngine

        made = TransformersEngine(smollm2, device="cpu")
    yield made
    if request.param == "llamacpp":
        made.close()


def asking(text: str = ASK, **settings: Any) -> GenerationRequest:
    return GenerationRequest(Prompt(text), **{"max_tokens": 8, **settings})


def test_answers_are_many_ordered_and_cut_where_asked(engine: Engine) -> None:
    tokens = engine.stats.generated_tokens
    prompts = [ASK.replace("colour", word) for word in ("colour", "planet", "fruit")]
    found = engine.generate([asking(p, samples=2, temperature=1.0, top_k=40, seed=i) for i, p in enumerate(prompts)])
    assert [len(g.texts) for g in found] == [2, 2, 2]
    assert all(text for g in found for text in g.texts)
    assert engine.stats.generated_tokens > tokens
    (many,) = engine.generate([asking(samples=6, temperature=1.0, seed=3)])  # more than llama.cpp gives at once here
    assert len(many.texts) == 6 and len(set(many.texts)) > 1
    (long,) = engine.generate([asking(max_tokens=3)])
    assert long.finished == (False,) and engine.count_tokens([long.texts[0]])[0] <= 3
    alone = [engine.generate([asking(p)])[0] for p in prompts]
    assert len({g.texts for g in alone}) == 3
    assert engine.generate([]) == []


def test_the_likeliest_answer_is_always_the_same(engine: Engine) -> None:
    first, second = engine.generate([asking(seed=1)]), engine.generate([asking(seed=2)])
    assert first == second


def test_stop_strings_end_an_answer_and_are_not_part_of_it(engine: Engine) -> None:
    (whole,) = engine.generate([asking(max_tokens=12)])
    word = whole.texts[0].split()[2]
    (cut,) = engine.generate([asking(max_tokens=12, stop=(word,))])
    assert word not in cut.texts[0] and whole.texts[0].startswith(cut.texts[0])
    assert cut.finished == (True,)


def test_scores_tell_likely_from_unlikely(engine: Engine) -> None:
    request = ScoringRequest(Prompt("The capital of France is"), (" Paris", " bicycle"))
    try:
        (found,) = engine.score([request])
    except CannotScore:
        assert type(engine).__name__ == "LlamaCppEngine"  # the one that says so
        return
    assert found.logprobs[0] > found.logprobs[1] + 2
    assert found.tokens == tuple(n + 1 for n in engine.count_tokens(request.continuations))
