"""The training step: the model tuned on pairs, in this process or several."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from functools import partial

from metier.core import storage
from metier.core.records import Example, LossPoint
from metier.core.step import Artifact, Done, Work, once
from metier.data.likeness import folded
from metier.data.mixture import MixedRow
from metier.engines.prompts import fitting_demonstrations
from metier.steps.context import Context, ModelInputs
from metier.steps.gather import TaskRows
from metier.tasks.settings import TrainingSettings
from metier.tasks.task import Task

EXAMPLE_EPOCHS = 10  # of the model tuned on the examples alone, which are few


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingInputs:
    """All that a tuned model depends on.

    Attributes:
        model: What is tuned.
        settings: How.
        seed: Seeds the hold-out, the adapter, the order and dropout.
        pairs: What it is tuned on, each with the instruction it is asked with.
        own: Hand-written examples, which are never held out.
        shown: Examples that stay in every prompt, as many as fit.
        instruction: What is asked where examples are shown.
        start: An earlier tuned model to go on from; None: the base model.
        left_out: Inputs that the earlier model was not trained on, which are held out again; None: drawn by the seed.
    """

    model: ModelInputs
    settings: TrainingSettings
    seed: int
    pairs: tuple[Example, ...]
    own: tuple[Example, ...]
    shown: tuple[Example, ...]
    instruction: str
    start: Artifact | None
    left_out: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Trained:
    """A tuned model.

    Attributes:
        folder: Where it is in the step's folder: ``adapter`` or ``model``.
        pairs: How many pairs it was tuned on.
        held_out: How many chose the epoch.
        too_long: How many were longer than ``training.max_length`` and left out.
        epoch: The epoch that was kept.
        learning_rate: The rate that was used.
        trained_tokens: Answer tokens the loss was taken on, over all epochs.
        losses: The loss curve.
        prompt: One example as the model reads it: what is given.
        answer: What is trained.
        left_out: The pairs that chose the epoch, which neither it nor the model it started from was trained on.
    """

    folder: str
    pairs: int
    held_out: int
    too_long: int
    epoch: int
    learning_rate: float
    trained_tokens: int
    losses: tuple[LossPoint, ...]
    prompt: str
    answer: str
    left_out: tuple[Example, ...] = ()


def train(
    c: Context, task: Task, rows: Sequence[MixedRow], *, name: str = "training", start: Done[Trained] | None = None
) -> Done[Trained]:
    """Tune the model on rows of a mixture.

    Args:
        c: The run's context.
        task: The task whose settings say how; of several, any: they share them.
        rows: The rows.
        name: What the step is called.
        start: An earlier training step whose model is tuned on.
    """
    shown = tuple(Example(e.input, e.output) for e in task.examples) if _keeps_examples(task) else ()
    every = [_asked(row, task, shows=bool(shown)) for row in rows]
    inputs = TrainingInputs(
        model=c.model,
        settings=task.training,
        seed=task.seed,
        pairs=tuple(pair for pair, row in zip(every, rows, strict=True) if row.origin != "example"),
        own=tuple(pair for pair, row in zip(every, rows, strict=True) if row.origin == "example"),
        shown=shown,
        instruction=task.instruction if shown else "",
        start=weights_of(start) if start else None,
        left_out=tuple(sorted({folded(pair.input) for pair in start.value.left_out})) if start else None,
    )
    return _once(c, name, inputs)


def train_on_examples(c: Context, rows: TaskRows) -> Done[Trained]:
    """Tune the model on a task's hand-written examples alone, ten times over: what written data has to beat."""
    task = rows.task
    inputs = TrainingInputs(
        model=c.model,
        settings=task.training.but(epochs=EXAMPLE_EPOCHS, demonstrations=True, holdout_share=0.0),
        seed=task.seed,
        pairs=(),
        own=tuple(dataclasses.replace(e, instruction=None) for e in rows.examples),
        shown=rows.examples if _keeps_examples(task) else (),
        instruction=task.instruction,
        start=None,
    )
    return _once(dataclasses.replace(c, run=c.of(task.name)), "tuned-on-examples", inputs)


def weights_of(done: Done[Trained]) -> Artifact:
    """Return the tuned model of a training step."""
    return done.artifact(done.value.folder)


