"""The mixture step: the tasks' pairs into the training set. Of one task it is that task's pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial

from metier.core.records import Example
from metier.core.step import Done, Work, once
from metier.data.mixture import Kept, Mixed, MixPlan, Part, mix
from metier.data.pairs import read_instructions
from metier.evaluation.measure import is_rewriting
from metier.steps.context import Context, ModelInputs
from metier.steps.gather import TaskRows
from metier.steps.measures import measure_of
from metier.tasks.scenario import MixtureFile, Scenario, ScenarioTask


@dataclasses.dataclass(frozen=True, slots=True)
class MixInputs:
    """All that a training set depends on; the model counts its tokens."""

    model: ModelInputs
    parts: tuple[Part, ...]
    plan: MixPlan
    kept_out: Kept
    generic: tuple[Example, ...]


def mix_pairs(c: Context, scenario: Scenario, parts: Sequence[Part], rows: Mapping[str, TaskRows]) -> Done[Mixed]:
    """Mix the tasks' pairs.

    Args:
        c: The run's context.
        scenario: Says how.
        parts: What each task gives.
        rows: Every task's rows: those of the tests are kept out.

    Raises:
        UserError: A task has no data, ratios do not add up, or a budget leaves nothing.
    """
    settings = scenario.settings
    generic: Sequence[Example] = ()
    if settings.generic is not None:
        generic, empty = read_instructions(settings.generic.data, where=settings.generic.where)
        if empty:
            c.reporter.say(f"  generic data: {empty} rows with an empty side are left out")
    inputs = MixInputs(c.model, tuple(parts), _plan(settings), _kept_out(settings, rows), tuple(generic))
    done = once(c.run, "mixture", inputs, partial(_mix, c))
    _report(c, done)
    return done


def part_of(
    rows: TaskRows, entry: ScenarioTask, pairs: Sequence[Example], written: Sequence[Example], *, pool: bool = False
) -> Part:
    """Return what a task gives to the mixture; a task that rewrites may be trained on every answer of a row.

    Args:
        rows: The task and its rows.
        entry: What the mixture says of it.
        pairs: Its labelled rows, or those chosen from a pool.
        written: What the model wrote for it.
        pool: Whether ``pairs`` are from a pool.
    """
    task = rows.task
    if not is_rewriting(measure_of(task)):
        pairs = [dataclasses.replace(pair, others=()) for pair in pairs]
    return Part(
        name=task.name,
        wordings=(task.instruction, *task.wordings),
        pairs=tuple(pairs),
        written=tuple(written),
        examples=rows.examples if task.training.demonstrations else (),
        origin="pool" if pool else "labelled",
        rows=entry.rows,
        ratio=entry.ratio,
        unchanged=entry.unchanged,
    )


def _plan(settings: MixtureFile) -> MixPlan:
    share = settings.generic.share if settings.generic else 0.0
    return MixPlan(settings.seed, settings.rows, settings.tokens, settings.temperature, share)


def _kept_out(settings: MixtureFile, rows: Mapping[str, TaskRows]) -> Kept:
    if settings.evaluation.leakage == "report":
        return Kept()
    tests = [(r.task, row) for r in rows.values() for row in r.test]
    return Kept(
        inputs=tuple(row.input for _, row in tests),
        texts=tuple(text for task, row in tests if is_rewriting(measure_of(task)) for text in row.references),
        similarity=settings.evaluation.leakage_similarity,
    )


def _mix(c: Context, inputs: MixInputs, work: Work) -> Mixed:
    prompts = c.slot.prompts

    def count_tokens(pairs: Sequence[Example]) -> list[int]:
        texts = [prompts.task(p.instruction or "", (), p.input).text + prompts.answer(p.output) for p in pairs]
        return [tokens + 1 for tokens in c.slot.count_tokens(texts)]  # and the end token

    return mix(inputs.parts, inputs.plan, inputs.kept_out, count_tokens, inputs.generic)


def _report(c: Context, done: Done[Mixed]) -> None:
    mixed = done.value
    if done.before:
        c.reporter.say(f"mixture: done before ({len(mixed.rows)} rows)")
        return
    c.reporter.say(f"mixture: {len(mixed.rows)} rows, {mixed.tokens} tokens")
    for name, made in mixed.make_up.items():
        left_out = ", ".join(f"{n} {reason}" for reason, n in made.dropped.items())
        c.reporter.say(f"  {name}: {made.rows} rows" + (f" (left out: {left_out})" if left_out else ""))
