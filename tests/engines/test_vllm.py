"""What vLLM must do that the contract does not ask: seeds, adapters, and the scores of the transformers engine.

Runs where vLLM is installed (``make test-vllm``); what only names how it is asked runs everywhere.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from metier.core.errors import MetierError, UserError
from metier.engines.base import Generation, GenerationRequest, HoldsAdapters, ScoringRequest
from metier.engines.prompts import Prompt
from metier.engines.vllm import VllmEngine, rank_for
from metier.models.locate import resolve_model
from metier.steps.slot import Running, Slot
from metier.tasks.settings import EngineSettings, LaunchSettings

LABELS = ("billing", "delivery", "account", "technical", "not sure")
HEAD = (
    "<|im_start|>user\nName the team that should answer the customer's message.\n\nI was charged twice this month."
    "<|im_end|>\n<|im_start|>assistant\nbilling<|im_end|>\n<|im_start|>user\n"
)
here = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")


def about(text: str) -> Prompt:
    """Return the prompt that asks for the team of a message."""
    whole = f"{HEAD}{text}<|im_end|>\n<|im_start|>assistant\n"
    return Prompt(whole, len(HEAD), ((len(HEAD), len(HEAD) + len(text)),))


MESSAGES = ("My parcel never came.", "I cannot log in, it says error 7.", "Why is there a second invoice? " * 9)
SCORED = [ScoringRequest(about(text), LABELS) for text in MESSAGES]


def test_room_is_made_for_an_adapters_rank(tmp_path: Path) -> None:
    file = tmp_path / "adapter_config.json"
    for rank, room in ((1, 8), (16, 16), (20, 32), (300, 320)):
        file.write_text(f'{{"r": {rank}}}')
        assert rank_for(tmp_path) == room
    for text, told in (('{"r": 600}', "of rank 512 at most"), ('{"r": "x"}', "not an adapter"), ("", "not an adapter")):
        file.write_text(text)
        with pytest.raises(MetierError, match=told):
            rank_for(tmp_path)


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_it_is_said_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="vllm is not installed"):
        VllmEngine(tmp_path)


# --- on the real model


@here
@pytest.mark.model
def test_seeds_repeat_whatever_else_is_asked(vllm_engine: VllmEngine) -> None:
    def asked(text: str, seed: int, **more: Any) -> GenerationRequest:
        return GenerationRequest(
            about(text), **{"max_tokens": 12, "temperature": 1.0, "top_k": 40, "seed": seed, **more}
        )

    long = "Where is it? " * 300  # longer than what vLLM reads of a prompt at once
    mine = [asked(text, 10 * i, samples=2) for i, text in enumerate((*MESSAGES, long))]
    others = [asked(text, 500 + i) for i, text in enumerate((long, *MESSAGES))]
    alone, together = vllm_engine.generate(mine), vllm_engine.generate([*others, *mine])
    assert together[len(others) :] == alone
    assert len({text for made in alone for text in made.texts}) > 4
    assert vllm_engine.generate([asked(MESSAGES[0], 99, samples=2)]) != alone[:1]
    first, rest = (vllm_engine.generate([asked("Hello", 7, samples=2, first_sample=k)])[0] for k in (0, 2))
    (all_,) = vllm_engine.generate([asked("Hello", 7, samples=4)])
    assert all_ == Generation(first.texts + rest.texts, first.finished + rest.finished)


@here
@pytest.mark.model
def test_labels_are_as_likely_as_the_transformers_engine_finds_them(vllm_engine: VllmEngine, smollm2: Path) -> None:
    from metier.engines.transformers import TransformersEngine

    expected = TransformersEngine(smollm2, dtype="float32", device="cpu").score(SCORED)
    told: list[int] = []
    for found in (vllm_engine.score(SCORED, lambda done, tokens: told.append(done)), vllm_engine.score(SCORED)):
        for one, other in zip(found, expected, strict=True):
            assert one.logprobs == pytest.approx(other.logprobs, abs=0.05)
            assert one.tokens == other.tokens
    assert told == sorted(told) and told[-1] == len(SCORED)


@here
@pytest.mark.model
def test_many_continuations_are_scored_at_once(vllm_engine: VllmEngine) -> None:
    words = tuple(f"{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(200))
    (many,) = vllm_engine.score([ScoringRequest(about("Hello"), words)])
    few = vllm_engine.score([ScoringRequest(about("Hello"), (word,)) for word in words[::40]])
    assert [many.logprobs[i] for i in range(0, 200, 40)] == pytest.approx([f.logprobs[0] for f in few], abs=0.01)


@here
@pytest.mark.model
def test_what_does_not_fit_is_refused(vllm_engine: VllmEngine) -> None:
    too_long = about("parcel " * 9000)
    with pytest.raises(MetierError, match="request 1: .* do not fit"):
        vllm_engine.generate([GenerationRequest(about("Hello")), GenerationRequest(too_long)])
    with pytest.raises(MetierError, match="request 0: .* do not fit"):
        vllm_engine.score([ScoringRequest(too_long, LABELS)])


def make_adapter(base: Path, folder: Path, *, rank: int, seed: int) -> Path:
    """Write an adapter with random weights, strong enough to change what is answered."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model: Any = AutoModelForCausalLM.from_pretrained(str(base), dtype="float32")
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    tuned = get_peft_model(
        model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets, task_type="CAUSAL_LM")
    )
    for name, weights in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.01)
    tuned.save_pretrained(folder)
    return folder


