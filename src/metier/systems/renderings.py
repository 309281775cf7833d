"""Three ways to lay out a few-shot prompt: as in training, all in one turn, and the instruction in every turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from metier.core.records import Example
from metier.engines.prompts import Prompt, PromptFormat, Turn

Rendering = Literal["usual", "one turn", "every turn"]


@dataclasses.dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt, and the strings that end its answer."""

    prompt: Prompt
    stop: tuple[str, ...]


Render = Callable[[PromptFormat, str, Sequence[Example], str], Rendered]
"""From prompt format, instruction, the examples shown and the input."""


def _usual(prompts: PromptFormat, instruction: str, shown: Sequence[Example], text: str) -> Rendered:
    return Rendered(prompts.task(instruction, shown, text), prompts.stop)


def _one_turn(prompts: PromptFormat, instruction: str, shown: Sequence[Example], text: str) -> Rendered:
    solved = "".join(f"Input: {d.input}\nOutput: {d.output}\n\n" for d in shown)
    prompt = prompts.conversation((), f"{instruction}\n\n{solved}Input: ", f"{text}\nOutput:")
    stop = tuple(dict.fromkeys((*prompts.stop, "\nInput:", "\n\n")))
    return Rendered(_ended(prompts, prompt), stop)


def _every_turn(prompts: PromptFormat, instruction: str, shown: Sequence[Example], text: str) -> Rendered:
    turns = [Turn(f"{instruction}\n\n{d.input}", d.output) for d in shown]
    return Rendered(_ended(prompts, prompts.conversation(turns, f"{instruction}\n\n", text)), prompts.stop)


def _ended(prompts: PromptFormat, prompt: Prompt) -> Prompt:
    """Return a prompt that `prompts.answer` can follow: a plain one without the line's end."""
    return prompt if prompts.style == "chat" else dataclasses.replace(prompt, text=prompt.text.removesuffix("\n"))


RENDERINGS: Mapping[Rendering, Render] = MappingProxyType(
    {"usual": _usual, "one turn": _one_turn, "every turn": _every_turn}
)
