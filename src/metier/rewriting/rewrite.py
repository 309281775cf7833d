"""Rewrites sentences with a specialist and decides for each whether the new one replaces the old one.

Knows nothing about files, or how a text was cut into sentences.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from metier.engines.base import Engine, GenerationRequest, Progress, ScoringRequest
from metier.engines.prompts import PromptFormat
from metier.rewriting.guard import why_not

_TOGETHER = 64  # sentences asked for at once, between two progress reports
_LONGEST = 512  # tokens of one piece; longer ones were never trained on


@dataclasses.dataclass(frozen=True, slots=True)
class Rewritten:
    """The outcome for one sentence.

    Attributes:
        before: The original.
        after: What replaces it; the same if it was left alone.
        reason: Why the model's change was rejected; None if it was made, or the model changed nothing.
    """

    before: str
    after: str
    reason: str | None = None

    @property
    def changed(self) -> bool:
        """Whether the sentence is different now."""
        return self.after != self.before


def rewrite(
    texts: Sequence[str],
    instruction: str,
    engine: Engine,
    prompts: PromptFormat,
    progress: Progress | None = None,
) -> list[Rewritten]:
    """Return the outcome for each sentence.

    A sentence stays as it was if the model returns it unchanged, if a guard objects (`guard.why_not`), or if the model
    itself finds the original more likely than its change.

    Args:
        texts: Sentences or paragraphs.
        instruction: What the model is asked to do.
        engine: The specialist.
        prompts: How it is asked.
        progress: Called with (sentences done, tokens generated).
    """
    done: dict[str, Rewritten] = {}
    unique = list(dict.fromkeys(texts))
    written = engine.stats.generated_tokens
    for begin in range(0, len(unique), _TOGETHER):
        part = unique[begin : begin + _TOGETHER]
        done |= dict(zip(part, _rewritten(part, instruction, engine, prompts), strict=True))
        if progress:
            progress(begin + len(part), engine.stats.generated_tokens - written)
    return [done[text] for text in texts]


def _rewritten(texts: Sequence[str], instruction: str, engine: Engine, prompts: PromptFormat) -> list[Rewritten]:
    found = [Rewritten(text, text) for text in texts]
    asked: dict[int, GenerationRequest] = {}
    for i, (text, size) in enumerate(zip(texts, engine.count_tokens(texts), strict=True)):
        prompt = prompts.task(instruction, (), _one_line(text))
        room = 2 * size + 32
        if size > _LONGEST or engine.count_tokens([prompt.text])[0] + room > engine.context_length:
            found[i] = Rewritten(text, text, "it is too long for the model")
        else:
            asked[i] = GenerationRequest(prompt, max_tokens=room, stop=prompts.stop)
    wanted: dict[int, str] = {}
    made = engine.generate(list(asked.values())) if asked else []
    for i, generation in zip(asked, made, strict=True):
        before, after = _one_line(texts[i]), prompts.read_answer(generation.texts[0])
        if after == before:
            continue
        reason = why_not(before, after) if generation.finished[0] else "the model did not finish it"
        if reason:
            found[i] = Rewritten(texts[i], texts[i], reason)
        else:
            wanted[i] = after
    scored = engine.score(
        [
            ScoringRequest(asked[i].prompt, (prompts.answer(_one_line(texts[i])), prompts.answer(after)))
            for i, after in wanted.items()
        ]
    )
    for (i, after), scores in zip(wanted.items(), scored, strict=True):
        better = scores.logprobs[1] > scores.logprobs[0]
        found[i] = Rewritten(texts[i], after if better else texts[i], None if better else "the original is more likely")
    return found


def _one_line(text: str) -> str:
    return " ".join(text.split())
