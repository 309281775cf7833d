from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metier.core.errors import MetierError
from metier.core.records import Example
from metier.engines import GenerationRequest
from metier.engines.prompts import PromptFormat
from metier.engines.transformers import TransformersEngine
from metier.tasks.settings import EngineSettings, TrainingSettings
from metier.training.examples import encode_examples, rendered
from metier.training.tune import TuningJob, default_learning_rate, tune

PAIRS = [Example(f"case {i}", "billing" if i % 2 else "delivery") for i in range(12)]


def parts(folder: Path) -> tuple[Any, PromptFormat]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return tokenizer, PromptFormat(tokenizer)


def test_only_the_answer_is_trained_on_and_the_prompt_is_the_tests(tiny_model: Path) -> None:
    tokenizer, prompts = parts(tiny_model)
    (encoded,), dropped = encode_examples(PAIRS[:1], "Name the team.", (), prompts, max_length=200)
    given, trained = rendered(encoded, tokenizer)
    assert dropped == 0
    assert given == prompts.task("Name the team.", (), "case 0").text
    assert trained == "delivery<|im_end|>"


def test_examples_that_are_too_long_are_dropped_and_counted(tiny_model: Path) -> None:
    _, prompts = parts(tiny_model)
    pairs = [*PAIRS[:2], Example("a b " * 300, "billing")]
    encoded, dropped = encode_examples(pairs, "Name the team.", (), prompts, max_length=200)
    assert (len(encoded), dropped) == (2, 1)
    with pytest.raises(MetierError, match="none of the 3 training pairs fits"):
        encode_examples(pairs, "Name the team.", (), prompts, max_length=5)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_tuning_learns_and_its_result_answers(tiny_model: Path, tmp_path: Path, method: Any) -> None:
    _, prompts = parts(tiny_model)
    pairs = [Example(text, "billing" if text == "charged" else "delivery") for text in ("charged", "late") * 8]
    encoded, _ = encode_examples(pairs, "Name the team.", (), prompts, max_length=200)
    settings = TrainingSettings(method=method, epochs=12, batch_size=4, learning_rate=1e-2, checkpoint_steps=10)
    tuned = tune(TuningJob(tiny_model, encoded, encoded[:4], settings, EngineSettings(dtype="float32"), 0), tmp_path)
    train = [p.train for p in tuned.losses if p.train is not None]
    held = [p.holdout for p in tuned.losses if p.holdout is not None]
    assert train[-1] < 0.2 < train[0]
    assert len(held) == 12
    assert tuned.epoch == held.index(min(held)) + 1
    if method == "lora":
        one = TransformersEngine(tiny_model, adapter=tuned.folder, dtype="float32")
    else:
        one = TransformersEngine(tuned.folder, dtype="float32")
    asked = [GenerationRequest(prompts.task("Name the team.", (), t), max_tokens=20) for t in ("charged", "late")]
    assert [g.texts[0] for g in one.generate(asked)] == ["billing", "delivery"]
    assert (tuned.folder / "chat_template.jinja").exists()
    assert not list(tuned.folder.rglob("*.bin"))


def test_the_default_learning_rate_falls_with_width() -> None:
    assert default_learning_rate("full", 576) == 5e-5
    assert default_learning_rate("lora", 576) == pytest.approx(5e-4)
    assert default_learning_rate("lora", 4096) == pytest.approx(1.9e-4, rel=0.02)
    assert default_learning_rate("lora", 100) == 5e-4
