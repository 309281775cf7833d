"""Turns pairs into tokens to train on: the prompt as at test time, then the answer, with loss on the answer alone.

Knows nothing about models or trainers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from metier.core.errors import MetierError
from metier.core.records import Example
from metier.engines.prompts import PromptFormat
from metier.models.tokenizer import Tokenizer
from metier.training.edits import changed_spans, weights


@dataclasses.dataclass(frozen=True, slots=True)
class EncodedExample:
    """One training example as tokens.

    Attributes:
        input_ids: Prompt, answer, end token.
        labels: The same, with -100 for tokens that are not trained on (the prompt).
        weights: The weight of each token; empty if all weigh the same.
    """

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    weights: tuple[float, ...] = ()

    @property
    def trained_tokens(self) -> int:
        """How many tokens the loss is computed on."""
        return sum(label != -100 for label in self.labels)


def encode_examples(
    pairs: Sequence[Example],
    instruction: str,
    demonstrations: Sequence[Example],
    prompts: PromptFormat,
    *,
    max_length: int,
    edit_weight: float = 1.0,
) -> tuple[list[EncodedExample], int]:
    """Return the examples as tokens, and how many were left out because they are longer than ``max_length``.

    A pair with its own instruction is asked with that, without the task's demonstrations. Prompt and answer are
    tokenised separately, as at test time, where the model continues the prompt's own tokens. With ``edit_weight`` above
    1, tokens of an answer that differ from its input get that weight.

    Raises:
        MetierError: No example is left, or an example has no token to train on.
    """
    tokenizer = prompts.tokenizer
    encoded, too_long = [], 0
    for pair in pairs:
        own = pair.instruction is not None
        asked = prompts.task(pair.instruction or "" if own else instruction, () if own else demonstrations, pair.input)
        text = prompts.answer(pair.output)
        answer = tokenizer(text, add_special_tokens=False, return_offsets_mapping=edit_weight > 1)
        prompt_ids = prompts.tokens(asked)
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


def rendered(example: EncodedExample, tokenizer: Tokenizer) -> tuple[str, str]:
    """Return an example as the model reads it: the given part, and the part that is trained on."""
    given = [i for i, label in zip(example.input_ids, example.labels, strict=True) if label == -100]
    trained = [label for label in example.labels if label != -100]
    return str(tokenizer.decode(given)), str(tokenizer.decode(trained))
