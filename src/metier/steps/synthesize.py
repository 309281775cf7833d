"""The synthesis step: the model writes and filters a task's training pairs."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from functools import partial

from metier.core import storage
from metier.core.errors import NotEnoughData, UserError
from metier.core.records import Candidate, Example
from metier.core.step import Done, Work, once
from metier.engines.base import Engine
from metier.engines.prompts import fitting_demonstrations
from metier.steps.context import Context, ModelInputs
from metier.synthesis.brief import Brief
from metier.synthesis.write import synthesize as write_candidates
from metier.tasks.task import Task

_REMEDIES = {
    "cut_off": "the inputs do not end: raise synthesis.input_max_tokens, or use a model tuned for chat",
    "duplicate": "the inputs repeat each other: raise synthesis.input_temperature, or give more varied examples",
    "length": "the inputs differ in length from the examples: set synthesis.input_length_filter=false",
    "form": "the inputs lack the parts that the examples have, such as 'Premise:': give more examples, or use a larger "
    "model",
    "noise": "the model talks about the task: reword the instruction, or set synthesis.noise_filter=false",
    "disagreement": "the model cannot tell the answers apart: make the instruction name what each one means, "
    "give an example of each, or use a larger model",
    "quota": "only the surest are kept: raise synthesis.inputs or synthesis.keep_share; where most inputs "
    "are read as one label, make the instruction name what each label means",
    "balance": "one class is rare among the answers: give more examples of it, or set synthesis.balance=false",
    "unchanged": "the model copies the text: give more examples that change something, or raise "
    "synthesis.input_temperature",
    "edits": "the model changes more or less of a text than the examples do: give more real text, or more varied "
    "examples",
    "no_repair": "the model does not find the real texts likelier than what it made of them: give more real text, or "
    "use a larger model",
    "no_label": "the answers hold no label: say in the instruction that only a label may be answered",
}


@dataclasses.dataclass(frozen=True, slots=True)
class SynthesisInputs:
    """All that the pairs depend on."""

    model: ModelInputs
    brief: Brief


@dataclasses.dataclass(frozen=True, slots=True)
class Synthesis:
    """Every pair that was written, kept or dropped with its reason."""

    candidates: tuple[Candidate, ...]

    @property
    def pairs(self) -> tuple[Example, ...]:
        """Those that were kept."""
        return tuple(Example(c.input, c.output) for c in self.candidates if c.kept)

    @property
    def dropped(self) -> dict[str, int]:
        """How many were dropped, by filter."""
        return dict(sorted(Counter(c.dropped_by for c in self.candidates if c.dropped_by).items()))


def synthesize(c: Context, task: Task, several: int, unlabelled: Sequence[str] = ()) -> Done[Synthesis]:
    """Let the model write pairs for a task.

    Args:
        c: The run's context.
        task: What the pairs are for.
        several: How many raw inputs to ask for.
        unlabelled: Real inputs that it is to answer beside them, or real texts that it is to damage.

    Raises:
        NotEnoughData: Fewer pairs are left than ``synthesis.min_pairs``; all candidates are on file.
        UserError: The model's context has no room for an example.
    """
    settings = task.synthesis
    # What a task asks for by itself is too much where a mixture asks for less.
    least = settings.min_pairs if several >= settings.inputs else min(settings.min_pairs, max(1, several // 8))
    examples = tuple(Example(e.input, e.output) for e in task.examples)
    # How many pairs are enough changes none of them.
    asked = settings.but(inputs=several, min_pairs=1)
    brief = Brief(task.instruction, task.labels, examples, asked, task.seed, tuple(unlabelled))
    done = once(c.of(task.name), "synthesis", SynthesisInputs(c.model, brief), partial(_write, c))
    if done.before:
        c.reporter.say(f"synthesis: done before ({len(done.value.pairs)} pairs)")
    else:
        c.reporter.say(f"  kept {len(done.value.pairs)} of {len(done.value.candidates)} pairs")
    _check_enough(done, least)
    return done


def _write(c: Context, inputs: SynthesisInputs, work: Work) -> Synthesis:
    c.reporter.say(f"synthesis ({inputs.brief.settings.method})")
    engine = c.slot.open()
    _check_examples(c, inputs.brief, engine)
    before = engine.stats.generated_tokens
    candidates = write_candidates(inputs.brief, engine, c.slot.prompts, work.shard, c.reporter.track)
    work.add_cost(tokens=engine.stats.generated_tokens - before)
    made = Synthesis(tuple(candidates))
    storage.write_parquet(work.path / "pairs.parquet", [{"input": p.input, "output": p.output} for p in made.pairs])
    return made


def _check_examples(c: Context, brief: Brief, engine: Engine) -> None:
    """Say how many examples a prompt has room for: one that is never shown must not be lost in silence."""
    shown = len(fitting_demonstrations(brief.examples, engine.count_tokens, engine.context_length // 2))
    given = len(brief.examples)
    if not shown:
        raise UserError(
            f"examples: none of the {given} fits half of the model's context of {engine.context_length} tokens",
            hint="shorten them, or use a model with a longer context",
        )
    if shown < given:
        c.reporter.say(f"  {shown} of {given} examples fit into a prompt; the others are only trained on")


def _check_enough(done: Done[Synthesis], least: int) -> None:
    kept, dropped = len(done.value.pairs), done.value.dropped
    if kept >= least:
        return
    counts = ", ".join(f"{count} by {name}" for name, count in sorted(dropped.items(), key=lambda x: -x[1]))
    worst = max(dropped, key=lambda name: dropped[name], default="")
    raise NotEnoughData(
        f"only {kept} of {len(done.value.candidates)} pairs are left, fewer than synthesis.min_pairs={least}; "
        f"training was not started. Dropped: {counts or 'none'}. Every candidate is in {done.path}/candidates.jsonl",
        hint=_REMEDIES.get(worst, "ask for more with synthesis.inputs, or use a larger model"),
    )