def split_holdout(
    pairs: Sequence[Example], settings: TrainingSettings, seed: int
) -> tuple[list[Example], list[Example]]:
    """Split pairs into those trained on and those that choose the epoch, by the seed.

    Pairs with the same input are on the same side: whoever has seen one answer to an input knows much of the others.
    """
    rows: dict[str, list[Example]] = {}
    for pair in pairs:
        rows.setdefault(folded(pair.input), []).append(pair)
    shuffled = list(rows.values())
    random.Random(storage.seed_of(seed, "holdout")).shuffle(shuffled)
    size = min(round(len(pairs) * settings.holdout_share), settings.holdout_max)
    kept: list[Example] = []
    held_out: list[Example] = []
    for row in shuffled:
        side = held_out if len(held_out) + len(row) <= size else kept
        side += row
    return kept, held_out


def _split(inputs: TrainingInputs) -> tuple[list[Example], list[Example]]:
    """Return the pairs to train on and those to hold out: nothing that the model it starts from was trained on."""
    if inputs.left_out is None:
        return split_holdout(inputs.pairs, inputs.settings, inputs.seed)
    outside = set(inputs.left_out)
    held_out = [pair for pair in inputs.pairs if folded(pair.input) in outside]
    return [pair for pair in inputs.pairs if folded(pair.input) not in outside], held_out


def _keeps_examples(task: Task) -> bool:
    return task.prompt.specialist_demonstrations


def _asked(row: MixedRow, task: Task, *, shows: bool) -> Example:
    """Return a row as it is encoded: one with the task's own instruction is asked with the examples, if any stay."""
    if shows and row.instruction == task.instruction:
        return Example(row.input, row.output)
    return row.example


def _once(c: Context, name: str, inputs: TrainingInputs) -> Done[Trained]:
    from metier.training import tune

    done = once(c.run, name, inputs, partial(_train, c, name))
    if done.before:
        c.reporter.say(f"{name}: done before")
    tune.discard_checkpoints(done.path)
    return done


def _train(c: Context, name: str, inputs: TrainingInputs, work: Work) -> Trained:
    from metier.training import launch, tune
    from metier.training.examples import encode_examples, rendered

    settings, prompts = inputs.settings, c.slot.prompts
    shown: tuple[Example, ...] = ()
    if inputs.shown:
        engine = c.slot.open()
        shown = fitting_demonstrations(inputs.shown, engine.count_tokens, engine.context_length // 2)
    c.slot.close()
    train_pairs, holdout_pairs = _split(inputs)
    encode = partial(
        encode_examples,
        instruction=inputs.instruction,
        demonstrations=shown,
        prompts=prompts,
        max_length=settings.max_length,
        edit_weight=settings.edit_weight,
    )
    encoded, too_long = encode([*inputs.own, *train_pairs])
    holdout = encode(holdout_pairs)[0] if holdout_pairs else []
    prompt, answer = rendered(encoded[0], prompts.tokenizer)
    c.reporter.say(
        f"{name} ({settings.method}) on {len(encoded)} pairs, {len(holdout)} held out" + launch.describe(c.how.launch)
    )
    # Of several trainings the first example is often the same.
    c.reporter.say_once(f"  one example as the model reads it, trained on what is in ⟦ ⟧:\n{prompt}⟦{answer}⟧")
    if too_long:
        c.reporter.say(f"  {too_long} pairs are longer than {settings.max_length} tokens and were left out")
    steps = -(-len(encoded) // settings.batch_size) * settings.epochs
    start = inputs.start.path if inputs.start else None
    job = tune.TuningJob(c.files.path, encoded, holdout, settings, c.how.engine, inputs.seed, start)
    with c.reporter.track("steps", steps, "steps") as update:
        tick = work.ticking(update)
        if c.how.launch.trains_in_processes:
            tuned = launch.tune_in_processes(job, work.path, c.how.launch, tick)
        else:
            tuned = tune.tune(job, work.path, tick)
    work.add_cost(tokens=tuned.trained_tokens)
    # All but the card, which the report writes again.
    work.leaves += [path for path in tuned.folder.rglob("*") if path.is_file() and path.name != "README.md"]
    return Trained(
        folder=tuned.folder.name,
        pairs=len(encoded),
        held_out=len(holdout),
        too_long=too_long,
        epoch=tuned.epoch,
        learning_rate=tuned.learning_rate,
        trained_tokens=tuned.trained_tokens,
        losses=tuple(tuned.losses),
        prompt=prompt,
        answer=answer,
        left_out=tuple(holdout_pairs),
    )
