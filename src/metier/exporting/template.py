"""The chat template of an export: it puts the task round the user's text, so that a host needs only the input.

The last user message is the input, character for character; all else (instruction, shown examples, a system message)
comes from the product. Whatever the instruction holds stands in a string, so none of it is ever read as Jinja markup.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from metier.core.errors import MetierError
from metier.systems.renderings import Rendered

_MARK = "\u241fthe input\u241f"
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclasses.dataclass(frozen=True, slots=True)
class AskedPrompt:
    """A prompt as text in front of the input and behind it, and what ends its answer.

    Attributes:
        before: In front of the input.
        after: Behind it.
        stop: Strings that end an answer, beside the model's own end token.
        max_tokens: Longest answer.
    """

    before: str
    after: str
    stop: tuple[str, ...]
    max_tokens: int

    @property
    def chat_template(self) -> str:
        """The Jinja template that renders a conversation whose last user message is the input."""
        return (
            "{%- set found = namespace(text=none) -%}\n"
            "{%- for message in messages -%}\n"
            "{%- if message['role'] == 'user' -%}{%- set found.text = message['content'] -%}{%- endif -%}\n"
            "{%- endfor -%}\n"
            "{%- if found.text is none -%}"
            "{{- raise_exception('send the input as a user message') -}}"
            "{%- endif -%}\n"
            f"{{{{- {_literal(self.before)} + found.text + {_literal(self.after)} -}}}}"
        )


def prompt_around(render: Callable[[str], Rendered], max_tokens: int) -> AskedPrompt:
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
    return AskedPrompt(before, after, rendered.stop, max_tokens)


def _literal(text: str) -> str:
    """Return a text as a string that every Jinja implementation reads back the same."""
    return '"' + "".join(_ESCAPES.get(character, character) for character in text) + '"'
