"""Measures what a task's work costs on this machine, by doing a little of each kind with the task's own model.

The functions of the stages themselves are timed, on a few dozen inputs and rows, so batching, tails and shared prompts
are in the figures. About half a minute for a model of 135 M parameters on two cores. Nothing is kept.
"""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from metier.core.records import Candidate, Example
from metier.core.remote import local
from metier.core.run_folder import peak_memory
from metier.data.files import read_rows
from metier.data.pairs import pair_of
from metier.engines.base import Engine
from metier.engines.prompts import PromptFormat, fitting_demonstrations
from metier.engines.shards import unkept
from metier.models.locate import ModelFiles
from metier.steps.select import open_encoder
from metier.steps.slot import Bench
from metier.synthesis import backward, inputs, outputs
from metier.systems import predict
from metier.systems import prompted as baselines
from metier.tasks.task import LaunchSettings, Task

_INPUTS = 64  # raw inputs that are written and judged: one shard
_ROWS = 32
_POOL_ROWS = 256
_ALONE = 4
_STEPS = 4


@dataclasses.dataclass(frozen=True, slots=True)
class UnitCosts:
    """Seconds of each kind of work, and what else a plan needs.

    Attributes:
        load: Opening the model.
        raw_input: Writing and judging one raw input.
        survive: Share of raw inputs that become training pairs.
        answer: By system, one row among many; ``bare`` is the specialist's own prompt.
        alone: By prompt (``few_shot``, ``bare``), one row by itself.
        example: Training on one example once.
        tuning: What tuning takes beside its steps: loading and saving.
        pool_row: Encoding one row of the pool (0 without one).
        tokens: Tokens of one raw input, of one row's answer, of one training example.
        memory_bytes: The most that was held.
    """

    load: float
    raw_input: float
    survive: float
    answer: dict[str, float]
    alone: dict[str, float]
    example: float
    tuning: float
    pool_row: float
    tokens: dict[str, float]
    memory_bytes: int


