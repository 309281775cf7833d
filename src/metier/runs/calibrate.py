"""Measures what a task's work costs on this machine, by doing a little of each kind with the task's own model.

The functions of the steps themselves are timed, on a few dozen inputs and rows, so batching, tails and shared prompts
are in the figures. About half a minute for a model of 135 M parameters on two cores. Nothing is kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from metier.core.progress import Reporter
from metier.core.records import Example
from metier.core.remote import local
from metier.core.run_folder import Run, peak_memory
from metier.data.files import read_rows
from metier.data.pairs import pair_of
from metier.engines.base import Progress
from metier.engines.prompts import fitting_demonstrations
from metier.engines.shards import unkept
from metier.models.locate import ModelFiles
from metier.steps.answer import is_wanted, material_of
from metier.steps.context import Context
from metier.steps.gather import TaskRows
from metier.steps.material import open_encoder
from metier.steps.slot import Slot, running
from metier.synthesis.brief import Brief
from metier.synthesis.write import synthesize
from metier.systems.asker import answer_length
from metier.systems.base import Material
from metier.systems.registry import SYSTEMS, Entry, shows_written
from metier.tasks.settings import LaunchSettings
from metier.tasks.task import Task

T = TypeVar("T")
_INPUTS = 64  # raw inputs that are written and judged: one shard
_ROWS = 32
_POOL_ROWS = 256
_ALONE = 2
_STEPS = 4


@dataclasses.dataclass(frozen=True, slots=True)
class UnitCosts:
    """Seconds of each kind of work, and what else a plan needs.

    Attributes:
        load: Opening the model.
        raw_input: Writing and judging one raw input.
        survive: Share of raw inputs that become training pairs.
        answer: By System, one row among many.
        alone: By System, one row by itself.
        example: Training on one example once.
        tuning: What tuning takes beside its steps: loading and saving.
        pool_row: Encoding one row of the pool (0 without one).
        input_tokens: Tokens of one raw input.
        answer_tokens: Tokens of one row's answer.
        example_tokens: Tokens of one training example.
        memory_bytes: The most that was held.
    """

    load: float
    raw_input: float
    survive: float
    answer: Mapping[str, float]
    alone: Mapping[str, float]
    example: float
    tuning: float
    pool_row: float
    input_tokens: float
    answer_tokens: float
    example_tokens: float
    memory_bytes: int


def measure(rows: TaskRows, files: ModelFiles, others: Sequence[TaskRows] = ()) -> UnitCosts:
    """Measure on this machine, in this process.

    Args:
        rows: The task, and its test rows; the examples' inputs stand in where there are none.
        files: Its model.
        others: Further tasks of the same run. What answers one of them and not the task (labels are scored for some
            tasks alone) is measured with the first that it answers.
    """
    task = rows.task.but(launch=LaunchSettings())
    how = running(task)
    slot = Slot(how, files)
    with tempfile.TemporaryDirectory() as folder:
        c = Context(Run(Path(folder)), files, how, slot, Reporter(quiet=True), alone=True)
        _, load = _timed(slot.open)
        written = _Written(0.0, 0.0, (), 0.0) if task.pool else _synthesis(c, task)
        answer, alone = dict[str, float](), dict[str, float]()
        for one in (rows, *others):
            own = dataclasses.replace(one, task=one.task.but(launch=LaunchSettings()))
            for entry in _asking(own.task, written.pairs):
                if entry.key not in answer:
                    answer[entry.key], alone[entry.key] = _answering(c, own, entry, written.pairs)
        answers = slot.count_tokens([e.output for e in rows.examples])
        pool_row, pairs = 0.0, written.pairs
        if task.pool is not None:
            slot.close()
            pool_row, pairs = _pool(task, files)
        trained = _training(c, task, [*pairs, *rows.examples])
    return UnitCosts(
        load=load,
        raw_input=written.seconds,
        survive=written.survive,
        answer=answer,
        alone=alone,
        example=trained.example,
        tuning=trained.beside,
        pool_row=pool_row,
        input_tokens=written.tokens,
        answer_tokens=sum(answers) / len(answers) + 1,  # and the end token
        example_tokens=trained.tokens,
        memory_bytes=peak_memory(),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Written:
    """Seconds of one raw input, the share that survives, the pairs, and tokens written for an input."""

    seconds: float
    survive: float
    pairs: tuple[Example, ...]
    tokens: float


def _synthesis(c: Context, task: Task) -> _Written:
    examples = tuple(Example(e.input, e.output) for e in task.examples)
    settings = task.synthesis.but(inputs=min(_INPUTS, task.synthesis.inputs))
    brief = Brief(task.instruction, task.labels, examples, settings, task.seed)
    engine = c.slot.open()
    before = engine.stats.generated_tokens
    found, seconds = _timed(lambda: synthesize(brief, engine, c.slot.prompts, unkept, _silently))
    kept = tuple(Example(pair.input, pair.output) for pair in found if pair.kept)
    made = max(1, len(found))
    return _Written(seconds / made, len(kept) / made, kept, (engine.stats.generated_tokens - before) / made)


@contextlib.contextmanager
def _silently(name: str, total: int, unit: str) -> Iterator[Progress]:
    yield lambda done, tokens: None


def _asking(task: Task, pairs: Sequence[Example]) -> list[Entry]:
    """Return the Systems that ask the model for a task's answers; what a selection is compared with asks as it does."""
    wanted = [e for e in SYSTEMS.values() if e.kind not in ("constant", "classic") and is_wanted(e, task)]
    wanted = [e for e in wanted if (e.family is not None or e.kind == "specialist") and "held_out" not in e.uses]
    return [e for e in wanted if pairs or not shows_written(e)]


