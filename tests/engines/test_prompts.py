from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.core.errors import UserError
from metier.core.records import Example
from metier.engines.prompts import PromptFormat, Turn, fitting_demonstrations

DEMOS = (Example("late parcel", "delivery"), Example("charged twice", "billing"))


def tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def test_a_chat_prompt_is_a_conversation(tiny_model: Path) -> None:
    prompt = PromptFormat(tokenizer(tiny_model)).task("Name the team.", DEMOS, "app crash")
    assert prompt.text == (
        "<|im_start|>user\nName the team.\n\nlate parcel<|im_end|>\n<|im_start|>assistant\ndelivery<|im_end|>\n"
        "<|im_start|>user\ncharged twice<|im_end|>\n<|im_start|>assistant\nbilling<|im_end|>\n"
        "<|im_start|>user\napp crash<|im_end|>\n<|im_start|>assistant\n"
    )
    assert prompt.text[: prompt.shared].endswith("<|im_start|>user\n")


def test_a_base_model_gets_the_documented_layout(tiny_base_model: Path) -> None:
    prompts = PromptFormat(tokenizer(tiny_base_model))
    prompt = prompts.task("Name the team.", DEMOS[:1], "app crash")
    assert prompt.text == "Name the team.\n\nInput: late parcel\nOutput: delivery\n\nInput: app crash\nOutput:"
    assert prompts.answer("x") == " x"
    assert prompts.stop


@pytest.mark.parametrize("style", ["chat", "plain"])
def test_a_text_to_continue_has_no_template_and_shares_its_head(tiny_model: Path, style: Any) -> None:
    prompt = PromptFormat(tokenizer(tiny_model), style).continuation("Do it.\n", "[input]=")
    assert prompt.text == "Do it.\n[input]="
    assert prompt.text[: prompt.shared] == "Do it.\n"


def test_chat_without_a_template_is_refused(tiny_base_model: Path) -> None:
    with pytest.raises(UserError, match="no chat template"):
        PromptFormat(tokenizer(tiny_base_model), "chat")


def test_plain_can_be_asked_of_a_chat_model(tiny_model: Path) -> None:
    assert PromptFormat(tokenizer(tiny_model), "plain").task("Do.", (), "a").text == "Do.\n\nInput: a\nOutput:"


@pytest.mark.parametrize("style", ["chat", "plain"])
@given(text=st.text(max_size=30), other=st.text(max_size=30))
def test_the_shared_part_is_the_same_for_every_input(tiny_model: Path, style: Any, text: str, other: str) -> None:
    prompts = PromptFormat(tokenizer(tiny_model), style)
    one, two = prompts.task("Do it.", DEMOS, text), prompts.task("Do it.", DEMOS, other)
    assert one.shared == two.shared
    assert one.text[: one.shared] == two.text[: two.shared]
    assert one.text[one.shared :].startswith(text)


def test_nothing_is_glued_in_where_there_is_nothing(tiny_model: Path) -> None:
    prompts = PromptFormat(tokenizer(tiny_model))
    for prompt in (prompts.task("Do.", (), "a"), prompts.conversation([Turn("q", "r")], "", "a")):
        assert "None" not in prompt.text


def test_demonstrations_that_fit() -> None:
    def count(texts: Any) -> list[int]:
        return [len(text) for text in texts]

    examples = [Example("a" * 10, "b"), Example("a" * 1000, "b"), Example("c" * 10, "d")]
    assert fitting_demonstrations(examples, count, 100) == (examples[0], examples[2])
    assert fitting_demonstrations(examples, count, 10) == ()
    many = [Example(f"input {i}", "b") for i in range(500)]
    assert 0 < len(fitting_demonstrations(many, count, 1000)) < 500


def test_a_template_that_refuses_system_messages_is_no_trouble_and_one_that_refuses_all_is_named(
    tiny_model: Path,
) -> None:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_model)
    refuse = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    tokenizer.chat_template = refuse + tokenizer.chat_template
    assert "late" in PromptFormat(tokenizer).task("Name the team.", (), "late").text
    tokenizer.chat_template = "{{ raise_exception('nothing is right') }}"
    with pytest.raises(UserError, match="nothing is right"):
        PromptFormat(tokenizer).task("Name the team.", (), "late")


@given(pieces=st.lists(st.text(" \n\tab", max_size=5), max_size=8))
def test_an_answer_in_pieces_is_the_answer_in_one(pieces: list[str]) -> None:
    from tests.scripted import ByteTokenizer

    prompts = PromptFormat(ByteTokenizer())
    found = list(prompts.read_pieces(pieces))
    assert "".join(found) == prompts.read_answer("".join(pieces))
    assert all(found)
