"""Renders instruction, demonstrations and input into the text of a prompt. Knows nothing about engines.

Synthesis, training, test and serving all use this file, so a specialist is always asked as it was trained.

A model with a chat template gets a conversation: the instruction opens the first user turn, each demonstration is a
user turn (its input) answered by an assistant turn (its output), and the last user turn is the input. No system
message is written, since some templates reject one. A base model gets this text, and answers after "Output:"::

    {instruction}

    Input: {input of the first demonstration}
    Output: {its output}

    Input: {input}
    Output:
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from metier.core.errors import UserError, first_line
from metier.core.records import Example
from metier.engines.control_tokens import PromptReader, Span
from metier.models.tokenizer import Tokenizer

Style = Literal["auto", "chat", "plain"]
_MARK = "\u241einput\u241e"  # stands in for the input while the shared part of a prompt is located


@dataclasses.dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt.

    Attributes:
        text: The whole prompt, with every special token written out; engines add none.
        shared: How many of its first characters it shares with the other prompts of its stage (the instruction and
            the demonstrations). An engine may compute that part once.
        data: Where in it is text from outside, in which no special token is meant.
    """

    text: str
    shared: int = 0
    data: tuple[Span, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """One exchange that a prompt shows: what was asked, and what was answered."""

    user: str
    assistant: str


class PromptFormat:
    """Writes the prompts of one model.

    Args:
        tokenizer: Its chat template and start token are used.
        style: ``chat``, ``plain``, or ``auto`` (chat where the tokenizer has a template).

    Raises:
        UserError: The style is ``chat``, but the model has no chat template.
    """

    def __init__(self, tokenizer: Tokenizer, style: Style = "auto") -> None:
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if style == "chat" and not has_template:
            raise UserError(
                "prompt.style: chat, but the model has no chat template",
                hint="use prompt.style=plain (or auto), or a model tuned for chat",
            )
        self.style: Literal["chat", "plain"] = "chat" if has_template and style != "plain" else "plain"
        self._tokenizer = tokenizer
        self._reader = PromptReader(tokenizer)

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        return self._tokenizer

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings that end an answer, beside the model's own end token."""
        return () if self.style == "chat" else ("\nInput:", "\n\n")

    def task(self, instruction: str, demonstrations: Sequence[Example], text: str) -> Prompt:
        """Return the prompt that asks for the answer to one input.

        Args:
            instruction: What to do; empty if the input says so itself.
            demonstrations: Solved examples to show; none for a zero-shot prompt.
            text: The input to answer.
        """
        if self.style == "plain":
            shown = "".join(f"Input: {d.input}\nOutput: {d.output}\n\n" for d in demonstrations)
            if not instruction and not shown:
                return _around(self._start(), text, "\nOutput:", shared=0)
            return _around(f"{self._start()}{instruction}\n\n{shown}Input: ", text, "\nOutput:")
        first = f"{instruction}\n\n" if instruction else ""
        turns = [Turn(d.input, d.output) for d in demonstrations]
        if turns:
            turns[0] = Turn(first + turns[0].user, turns[0].assistant)
            return self.conversation(turns, "", text)
        return self.conversation((), first, text)

    def conversation(self, turns: Sequence[Turn], ask: str, text: str) -> Prompt:
        """Return a prompt of earlier exchanges and one last question, ``ask`` followed by ``text``.

        Everything before ``text`` counts as shared with other prompts.
        """
        if self.style == "plain":
            shown = "".join(f"{t.user}\n{t.assistant}\n\n" for t in turns)
            return _around(f"{self._start()}{shown}{ask}", text, "\n")
        messages = [
            message
            for turn in turns
            for message in (
                {"role": "user", "content": turn.user},
                {"role": "assistant", "content": turn.assistant},
            )
        ]
        # A template may trim messages, so the shared part is located in the rendered text.
        marked = self._render([*messages, {"role": "user", "content": ask + _MARK}])
        before, _, after = marked.partition(_MARK)
        return _around(before, text, after)

    def chat(self, messages: Sequence[tuple[str, str]]) -> Prompt:
        """Return the prompt of a whole conversation, by the model's template.

        Args:
            messages: Each message's role and text.

        Raises:
            UserError: The model has no template, or it rejects the conversation.
        """
        if self.style == "plain":
            raise UserError("the model has no chat template", hint="give it a text to continue")
        # A template may trim messages and put text around them, so each is located by a mark of its own.
        marks = [f"\u241e{place}\u241e" for place in range(len(messages))]
        said = [{"role": role, "content": mark} for (role, _), mark in zip(messages, marks, strict=True)]
        rest, text, data = self._render(said), "", []
        for (_, own), mark in zip(messages, marks, strict=True):
            before, found, rest = rest.partition(mark)
            if not found:
                raise UserError("the model's chat template leaves out a message", hint="leave that message out")
            text += before
            data.append((len(text), len(text) + len(own)))
            text += own
        return Prompt(text + rest, data=tuple(data))

    def continuation(self, head: str, rest: str) -> Prompt:
        """Return a text that the model is to continue, without any template; ``head`` counts as shared with others."""
        head = f"{self._start()}{head}"
        return Prompt(head + rest, shared=len(head))

    def tokens(self, prompt: Prompt) -> list[int]:
        """Return a prompt's tokens."""
        return self._reader.tokens(prompt.text, prompt.data)

    def is_special(self, prompt: Prompt) -> bool:
        """Whether text from outside names a special token, so that the prompt's text alone does not tell its tokens."""
        return self._reader.is_special(prompt.text, prompt.data)

    def answer(self, output: str) -> str:
        """Return the text that follows a task prompt when ``output`` is the answer (the end token not included)."""
        return output if self.style == "chat" else f" {output}"

    def read_answer(self, text: str) -> str:
        """Return the output in a model's text after a task prompt; the inverse of `answer`."""
        return text.strip()

    def read_pieces(self, pieces: Iterable[str]) -> Iterator[str]:
        """Yield the output in a model's text that comes in pieces; joined, they are what `read_answer` returns."""
        held = ""
        begun = False
        for piece in pieces:
            held += piece
            if not begun:
                held = held.lstrip()
            ready = held.rstrip()  # space at the end belongs to the answer only if something follows it
            if ready:
                yield ready
                begun, held = True, held[len(ready) :]

    def _render(self, messages: list[dict[str, str]]) -> str:
        import jinja2

        try:
            return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise UserError(
                f"the model's chat template rejects a conversation of user and assistant ({first_line(error)})",
                hint="set prompt.style=plain to write prompts without it",
            ) from error

    def _start(self) -> str:
        token = self._tokenizer.bos_token
        ids = self._tokenizer("a")["input_ids"]
        return token if token is not None and len(ids) > 0 and ids[0] == self._tokenizer.bos_token_id else ""


def _around(before: str, text: str, after: str, shared: int | None = None) -> Prompt:
    """Return the prompt that asks about a text from outside; what is before it is shared."""
    begin = len(before)
    return Prompt(before + text + after, begin if shared is None else shared, ((begin, begin + len(text)),))


def fitting_demonstrations(
    examples: Sequence[Example], count_tokens: Callable[[Sequence[str]], list[int]], room: int
) -> tuple[Example, ...]:
    """Return the examples, in order, whose tokens fit into ``room``; one that does not fit is skipped."""
    sizes = count_tokens([f"{e.input}\n{e.output}" for e in examples])
    chosen, used = [], 0
    for example, size in zip(examples, sizes, strict=True):
        cost = size + 16  # for the marks that a template puts around two messages
        if used + cost <= room:
            chosen.append(example)
            used += cost
    return tuple(chosen)
