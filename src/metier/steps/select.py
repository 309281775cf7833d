"""The selection step: which rows of a pool, or of a task's own pairs, are trained on.

Pools, their encodings and their token counts are kept in the cache, named by what they hold, so that runs over one pool
share them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np

from metier.core import storage
from metier.core.errors import UserError
from metier.core.records import Example
from metier.core.remote import local
from metier.core.step import Artifact, Done, Work, once
from metier.data.pairs import read_inputs
from metier.selection import kcenter
from metier.selection.pool import Pool, open_pool, pool_of, state_of
from metier.selection.select import select
from metier.steps.context import Context
from metier.steps.material import SelectionInputs, cache, encoder_digest, gather_material
from metier.tasks.task import Task

Control = Literal["random", "related", "pool"]
_WITHOUT_ENCODER = ("random", "length")
_BY_GRADIENTS = "less"  # the one strategy that trains


@dataclasses.dataclass(frozen=True, slots=True)
class ControlInputs:
    """All that the rows of a control depend on."""

    selection: SelectionInputs
    control: Control
    rows: int
    tokens: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen.

    Attributes:
        places: The rows' places in the pool, in the order they were taken.
        selected: The rows, each with the instruction it is asked with (empty: it says itself what is wanted).
        tokens: What they come to.
        pool_rows: Rows of the pool.
        region_rows: Rows that count as the task's; None where that was not looked at.
        filled: How many of the rows are from outside that part, since it has too few.
    """

    places: tuple[int, ...]
    selected: tuple[Example, ...]
    tokens: int
    pool_rows: int
    region_rows: int | None
    filled: int


def open_task_pool(c: Context, task: Task, unwanted: Sequence[str]) -> Pool:
    """Return the task's pool without the test's inputs, read once into the cache.

    Raises:
        UserError: The task names no pool, or it cannot be read.
    """
    source = task.pool
    if source is None:
        raise UserError("selection: the task names no pool", hint="pool: FILE (or a folder, a URL, a hub id)")
    folder = cache() / f"pool-{storage.digest([source, state_of(local(source)), sorted(unwanted)])[:20]}"
    with c.reporter.track("pool", None, "rows") as update:
        pool = open_pool(source, folder, update, unwanted=unwanted)
    left_out = ", ".join(f"{count} {reason}" for reason, count in pool.dropped.items())
    c.reporter.say(f"  pool: {pool.rows} rows" + (f" (left out: {left_out})" if left_out else ""))
    return pool


def choose(c: Context, task: Task, pool: Pool) -> Done[Selection]:
    """Choose rows of a pool as the task says.

    Raises:
        UserError: The budget cannot be met.
    """
    inputs = _inputs(c, task, pool)
    done = once(c.of(task.name), "selection", inputs, partial(_choose, c, pool))
    chosen = done.value
    if done.before:
        c.reporter.say(f"selection: done before ({len(chosen.places)} rows)")
        return done
    line = f"  chose {len(chosen.places)} of {pool.rows} rows, {chosen.tokens} tokens"
    if chosen.region_rows is not None:
        line += f"; {chosen.region_rows} rows ({chosen.region_rows / pool.rows:.1%}) count as the task's"
    c.reporter.say(line)
    if chosen.filled:
        c.reporter.say(
            f"warning: the task's part of the pool is too small: {chosen.filled} rows are drawn from the rest"
        )
    return done


def choose_control(c: Context, task: Task, pool: Pool, control: Control, like: Selection) -> Done[Selection]:
    """Choose a control's rows: as many at random, all that count as the task's, or all; the last two are capped."""
    seed = storage.seed_of(task.seed, "control", control) % 2**31
    encoder = "" if control == "random" else encoder_digest(c.files, task.selection.encoder)
    inputs = ControlInputs(
        dataclasses.replace(_inputs(c, task, pool), seed=seed, encoder=encoder),
        control,
        len(like.places),
        like.tokens if task.selection.tokens else None,
    )
    done = once(c.of(task.name), f"selection-{control}", inputs, partial(_choose_control, c, pool))
    there = done.value.region_rows
    if not done.before and there is not None and there > len(done.value.places):
        c.reporter.say(f"  {control}: {len(done.value.places)} of {there} rows (selection.control_rows)")
    return done


def select_pairs(
    c: Context, task: Task, pairs: Sequence[Example], control: Control | None = None
) -> tuple[tuple[Example, ...], Done[Selection]]:
    """Return the part of a task's own pairs that its ``selection:`` (or a control of it) chooses, and the step.

    Raises:
        UserError: The budget is not given, or cannot be met.
    """
    own, pool = pool_of_pairs(task, pairs)
    done = choose(c, own, pool)
    if control is not None:
        done = choose_control(c, own, pool, control, done.value)
    kept = {(row.input, row.output) for row in done.value.selected}
    return tuple(pair for pair in pairs if (pair.input, pair.output) in kept), done


def pool_of_pairs(task: Task, pairs: Sequence[Example]) -> tuple[Task, Pool]:
    """Return a task's own pairs as a pool, and the task so that all of them count as its own."""
    folder = cache() / f"pairs-{storage.digest([[p.input, p.output] for p in pairs])[:20]}"
    everything = task.selection.but(related="share", related_share=1.0)
    return task.but(selection=everything), pool_of(pairs, folder, task.instruction)


def _inputs(c: Context, task: Task, pool: Pool) -> SelectionInputs:
    settings = task.selection
    examples = tuple(Example(e.input, e.output) for e in task.examples)
    more = read_inputs(task.unlabelled) if task.unlabelled else []
    texts = (*(e.input for e in examples), *more)
    return SelectionInputs(
        model=c.model,
        pool=Artifact(pool.sha256, pool.path),
        # What it is compared with changes nothing about the choice.
        settings=settings.but(controls=()),
        encoder="" if settings.strategy in _WITHOUT_ENCODER else encoder_digest(c.files, settings.encoder),
        seed=task.seed,
        instruction=task.instruction,
        # Rows of a pool say themselves what is wanted, and so must the texts that they are compared with.
        target=texts if pool.instruction else tuple(f"{task.instruction}\n\n{text}" for text in texts),
        examples=examples,
        training=task.training if settings.strategy == _BY_GRADIENTS else None,
    )


def _choose(c: Context, pool: Pool, inputs: SelectionInputs, work: Work) -> Selection:
    c.reporter.say(f"selection ({inputs.settings.strategy})")
    found = select(gather_material(c, pool, inputs), inputs.settings.strategy)
    return Selection(found.rows, tuple(pool.take(found.rows)), found.tokens, pool.rows, found.region_rows, found.filled)


def _choose_control(c: Context, pool: Pool, inputs: ControlInputs, work: Work) -> Selection:
    material = gather_material(c, pool, inputs.selection)
    everything = np.arange(pool.rows)
    if inputs.control == "random":
        budget = kcenter.Budget(None if inputs.tokens else inputs.rows, inputs.tokens)
    else:
        everything = material.region.rows if inputs.control == "related" else everything
        budget = kcenter.Budget(min(len(everything), inputs.selection.settings.control_rows))
    order = np.random.default_rng(inputs.selection.seed).permutation(everything).tolist()
    chosen = tuple(dataclasses.replace(material, budget=budget).within_budget(order))
    region_rows = None if inputs.control == "random" else len(everything)
    tokens = int(material.tokens[list(chosen)].sum())
    return Selection(chosen, tuple(pool.take(chosen)), tokens, pool.rows, region_rows, 0)
