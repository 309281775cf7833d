"""Turns pairs into tokens to train on: the prompt of test time, then the answer, and loss on the answer alone.

Knows nothing about models or trainers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from metier.core.errors import MetierError
from metier.core.records import Example
from metier.engines.prompts import PromptFormat
from metier.training.edits import changed_spans, weights


@dataclasses.dataclass(frozen=True, slots=True)
class EncodedExample:
    """One training example as tokens.

    Attributes:
        input_ids: Prompt, answer, end token.
        labels: The same with -100 on every token that is not trained on (the prompt).
        weights: How much each token counts; empty where all count alike.
    """

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    weights: tuple[float, ...] = ()

    @property
    def trained_tokens(self) -> int:
        """How many tokens the loss is taken on."""
        return sum(label != -100 for label in self.labels)


def encode_examples(
    pairs: Sequence[Example],
    instruction: str,
    demonstrations: Sequence[Example],
    prompts: PromptFormat,
    tokenizer: Any,
    max_length: int,
    edit_weight: float = 1.0,
) -> tuple[list[EncodedExample], int]:
    """Return the examples as tokens, and how many were left out for being longer than ``max_length``.

    A pair with an instruction of its own is asked by that, without the task's demonstrations. Prompt and answer are
    tokenised apart, as they meet at test time: the model continues the prompt's own tokens. With ``edit_weight`` above
    1, tokens of an answer that differ from its input count so much more.

    Raises:
        MetierError: No example is left, or an example has no token to train on.
    """
    encoded, too_long = [], 0
    for pair in pairs:
        own = pair.instruction is not None
        asked = prompts.task(pair.instruction or "" if own else instruction, () if own else demonstrations, pair.input)
        prompt = tokenizer(asked.text, add_special_tokens=False)
        text = prompts.answer(pair.output)
        answer = tokenizer(text, add_special_tokens=False, return_offsets_mapping=edit_weight > 1)
        prompt_ids = list(prompt["input_ids"])
        answer_ids = [*answer["input_ids"], tokenizer.eos_token_id]
        if len(prompt_ids) + len(answer_ids) > max_length:
            too_long += 1
            continue
        if len(answer_ids) < 2:
            raise MetierError(f"the answer {pair.output!r} has no token to train on")
        counts: tuple[float, ...] = ()
        if edit_weight > 1:
            places = [*answer["offset_mapping"], (len(text), len(text) + 1)]
            weighed = weights(changed_spans(pair.input, text), places, edit_weight)
            counts = (*[1.0] * len(prompt_ids), *weighed)
        encoded.append(EncodedExample((*prompt_ids, *answer_ids), (*[-100] * len(prompt_ids), *answer_ids), counts))
    if not encoded:
        raise MetierError(
            f"none of the {len(pairs)} training pairs fits training.max_length={max_length} tokens",
            hint="raise training.max_length, or shorten the instruction",
        )
    return encoded, too_long


def rendered(example: EncodedExample, tokenizer: Any) -> tuple[str, str]:
    """Return an example as the model reads it: the part that is given, and the part that is trained."""
    given = [i for i, label in zip(example.input_ids, example.labels, strict=True) if label == -100]
    trained = [label for label in example.labels if label != -100]
    return str(tokenizer.decode(given)), str(tokenizer.decode(trained))