@here
@pytest.mark.model
def test_several_adapters_answer_in_turns_as_the_transformers_engine_has_them(
    vllm_engine: VllmEngine, smollm2: Path, tmp_path: Path
) -> None:
    from metier.engines.transformers import TransformersEngine

    made = [make_adapter(smollm2, tmp_path / str(seed) / "adapter", rank=8 * seed, seed=seed) for seed in (1, 2)]
    reference = TransformersEngine(smollm2, dtype="float32", device="cpu")
    both = [reference, *(reference.beside(adapter) for adapter in made)]
    expected = [engine.score(SCORED) for engine in both]
    differ = [abs(one - other) for one, other in zip(expected[1][0].logprobs, expected[2][0].logprobs, strict=True)]
    assert max(differ) > 0.2, "the adapters do something"
    assert isinstance(vllm_engine, HoldsAdapters)
    mine = [vllm_engine, *(vllm_engine.beside(adapter) for adapter in made)]
    for _ in range(2):
        for engine, wanted in zip(mine, expected, strict=True):
            for one, other in zip(engine.score(SCORED), wanted, strict=True):
                assert one.logprobs == pytest.approx(other.logprobs, abs=0.05)
    asked = [GenerationRequest(about(MESSAGES[0]), max_tokens=12)]
    assert [engine.generate(asked) for engine in mine] == [engine.generate(asked) for engine in both]


@here
@pytest.mark.model
def test_a_run_turns_from_the_base_model_to_its_adapter_without_loading_again(
    vllm_engine: VllmEngine, smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path | None] = []

    def open_once(self: Slot, tuned: Path | None) -> VllmEngine:
        opened.append(tuned)
        return vllm_engine

    monkeypatch.setattr(Slot, "_vllm", open_once)
    adapter = make_adapter(smollm2, tmp_path / "adapter", rank=4, seed=4)
    files = resolve_model(str(smollm2))
    slot = Slot(Running(str(smollm2), EngineSettings(kind="vllm"), LaunchSettings(), "auto"), files)
    base, tuned, again = slot.open(), slot.open(adapter), slot.open()
    assert opened == [None] and tuned is not base
    assert again.score(SCORED[:1]) == base.score(SCORED[:1]) != tuned.score(SCORED[:1])


@here
@pytest.mark.model
def test_what_is_no_adapter_of_the_model_is_said(vllm_engine: VllmEngine, smollm2: Path, tmp_path: Path) -> None:
    with pytest.raises(MetierError, match="is not an adapter"):
        vllm_engine.beside(tmp_path)
    broken = make_adapter(smollm2, tmp_path / "adapter", rank=4, seed=3)
    (broken / "adapter_model.safetensors").unlink()
    with pytest.raises(MetierError, match="cannot be put on its base model"):
        vllm_engine.beside(broken)
    assert vllm_engine.score(SCORED[:1]), "and the engine goes on"
