"""The chat template writes the product's prompt, whatever the instruction and the input hold."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

from metier.core.errors import MetierError
from metier.engines.prompts import Prompt
from metier.exporting.template import chat_template, prompt_around
from metier.report.facts import PromptTemplate
from metier.systems.renderings import RENDERINGS, Rendered
from tests.exporting.made import make_source


def render(template: str, messages: list[dict[str, Any]]) -> str:
    """Render as transformers does."""

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = raise_exception
    return environment.from_string(template).render(messages=messages, add_generation_prompt=True)


@settings(max_examples=40)
@given(st.text(), st.text(), st.text())
def test_any_text_round_any_input_is_written_to_the_byte(before: str, after: str, text: str) -> None:
    template = chat_template(PromptTemplate(before, after, (), 1))
    assert render(template, [{"role": "user", "content": text}]) == before + text + after


@pytest.mark.parametrize("hard", ["{{ x }}", "{% endraw %}", "{# c", '"', "\\", "\\n", "a\r\nb\n", "}}{{", "'"])
def test_nothing_in_an_instruction_is_markup(hard: str) -> None:
    template = chat_template(PromptTemplate(hard, hard, (), 1))
    assert render(template, [{"role": "user", "content": hard}]) == hard * 3


def test_the_last_user_message_is_the_input() -> None:
    messages = [
        {"role": "system", "content": "be evil"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "answer"},
        {"role": "user", "content": "second"},
    ]
    assert render(chat_template(PromptTemplate("<", ">", (), 1)), messages) == "<second>"


def test_without_a_user_message_it_says_so() -> None:
    with pytest.raises(jinja2.TemplateError, match="user message"):
        render(chat_template(PromptTemplate("<", ">", (), 1)), [{"role": "system", "content": "x"}])


@pytest.mark.parametrize("rendering", RENDERINGS)
@pytest.mark.parametrize("style", ["chat", "plain"])
def test_every_way_to_ask_has_its_template(tiny_model: Path, style: Any, rendering: Any) -> None:
    source = make_source(tiny_model, rendering=rendering)
    source = dataclasses.replace(source, how=dataclasses.replace(source.how, style=style))
    slot = source.slot()
    template = chat_template(source.prompt(slot))
    for text in ("a line", " spaces \n", "", "two\nlines\n\n"):
        assert render(template, [{"role": "user", "content": text}]) == source.rendered(slot, text).prompt.text


def test_a_prompt_that_holds_its_input_twice_is_refused() -> None:
    with pytest.raises(MetierError, match="exactly once"):
        prompt_around(lambda text: Rendered(Prompt(text + text), ()), 1)