def measure(task: Task, files: ModelFiles, rows: Sequence[str]) -> UnitCosts:
    """Measure on this machine, in this process.

    Args:
        task: What would run.
        files: Its model.
        rows: Inputs of the test file; the examples' own stand in where there are none.
    """
    alone = task.model_copy(update={"launch": LaunchSettings()})
    bench = Bench(alone, files)
    engine, load = _timed(bench.base)
    prompts = bench.prompts
    examples = [Example(e.input, e.output) for e in task.examples]
    shown = fitting_demonstrations(examples, engine.count_tokens, engine.context_length // 2)
    texts = (list(rows) or [e.input for e in examples] * _ROWS)[:_ROWS]
    predict.write_answers(alone, engine, prompts, shown, texts[:2], unkept, "warm-up")
    raw, survive, kept, input_tokens = 0.0, 0.0, list[Example](), 0.0
    if task.recipe != "low-data":
        raw, survive, kept, input_tokens = _synthesis(alone, engine, prompts)
    answer, seconds_alone = _answers(alone, engine, prompts, shown, examples, texts)
    told = predict.write_answers(alone, engine, prompts, shown, texts[:8], unkept, "few_shot")
    answer_tokens = sum(engine.count_tokens(told)) / len(told)
    bare = shown if task.prompt.specialist_demonstrations else ()
    tokenizer = bench.tokenizer
    bench.close()
    del engine
    pool_row = 0.0
    if task.pool is not None and task.recipe == "low-data":
        pool_row, kept = _pool(alone, files)
    example, tuning, example_tokens = _training(alone, files, prompts, tokenizer, bare, [*kept, *examples])
    return UnitCosts(
        load=load,
        raw_input=raw,
        survive=survive,
        answer=answer,
        alone=seconds_alone,
        example=example,
        tuning=tuning,
        pool_row=pool_row,
        tokens={"input": input_tokens, "answer": answer_tokens, "example": example_tokens},
        memory_bytes=peak_memory(),
    )


def _synthesis(task: Task, engine: Engine, prompts: PromptFormat) -> tuple[float, float, list[Example], float]:
    """Return seconds of one raw input, the share that survives, the pairs, and tokens written for an input."""
    count = min(_INPUTS, task.synthesis.inputs)
    small = task.model_copy(update={"synthesis": task.synthesis.model_copy(update={"inputs": count})})
    before, start = engine.stats.generated_tokens, time.perf_counter()
    judged: list[Candidate]
    if task.synthesis.method == "backward":
        written = inputs.filter_inputs(small, backward.write_pairs(small, engine, prompts, unkept))
        judged = backward.agree(small, engine, prompts, written, unkept)
    else:
        written = inputs.filter_inputs(small, inputs.write_inputs(small, engine, prompts, unkept))
        judged = outputs.vote(small, outputs.answer_inputs(small, engine, prompts, written, unkept))
    seconds = time.perf_counter() - start
    kept = [Example(c.input, c.output) for c in outputs.balance(small, judged) if c.kept]
    made = max(1, len(written))
    return seconds / made, len(kept) / made, kept, (engine.stats.generated_tokens - before) / made


def _pool(task: Task, files: ModelFiles) -> tuple[float, list[Example]]:
    """Return seconds of encoding one row of the pool, and some of its rows as they would be trained on."""
    rows = [pair_of(row) for _, row in itertools.islice(read_rows(local(str(task.pool)), "train"), _POOL_ROWS)]
    encoder = open_encoder(task, files, task.selection.encoder)
    encoder.encode([row.input for row in rows[:8]])
    _, seconds = _timed(lambda: encoder.encode([row.input for row in rows]))
    return seconds / len(rows), [dataclasses.replace(row, instruction="") for row in rows]


def _answers(
    task: Task,
    engine: Engine,
    prompts: PromptFormat,
    shown: Sequence[Example],
    examples: Sequence[Example],
    texts: Sequence[str],
) -> tuple[dict[str, float], dict[str, float]]:
    """Return seconds a row of every prompted system, and of a row by itself."""
    bare = shown if task.prompt.specialist_demonstrations else ()

    def write(demonstrations: Sequence[Example], some: Sequence[str]) -> float:
        return _timed(lambda: predict.write_answers(task, engine, prompts, demonstrations, some, unkept, "rows"))[1]

    seconds = {
        "zero_shot": write((), texts),
        "few_shot": write(shown, texts),
        "sampled_majority": _timed(
            lambda: baselines.sampled_majority(task, engine, prompts, shown, texts, unkept, "rows")
        )[1],
        "self_icl": _timed(
            lambda: baselines.self_icl(task, engine, prompts, list(examples) * 50, texts, unkept, "rows")
        )[1],
    }
    seconds["bare"] = seconds["few_shot"] if bare else seconds["zero_shot"]
    if task.labels:
        for name, demonstrations in (("label_scoring", shown), ("bare_scoring", bare)):
            score = partial(predict.score_labels, task, engine, prompts, demonstrations, texts, unkept, "rows")
            seconds[name] = _timed(score)[1]
    few = texts[:_ALONE]
    by_itself = {
        name: sum(write(demonstrations, [text]) for text in few) / len(few)
        for name, demonstrations in (("few_shot", shown), ("bare", bare))
    }
    return {name: value / len(texts) for name, value in seconds.items()}, by_itself


def _training(
    task: Task, files: ModelFiles, prompts: PromptFormat, tokenizer: Any, shown: Sequence[Example], pairs: list[Example]
) -> tuple[float, float, float]:
    """Return seconds of training on one example once, seconds beside that, and an example's tokens."""
    from metier.training.examples import encode_examples
    from metier.training.tune import tune

    wanted = _STEPS * task.training.batch_size
    some = (pairs * wanted)[:wanted]
    encoded, _ = encode_examples(some, task.instruction, shown, prompts, tokenizer, task.training.max_length)
    ticks: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        settings = task.training.model_copy(update={"epochs": 1})
        _, seconds = _timed(
            lambda: tune(
                files.path,
                encoded,
                (),
                settings,
                task.engine,
                folder=Path(folder),
                seed=task.seed,
                progress=lambda done, tokens: ticks.append(time.perf_counter()),
            )
        )
    step = (ticks[-1] - ticks[0]) / (len(ticks) - 1) if len(ticks) > 1 else seconds
    size = sum(len(e.input_ids) for e in encoded) / len(encoded)
    return step / task.training.batch_size, max(0.0, seconds - step * len(ticks)), size


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start
