"""SELF-GUIDE's first half: the model writes new inputs for its task, and filters drop those of no use.

Source: Zhao et al. 2024, SELF-GUIDE (arXiv 2407.12874), section 3, and the authors' code. Rounds of ten prompts, one
sample each. A prompt is plain text, without a chat template, that the model continues: the instruction, the examples'
inputs in random order as good ones, one to ten inputs that the filters left of earlier rounds as lesser ones, each as
``[input]="…"``, and at last ``[input]=``. In classification a label drawn at random is asked for, twice in the prompt,
and thrown away afterwards. What differs from the authors' code, and why:

- The wording is this project's own.
- The last ``[input]=`` is followed by its opening quote, where the authors' is followed by a line break. A small model
  needs the quote to take up the pattern: on task1516 the 0.5B model wrote something like an input in 7 of 8 samples
  with it, in 2 of 8 after a line break, and in 1 of 8 after ``[input]=`` alone.
- An input ends at its closing quote or at its first blank line (unless the examples hold blank lines themselves), and
  the quotes are taken off, before any filter sees it. A small model goes on with further inputs, for which the
  authors' noise filter would drop the first one too.
- What was cut off at the most tokens is dropped: it is not a whole input. Where the length filter would drop it
  anyway, it is not written to its end.
- A prompt that is too long for the model's context shows fewer earlier inputs; the authors draw them anew until the
  prompt is short enough.
- Duplicates are told regardless of case and white space, and a copy of an example is one too (`checks.py`).
- Punctuation alone counts as empty.
- A phrase that the examples use is not noise (`filters.py`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from functools import partial

from metier.core.records import Candidate
from metier.core.storage import seed_of
from metier.engines.base import Engine, GenerationRequest, Progress
from metier.engines.prompts import Prompt, PromptFormat, fitting_demonstrations
from metier.engines.shards import Shard
from metier.synthesis import filters
from metier.synthesis.brief import Brief
from metier.synthesis.checks import Checks, input_checks, input_limits

_SLACK = 16  # characters around an input that are taken off: quotes, white space
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
_QUOTES_AT_LINE_END = re.compile(r'("+)[^\S\n]*$', re.MULTILINE)
_PATTERN = "[input]="
_RULE = "-" * 40
_GOOD = "Here are [input] of high quality. Keep strictly to their format."
_LESSER = "Here are [input] of lower quality. Their format and content may be wrong: use them for ideas only."

_Asked = list[tuple[str | None, GenerationRequest]]  # the label asked for, and the request


def write_inputs(
    brief: Brief, engine: Engine, prompts: PromptFormat, shard: Shard, progress: Progress | None = None
) -> list[Candidate]:
    """Return inputs, one a prompt, each kept or dropped by a filter; later rounds are shown some that were kept.

    Args:
        brief: The job; ``brief.settings`` says how many inputs to write, and how.
        engine: Runs the model.
        prompts: Knows the model's start token; its chat template is not used.
        shard: Puts each round on file, or brings it back from there.
        progress: Called with inputs done and tokens made.
    """
    settings = brief.settings
    rounds = _Rounds(brief, engine, prompts)
    checks = input_checks(brief)
    written: list[Candidate] = []
    tokens = 0
    for number in range(-(-settings.inputs // settings.prompts_per_round)):
        several = min(settings.prompts_per_round, settings.inputs - len(written))
        asked = rounds.asked(number, several, [c.input for c in written if c.kept])
        before = engine.stats.generated_tokens
        made: list[tuple[str, bool]] = shard(f"inputs-{number:05d}", partial(_texts, engine, [r for _, r in asked]))
        tokens += engine.stats.generated_tokens - before
        for place, ((label, _), (text, finished)) in enumerate(zip(asked, made, strict=True)):
            found, ended = read_input(text, blank_lines=rounds.blank_lines)
            candidate = Candidate(f"r{number}.{place}", found, asked_label=label)
            written.append(_judged(candidate, checks, whole=finished or ended))
        if progress:
            progress(len(written), tokens)
    return written


def read_input(text: str, *, blank_lines: bool) -> tuple[str, bool]:
    """Return the input in what a model wrote after ``[input]="``, and whether its end was found.

    Args:
        text: What the model wrote.
        blank_lines: Whether inputs of this job hold blank lines; otherwise the first one ends the input.
    """
    text, ended = text.strip(), False
    if not blank_lines:
        first, *rest = _BLANK_LINE.split(text, maxsplit=1)
        text, ended = first.rstrip(), bool(rest)
    for closing in _QUOTES_AT_LINE_END.finditer(text):
        # Where a quotation is open, the first quote closes that, and only a second one the input.
        inner = text.count('"', 0, closing.start()) % 2
        if len(closing[1]) > inner:
            text, ended = text[: closing.start() + inner], True
            break
    if text.startswith('"') and text.count('"') == (2 if text.endswith('"') else 1):
        text = text.strip('"')
    return text.strip(), ended


class _Rounds:
    """Makes the requests of a job's rounds."""

    def __init__(self, brief: Brief, engine: Engine, prompts: PromptFormat) -> None:
        self._brief, self._engine, self._prompts = brief, engine, prompts
        fitting = fitting_demonstrations(brief.examples, engine.count_tokens, engine.context_length // 2)
        self._good = [e.input for e in fitting]
        self.blank_lines = any(_BLANK_LINE.search(e.input) for e in brief.examples)
        self._stop = (f"\n\n{_PATTERN}",) if self.blank_lines else ("\n\n",)
        limits = input_limits(brief)
        self._longest = None if limits is None else int(limits[1]) + _SLACK

    def asked(self, number: int, several: int, earlier: Sequence[str]) -> _Asked:
        """Return so many requests of one round, each with the label it asks for, if any."""
        return [self._one(number, place, earlier) for place in range(several)]

    def _one(self, number: int, place: int, earlier: Sequence[str]) -> tuple[str | None, GenerationRequest]:
        brief, settings = self._brief, self._brief.settings
        rng = random.Random(seed_of(brief.seed, "inputs", number, place))
        label = rng.choice(brief.labels) if brief.labels and settings.pseudo_labels else None
        good = list(self._good)
        rng.shuffle(good)
        most = min(settings.earlier_inputs, len(earlier))
        prompt, room = self._prompt(good, rng.sample(earlier, rng.randint(1, most)) if most else [], label)
        return label, GenerationRequest(
            prompt=prompt,
            max_tokens=max(1, min(settings.input_max_tokens, room)),
            temperature=settings.input_temperature,
            top_k=settings.input_top_k,
            stop=self._stop,
            seed=seed_of(brief.seed, "inputs-sampling", number, place),
            max_chars=self._longest,
        )

    def _prompt(self, good: Sequence[str], lesser: Sequence[str], label: str | None) -> tuple[Prompt, int]:
        """Return a prompt with as many of the lesser inputs as leave room for a new one, and the tokens left."""
        head = _head(self._brief.instruction)
        while True:
            prompt = self._prompts.continuation(head, _rest(good, lesser, label))
            room = self._engine.context_length - self._engine.count_tokens([prompt.text])[0]
            if room >= self._brief.settings.input_max_tokens or not lesser:
                return prompt, room
            lesser = lesser[:-1]


def _head(instruction: str) -> str:
    return (
        "Your job is to write one new [input] for the [instruction] below, after some examples of [input]. It should "
        "differ from every [input] shown, and be as detailed, precise and varied as the best of them.\n"
        f"{_RULE}\n[instruction]\n\n{instruction}\n{_RULE}\n"
    )


def _rest(good: Sequence[str], lesser: Sequence[str], label: str | None) -> str:
    wanted = "" if label is None else f" for which the right [output] is {label}"
    reminder = "" if label is None else f" Mind that the right [output] for it should be {label}."
    return (
        f"{_GOOD}\n\n{_listed(good)}\n{_RULE}\n{_LESSER}\n\n{_listed(lesser)}\n{_RULE}\n"
        f"Write a new [input]{wanted} now. Follow the [instruction], and the format of the [input] of high quality. "
        f'Answer with the new [input] and with nothing else.{reminder}\n\n{_PATTERN}"'
    )


def _listed(texts: Sequence[str]) -> str:
    return "".join(f'{_PATTERN}"{text}"\n\n' for text in texts) or "N/A\n"


def _judged(candidate: Candidate, checks: Checks, *, whole: bool) -> Candidate:
    """Return a candidate with the filters' verdict."""
    if whole:
        return filters.apply(candidate, checks, candidate.input)
    # One that the length filter let nobody write to its end is dropped by that filter.
    candidate = filters.apply(candidate, [check for check in checks if check[0] == "length"], candidate.input)
    return filters.drop(candidate, "cut_off", "longer than input_max_tokens") if candidate.kept else candidate


def _texts(engine: Engine, asked: Sequence[GenerationRequest]) -> list[tuple[str, bool]]:
    return [pair for g in engine.generate(asked) for pair in zip(g.texts, g.finished, strict=True)]
