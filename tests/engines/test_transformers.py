"""The engine against transformers' own generate() and a plain forward pass, on a tiny and on the real small model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from metier.core.errors import MetierError
from metier.core.records import Example
from metier.engines import GenerationRequest, Prompt, ScoringRequest
from metier.engines.prompts import PromptFormat
from metier.engines.transformers import Batching, TransformersEngine

INPUTS = ["late", "charged twice for one order", "the app closes when I search", "x " * 40, "hm"]


def engine(folder: Path, **settings: Any) -> TransformersEngine:
    return TransformersEngine(folder, dtype="float32", device="cpu", **settings)


def prompts_of(one: TransformersEngine) -> list[Prompt]:
    shown = [Example("the parcel is late", "delivery"), Example("I was charged twice", "billing")]
    made = PromptFormat(one.tokenizer)
    return [made.task("Name the team that should answer.", shown, text) for text in INPUTS]


def plain_generate(one: TransformersEngine, prompt: Prompt, most: int) -> str:
    ids = torch.tensor([one.tokenizer(prompt.text, add_special_tokens=False)["input_ids"]])
    out = one._model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=most, do_sample=False)
    return str(one.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))


def plain_score(one: TransformersEngine, prompt: Prompt, answer: str) -> float:
    start = one.tokenizer(prompt.text, add_special_tokens=False)["input_ids"]
    rest = [*one.tokenizer(answer, add_special_tokens=False)["input_ids"], one.tokenizer.eos_token_id]
    ids = torch.tensor([start + rest])
    with torch.no_grad():
        logprobs = one._model(ids).logits[0].log_softmax(-1)
    return sum(float(logprobs[len(start) + i - 1, token]) for i, token in enumerate(rest))


def test_greedy_answers_are_those_of_generate(tiny_model: Path) -> None:
    one = engine(tiny_model)
    prompts = prompts_of(one)
    got = one.generate([GenerationRequest(p, max_tokens=12) for p in prompts])
    assert [g.texts[0] for g in got] == [plain_generate(one, p, 12) for p in prompts]


@pytest.mark.parametrize("stop", [(), ("e",), ("\n", "the "), ("o t",)])
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_what_is_streamed_is_what_is_generated(tiny_model: Path, stop: tuple[str, ...], temperature: float) -> None:
    one = engine(tiny_model)
    several = False
    for i, prompt in enumerate(prompts_of(one)):
        request = GenerationRequest(prompt, max_tokens=40, stop=stop, temperature=temperature, seed=i)
        pieces = list(one.stream(request))
        assert "".join(pieces) == one.generate([request])[0].texts[0]
        several |= len(pieces) > 1
    assert several or stop


def test_scores_are_those_of_a_plain_forward_pass(tiny_model: Path) -> None:
    one = engine(tiny_model)
    prompts = prompts_of(one)
    answers = ("billing", "delivery", "x", "a longer answer of several tokens")
    for prompt, scored in zip(prompts, one.score([ScoringRequest(p, answers) for p in prompts]), strict=True):
        assert scored.logprobs == pytest.approx([plain_score(one, prompt, a) for a in answers], abs=1e-3)


def test_neither_batch_nor_order_nor_sharing_changes_a_sample(tiny_model: Path) -> None:
    one = engine(tiny_model)
    asked = [
        GenerationRequest(p, samples=3, max_tokens=10, temperature=1.0, top_k=20, seed=i)
        for i, p in enumerate(prompts_of(one))
    ]
    together = one.generate(asked)
    assert together == list(reversed(one.generate(list(reversed(asked)))))
    assert together == [one.generate([a])[0] for a in asked]
    assert together == engine(tiny_model, batching=Batching(2, 300)).generate(asked)
    unshared = [
        GenerationRequest(Prompt(a.prompt.text), a.samples, a.max_tokens, a.temperature, a.top_k, a.stop, a.seed)
        for a in asked
    ]
    assert together == one.generate(unshared)
    assert len({text for g in together for text in g.texts}) > 5


def test_the_shared_part_is_computed_once(tiny_model: Path) -> None:
    one = engine(tiny_model)
    prompts = prompts_of(one)
    one.generate([GenerationRequest(p, max_tokens=1) for p in prompts])
    whole = sum(one.count_tokens([p.text for p in prompts]))
    assert one.stats.prompt_tokens < whole / 2


def test_a_stop_string_ends_the_text_and_is_not_in_it(tiny_model: Path) -> None:
    one = engine(tiny_model)
    prompt = prompts_of(one)[0]
    text = plain_generate(one, prompt, 20)
    stop = text[5:7]
    (got,) = one.generate([GenerationRequest(prompt, max_tokens=20, stop=(stop,))])
    assert got.texts[0] == text[: text.index(stop)]
    assert got.finished == (True,)


def test_an_answer_that_is_cut_off_says_so(tiny_model: Path) -> None:
    one = engine(tiny_model)
    (got,) = one.generate([GenerationRequest(prompts_of(one)[0], max_tokens=2)])
    assert got.finished == (False,)


def test_a_prompt_beyond_the_context_is_refused_not_cut(tiny_model: Path) -> None:
    one = engine(tiny_model)
    with pytest.raises(MetierError, match="do not fit the model's context of 1024"):
        one.generate([GenerationRequest(Prompt("a b " * 2000), max_tokens=5)])


def test_short_memory_halves_the_batch(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = engine(tiny_model)
    asked = [GenerationRequest(p, max_tokens=5) for p in prompts_of(one)]
    expected = one.generate(asked)
    whole = one.forward.prefill

    def short(prefix: Any, rests: Any, **how: Any) -> Any:
        if len(rests) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        return whole(prefix, rests, **how)

    monkeypatch.setattr(one.forward, "prefill", short)
    with pytest.warns(UserWarning, match="batches are halved") as caught:
        assert one.generate(asked) == expected
    assert len(caught) == 1


def test_prompts_that_wait_are_joined_on_without_changing_what_anyone_says(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = engine(tiny_model, batching=Batching(6))
    start = prompts_of(one)[0]
    asked = [
        GenerationRequest(
            Prompt(start.text + " parcel" * (i * 5 % 7), start.shared),
            samples=1 + i % 3,
            max_tokens=1 + i * 7 % 23,
            temperature=1.0,
            seed=i,
        )
        for i in range(20)
    ]
    prefills = one.forward.prefill
    widths: list[int] = []

    def counted(prefix: Any, rests: Any, **how: Any) -> Any:
        widths.append(len(rests))
        return prefills(prefix, rests, **how)

    monkeypatch.setattr(one.forward, "prefill", counted)
    together = one.generate(asked)
    assert 3 < len(widths) < len(asked)
    assert together == [engine(tiny_model).generate([a])[0] for a in asked]


def test_many_and_long_continuations_are_scored_as_few_and_short_ones_are(tiny_model: Path) -> None:
    one = engine(tiny_model)
    prompts = prompts_of(one)
    few = ("billing", "x")
    many = (*few, *(f"{i} a rather long answer of several tokens, none of which is a label" for i in range(12)))
    short = one.score([ScoringRequest(p, few) for p in prompts])
    long = one.score([ScoringRequest(p, many) for p in prompts])
    for prompt, one_few, one_many in zip(prompts, short, long, strict=True):
        assert one_few.logprobs == pytest.approx(one_many.logprobs[:2], abs=1e-3)
        assert one_many.logprobs == pytest.approx([plain_score(one, prompt, a) for a in many], abs=1e-3)


@pytest.mark.model
def test_the_real_model_knows_a_capital(smollm2: Path) -> None:
    one = TransformersEngine(smollm2)
    prompt = PromptFormat(one.tokenizer).task("Answer in one word.", (), "What is the capital of France?")
    (got,) = one.generate([GenerationRequest(prompt, max_tokens=12)])
    assert "Paris" in got.texts[0]
    (scored,) = one.score([ScoringRequest(prompt, ("Paris", "Potato"))])
    assert scored.logprobs[0] > scored.logprobs[1] + 3


def test_grouped_attention_is_torchs_own(tiny_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    from metier.engines.attention import NAME, use_grouped

    plain: Any = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    grouped: Any = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    use_grouped(grouped)
    assert grouped.config._attn_implementation == NAME
    ids = torch.randint(3, 300, (3, 9))
    mask = torch.ones(3, 9, dtype=torch.long)
    mask[0, :4] = 0
    with torch.no_grad():
        outs = []
        for model in (plain, grouped):
            read = model(input_ids=ids[:, :-1], attention_mask=mask[:, :-1], use_cache=True)
            out = model(input_ids=ids[:, -1:], attention_mask=mask, past_key_values=read.past_key_values)
            outs.append(torch.cat([read.logits, out.logits], dim=1))
    torch.testing.assert_close(outs[0][1:], outs[1][1:])
    torch.testing.assert_close(outs[0][0, 4:], outs[1][0, 4:])
