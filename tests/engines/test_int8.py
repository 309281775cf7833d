"""8-bit layers against the float32 layers that they stand for, alone, in the tiny model and in the real small one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from metier.core.errors import UserError
from metier.core.records import Example
from metier.engines import GenerationRequest, ScoringRequest, int8
from metier.engines.int8 import Int8Linear
from metier.engines.prompts import PromptFormat
from metier.engines.transformers import TransformersEngine
from metier.models.processor import cpu_multiplies_int8
from metier.tasks.settings import EngineSettings
from tests.serving.made import make_adapter

pytestmark = pytest.mark.skipif(
    not cpu_multiplies_int8(), reason="this processor has no instructions for products of 8-bit integers"
)


def error_of(layer: torch.nn.Linear, apart: list[int], rows: torch.Tensor) -> float:
    with torch.inference_mode():
        right = layer(rows)
        return float((Int8Linear(layer, torch.tensor(apart))(rows) - right).norm() / right.norm())


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_gives_nearly_what_float32_gives(bias: bool) -> None:
    torch.manual_seed(0)
    assert error_of(torch.nn.Linear(96, 40, bias=bias), [3, 50], torch.randn(2, 5, 96)) < 0.02


def test_large_inputs_do_not_round_the_others_away() -> None:
    torch.manual_seed(0)
    layer, rows = torch.nn.Linear(96, 40), torch.randn(7, 96)
    layer.weight.data[:, 50] /= 1000
    rows[:, 50] *= 1000
    assert error_of(layer, [50], rows) < 0.02
    assert error_of(layer, [3], rows) > 0.2, "all in one scale, they do"


def test_a_row_of_zeros_gives_the_bias() -> None:
    layer = torch.nn.Linear(16, 4)
    with torch.inference_mode():
        made = Int8Linear(layer, torch.tensor([0]))(torch.zeros(1, 16))
    assert torch.allclose(made, layer.bias)


@pytest.mark.parametrize("tuned", [False, True])
def test_a_model_scores_and_writes_nearly_as_in_float32(tiny_model: Path, tmp_path: Path, tuned: bool) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "adapter", 1, ("q_proj", "down_proj")) if tuned else None
    exact = TransformersEngine(tiny_model, adapter=adapter, dtype="float32", device="cpu")
    rounded = TransformersEngine(tiny_model, adapter=adapter, dtype="int8", device="cpu")
    prompt = PromptFormat(exact.tokenizer).task("Name the team.", [Example("late", "delivery")], "charged twice")
    labels = ("billing", "delivery", "other")
    (right,), (near,) = (one.score([ScoringRequest(prompt, labels)]) for one in (exact, rounded))
    assert near.logprobs != right.logprobs
    assert near.logprobs == pytest.approx(right.logprobs, abs=0.25, rel=0.03)
    assert near.tokens == right.tokens
    assert rounded.generate([GenerationRequest(prompt, max_tokens=8)])[0].texts


def test_it_is_for_processors_alone() -> None:
    with pytest.raises(UserError, match=r"engine\.dtype: int8 is for processors, not for cuda"):
        int8.check_int8("cuda:0")


def test_a_processor_without_the_instructions_is_told_so(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "cpu_multiplies_int8", lambda: False)
    with pytest.raises(UserError, match=r"engine\.dtype: int8 needs a processor with AVX-512 VNNI"):
        TransformersEngine(tiny_model, dtype="int8", device="cpu")


def test_only_the_engine_that_has_it_takes_it() -> None:
    with pytest.raises(ValueError, match="dtype: int8 is for kind: transformers; vllm chooses its own"):
        EngineSettings(kind="vllm", dtype="int8")
    assert EngineSettings(dtype="int8").float_dtype == "auto"
    assert EngineSettings(dtype="float32").float_dtype == "float32"


@pytest.mark.model
def test_the_real_model_reads_labels_nearly_as_in_float32(smollm2: Path) -> None:
    exact, rounded = (TransformersEngine(smollm2, dtype=dtype, device="cpu") for dtype in ("float32", "int8"))
    prompts = PromptFormat(exact.tokenizer)
    shown = [Example("the parcel is late", "delivery"), Example("I was charged twice", "billing")]
    texts = ["where is my order", "the invoice is wrong", "it never came", "refund the second payment"]
    asked = [ScoringRequest(prompts.task("Name the team.", shown, text), ("delivery", "billing")) for text in texts]
    right, near = ([s.logprobs[0] - s.logprobs[1] for s in one.score(asked)] for one in (exact, rounded))
    assert near == pytest.approx(right, abs=0.5)