def _answering(c: Context, rows: TaskRows, entry: Entry, pairs: Sequence[Example]) -> tuple[float, float]:
    """Return a System's seconds a row, and of a row by itself.

    A tuned model is stood in for by the base model, asked as the tuned one will be.
    """
    texts = [row.input for row in rows.tested] or [e.input for e in rows.examples] * _ROWS
    texts = texts[:_ROWS]
    plain = dataclasses.replace(material_of(c, rows, (), {}), synthetic=tuple(pairs))
    tools = c.tools(c.run)
    learned, learning = _timed(partial(entry.learn, _as_trained(c, plain, entry), tools))
    _, seconds = _timed(partial(learned.answer, texts, tools.keep))
    few = texts[:_ALONE]
    alone = sum(_timed(partial(learned.answer, [text]))[1] for text in few) / len(few)
    return (learning + seconds) / len(texts), alone


def _as_trained(c: Context, material: Material, entry: Entry) -> Material:
    """Return the material with which the base model is asked as a tuned one will be: without examples, if so."""
    if entry.tuned is None or material.keeps_examples or material.asked is None:
        return material
    longest = answer_length(material.labels, material.examples, material.asked.max_tokens, c.slot.count_tokens)
    return dataclasses.replace(material, examples=(), asked=dataclasses.replace(material.asked, max_tokens=longest))


def _pool(task: Task, files: ModelFiles) -> tuple[float, tuple[Example, ...]]:
    """Return seconds of encoding one row of the pool, and some of its rows as they would be trained on."""
    rows = [pair_of(row) for _, row in itertools.islice(read_rows(local(str(task.pool)), "train"), _POOL_ROWS)]
    encoder = open_encoder(files, task.engine, task.selection.encoder)
    encoder.encode([row.input for row in rows[:8]])
    _, seconds = _timed(lambda: encoder.encode([row.input for row in rows]))
    return seconds / len(rows), tuple(dataclasses.replace(row, instruction="") for row in rows)


@dataclasses.dataclass(frozen=True, slots=True)
class _Trained:
    """Seconds of training on one example once, seconds beside that, and an example's tokens."""

    example: float
    beside: float
    tokens: float


def _training(c: Context, task: Task, pairs: Sequence[Example]) -> _Trained:
    from metier.training.examples import encode_examples
    from metier.training.tune import TuningJob, tune

    wanted = _STEPS * task.training.batch_size
    some = (list(pairs) * wanted)[:wanted]
    shown: tuple[Example, ...] = ()
    if task.prompt.specialist_demonstrations:
        examples = [Example(e.input, e.output) for e in task.examples]
        shown = fitting_demonstrations(examples, c.slot.count_tokens, c.slot.context_length // 2)
    prompts = c.slot.prompts
    c.slot.close()
    encoded, _ = encode_examples(some, task.instruction, shown, prompts, max_length=task.training.max_length)
    ticks: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        job = TuningJob(c.files.path, encoded, (), task.training.but(epochs=1), task.engine, task.seed)
        _, seconds = _timed(partial(tune, job, Path(folder), lambda done, tokens: ticks.append(time.perf_counter())))
    step = (ticks[-1] - ticks[0]) / (len(ticks) - 1) if len(ticks) > 1 else seconds
    size = sum(len(e.input_ids) for e in encoded) / len(encoded)
    return _Trained(step / task.training.batch_size, max(0.0, seconds - step * len(ticks)), size)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start
