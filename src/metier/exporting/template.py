"""The chat template of an export: it puts the task round the user's text, so that a host needs only the input.

The last user message is the input, character for character; all else (instruction, shown examples, a system message)
comes from the product. Whatever the instruction holds stands in a string, so none of it is ever read as Jinja markup.
"""

from __future__ import annotations

from collections.abc import Callable

from metier.core.errors import MetierError
from metier.report.facts import PromptTemplate
from metier.systems.renderings import Rendered

_MARK = "\u241fthe input\u241f"
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def chat_template(prompt: PromptTemplate) -> str:
    """Return the Jinja template that renders a conversation whose last user message is the input."""
    return (
        "{%- set found = namespace(text=none) -%}\n"
        "{%- for message in messages -%}\n"
        "{%- if message['role'] == 'user' -%}{%- set found.text = message['content'] -%}{%- endif -%}\n"
        "{%- endfor -%}\n"
        "{%- if found.text is none -%}"
        "{{- raise_exception('send the input as a user message') -}}"
        "{%- endif -%}\n"
        f"{{{{- {_literal(prompt.before)} + found.text + {_literal(prompt.after)} -}}}}"
    )


def prompt_around(render: Callable[[str], Rendered], max_tokens: int) -> PromptTemplate:
    """Return what a way to ask writes round its input.

    Args:
        render: From an input to its prompt.
        max_tokens: Longest answer.

    Raises:
        MetierError: The input does not stand in the prompt exactly once.
    """
    rendered = render(_MARK)
    if rendered.prompt.text.count(_MARK) != 1:
        raise MetierError("export: the prompt does not hold its input exactly once, so no chat template can write it")
    before, _, after = rendered.prompt.text.partition(_MARK)
    return PromptTemplate(before, after, rendered.stop, max_tokens)


def _literal(text: str) -> str:
    """Return a text as a string that every Jinja implementation reads back the same."""
    return '"' + "".join(_ESCAPES.get(character, character) for character in text) + '"'
