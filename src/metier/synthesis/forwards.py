"""How the model is asked forwards: for the answer to an input, with as many examples as half of its context holds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from metier.engines.base import Engine
from metier.engines.prompts import Prompt, PromptFormat, fitting_demonstrations
from metier.synthesis.brief import Brief

Forwards = Callable[[str], Prompt]
"""From an input to the prompt that asks for its answer."""


def asked_forwards(brief: Brief, engine: Engine, prompts: PromptFormat) -> Forwards:
    """Return what writes the few-shot prompt of an input; which examples fit is counted once."""
    shown = fitting_demonstrations(brief.examples, engine.count_tokens, engine.context_length // 2)
    return partial(prompts.task, brief.instruction, shown)
