"""What each stage does in a run folder: synthesis, training, baselines, evaluation. Each is a function of the run.

A stage is given what it depends on, returns its (finished) folder, and does nothing if that folder is there already.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from metier import storage
from metier.data import ExampleFile
from metier.engines.base import Engine
from metier.errors import NotEnoughData, UserError
from metier.evaluation import compare, predict
from metier.models.locate import ModelFiles
from metier.pipeline.bench import Bench
from metier.progress import Reporter
from metier.prompts import fitting_demonstrations
from metier.records import Candidate, Example
from metier.runs import Run, Stage
from metier.synthesis import backward, inputs, outputs
from metier.task import Task


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """What every stage of one run shares."""

    task: Task
    files: ModelFiles
    run: Run
    bench: Bench
    reporter: Reporter


def synthesize(c: Context) -> Stage:
    """Let the model write and filter its own training pairs (``candidates.jsonl``, ``pairs.parquet``).

    Raises:
        NotEnoughData: Fewer pairs are left than ``synthesis.min_pairs``; all candidates are on file.
    """
    stage = c.run.stage("synthesis", {**_model_key(c), "synthesis": c.task.synthesis.model_dump(mode="json")})
    if stage.done:
        c.reporter.say(f"synthesis: done before ({stage.outcome['kept']} pairs)")
    else:
        c.reporter.say(f"synthesis ({c.task.synthesis.method})")
        engine = c.bench.base()
        _check_examples(c, engine)
        before = engine.stats.generated_tokens
        candidates = _candidates(c, engine, stage)
        stage.add_cost(tokens=engine.stats.generated_tokens - before)
        kept = [Example(x.input, x.output) for x in candidates if x.kept]
        stage.write_records("candidates", [dataclasses.asdict(x) for x in candidates])
        storage.write_parquet(stage.path / "pairs.parquet", [dataclasses.asdict(x) for x in kept])
        dropped = Counter(x.dropped_by for x in candidates if x.dropped_by)
        stage.finish({"written": len(candidates), "kept": len(kept), "dropped": dict(sorted(dropped.items()))})
        c.reporter.say(f"  kept {len(kept)} of {len(candidates)} pairs")
    _check_enough(c.task, stage)
    return stage


def train(c: Context, pairs: Sequence[Example], source: str) -> Stage:
    """Tune the model on the pairs (``adapter/`` or ``model/``, ``loss.json``).

    Args:
        c: The run's context.
        pairs: Synthetic and labelled pairs, without the demonstrations.
        source: Hash of where they came from.
    """
    from metier.training import tune
    from metier.training.examples import encode_examples, rendered

    task = c.task
    key = {**_model_key(c), "training": task.training.model_dump(mode="json"), "pairs": source}
    key["prompt"] = task.prompt.model_dump(mode="json")
    stage = c.run.stage("training", key)
    if stage.done:
        c.reporter.say("training: done before")
        tune.discard_checkpoints(stage.path)
        return stage
    engine = c.bench.base()
    shown = specialist_demonstrations(c, engine)
    tokenizer = c.bench.tokenizer
    c.bench.close()
    train_pairs, holdout_pairs = split_holdout(task, pairs)

    def encode(some: Sequence[Example]) -> Any:
        return encode_examples(some, task.instruction, shown, c.bench.prompts, tokenizer, task.training.max_length)

    encoded, too_long = encode(train_pairs)
    holdout = encode(holdout_pairs)[0] if holdout_pairs else []
    prompt, answer = rendered(encoded[0], tokenizer)
    storage.write_json(stage.path / "rendered.json", {"prompt": prompt, "answer": answer})
    c.reporter.say(f"training ({task.training.method}) on {len(encoded)} pairs, {len(holdout)} held out")
    c.reporter.say(f"  one example as the model reads it, trained on what is in ⟦ ⟧:\n{prompt}⟦{answer}⟧")
    if too_long:
        c.reporter.say(f"  {too_long} pairs are longer than {task.training.max_length} tokens and were left out")
    steps = -(-len(encoded) // task.training.batch_size) * task.training.epochs
    with c.reporter.track("steps", steps, "steps") as update:
        tuned = tune.tune(
            c.files.path,
            encoded,
            holdout,
            task.training,
            task.engine,
            folder=stage.path,
            seed=task.seed,
            progress=stage.ticking(update),
        )
    stage.add_cost(tokens=tuned.trained_tokens)
    storage.write_json(stage.path / "loss.json", [dataclasses.asdict(p) for p in tuned.losses])
    stage.finish(
        {
            "pairs": len(encoded),
            "held_out": len(holdout),
            "too_long": too_long,
            "epoch": tuned.epoch,
            "learning_rate": tuned.learning_rate,
            "trained_tokens": tuned.trained_tokens,
            "result": tuned.folder.name,
        }
    )
    tune.discard_checkpoints(stage.path)
    return stage


def baselines(c: Context, rows: Sequence[Example], test: ExampleFile) -> Stage:
    """Answer the test rows with every system that needs no training (one ``SYSTEM.json`` each)."""
    key = {**_model_key(c), "evaluation": c.task.evaluation.model_dump(mode="json"), "test": test.sha256}
    stage = c.run.stage("baselines", key)
    if stage.done:
        c.reporter.say("baselines: done before")
        return stage
    c.reporter.say(f"baselines on {len(rows)} test rows")
    engine, prompts = c.bench.base(), c.bench.prompts
    texts = [row.input for row in rows]
    shown = demonstrations(c.task, engine)
    before = engine.stats.generated_tokens
    systems = {}
    for name, some in (("zero_shot", ()), ("few_shot", shown)):
        with c.reporter.track(name, len(rows)) as update:
            systems[name] = predict.write_answers(c.task, engine, prompts, some, texts, stage.shard, name, update)
    if c.task.labels:
        with c.reporter.track("label scoring", len(rows)) as update:
            scored = predict.score_labels(c.task, engine, prompts, shown, texts, stage.shard, "label_scoring", update)
        systems["label_scoring"] = list(scored.likeliest)
        systems["label_scoring_calibrated"] = list(scored.calibrated)
    storage.write_json(stage.path / "answers.json", systems)
    stage.add_cost(tokens=engine.stats.generated_tokens - before)
    stage.finish({"rows": len(rows), "systems": list(systems)})
    return stage


def evaluate(c: Context, rows: Sequence[Example], test: ExampleFile, base: Stage, trained: Stage) -> Stage:
    """Answer the test rows with the specialist and compare it with everything else (``comparison.json``)."""
    key = {"baselines": base.key, "training": trained.key, "test": test.sha256}
    key["resamples"] = str(c.task.evaluation.resamples)
    stage = c.run.stage("evaluation", key)
    if stage.done:
        c.reporter.say("evaluation: done before")
        return stage
    c.reporter.say("evaluation of the specialist")
    engine = c.bench.specialist(trained.path / str(trained.outcome["result"]))
    with c.reporter.track("specialist", len(rows)) as update:
        ours = predict.write_answers(
            c.task,
            engine,
            c.bench.prompts,
            specialist_demonstrations(c, engine),
            [row.input for row in rows],
            stage.shard,
            compare.SPECIALIST,
            update,
        )
    stage.add_cost(tokens=engine.stats.generated_tokens)
    theirs = storage.read_json(base.path / "answers.json")
    answers = [
        compare.constant_answers(c.task, rows),
        *(compare.Answers(name, tuple(theirs[name])) for name in base.outcome["systems"]),
        compare.Answers(compare.SPECIALIST, tuple(ours)),
    ]
    comparison = compare.compare(c.task, rows, answers)
    stage.write_records("predictions", [dataclasses.asdict(p) for p in comparison.predictions])
    outcome = {k: v for k, v in dataclasses.asdict(comparison).items() if k != "predictions"}
    storage.write_json(stage.path / "comparison.json", outcome)
    stage.finish({"verdict": comparison.verdict, "baseline": comparison.baseline, "rows": len(rows)})
    return stage


def demonstrations(task: Task, engine: Engine) -> tuple[Example, ...]:
    """Return the examples that a few-shot prompt shows: as many as fit half the context."""
    examples = [Example(e.input, e.output) for e in task.examples]
    return fitting_demonstrations(examples, engine.count_tokens, engine.context_length // 2)


def specialist_demonstrations(c: Context, engine: Engine) -> tuple[Example, ...]:
    """Return the examples that stay in the specialist's prompt: none, unless the task asks for it."""
    return demonstrations(c.task, engine) if c.task.prompt.specialist_demonstrations else ()


def split_holdout(task: Task, pairs: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Split pairs into training and hold-out by the seed; the demonstrations are only ever trained on."""
    settings = task.training
    own = [Example(e.input, e.output) for e in task.examples] if settings.demonstrations else []
    shuffled = list(pairs)
    random.Random(storage.seed_of(task.seed, "holdout")).shuffle(shuffled)
    size = min(round(len(shuffled) * settings.holdout_share), settings.holdout_max)
    return own + shuffled[size:], shuffled[:size]


def _candidates(c: Context, engine: Engine, stage: Stage) -> list[Candidate]:
    task, prompts, settings = c.task, c.bench.prompts, c.task.synthesis
    with c.reporter.track("inputs", settings.inputs) as update:
        write = backward.write_pairs if settings.method == "backward" else inputs.write_inputs
        written = inputs.filter_inputs(task, write(task, engine, prompts, stage.shard, update))
    open_ones = sum(x.kept for x in written)
    if settings.method == "backward":
        with c.reporter.track("agreement", open_ones) as update:
            judged = backward.agree(task, engine, prompts, written, stage.shard, update)
    else:
        with c.reporter.track("answers", open_ones, "inputs") as update:
            judged = outputs.vote(task, outputs.answer_inputs(task, engine, prompts, written, stage.shard, update))
    return outputs.balance(task, judged)


def _check_examples(c: Context, engine: Engine) -> None:
    """Say how many examples a prompt has room for; one that is never shown must not be lost in silence."""
    shown, given = len(demonstrations(c.task, engine)), len(c.task.examples)
    if not shown:
        raise UserError(
            f"examples: none of the {given} fits half of the model's context of {engine.context_length} tokens",
            hint="shorten them, or use a model with a longer context",
        )
    if shown < given:
        c.reporter.say(f"  {shown} of {given} examples fit into a prompt; the others are only trained on")


def _check_enough(task: Task, stage: Stage) -> None:
    kept, least = stage.outcome["kept"], task.synthesis.min_pairs
    if kept >= least:
        return
    dropped: dict[str, int] = stage.outcome["dropped"]
    told = ", ".join(f"{count} by {name}" for name, count in sorted(dropped.items(), key=lambda x: -x[1]))
    worst = max(dropped, key=lambda name: dropped[name], default="")
    raise NotEnoughData(
        f"only {kept} of {stage.outcome['written']} pairs are left, fewer than synthesis.min_pairs={least}; "
        f"training was not started. Dropped: {told or 'none'}. Every candidate is in {stage.path}/candidates.jsonl",
        hint=_REMEDIES.get(worst, "ask for more with synthesis.inputs, or use a larger model"),
    )


_REMEDIES = {
    "cut_off": "the inputs do not end: raise synthesis.input_max_tokens, or use a model tuned for chat",
    "duplicate": "the inputs repeat each other: raise synthesis.input_temperature, or give more varied examples",
    "length": "the inputs differ in length from the examples: set synthesis.input_length_filter=false",
    "noise": "the model talks about the task: reword the instruction, or set synthesis.noise_filter=false",
    "disagreement": "the model cannot tell the answers apart: make the instruction name what each one means, "
    "give an example of each, or use a larger model",
    "balance": "one class is rare among the answers: give more examples of it, or set synthesis.balance=false",
    "no_label": "the answers hold no label: say in the instruction that only a label may be answered",
}


def _model_key(c: Context) -> dict[str, Any]:
    """Return what every stage that asks the model depends on."""
    task = c.task
    return {
        "model": c.files.digest,
        "instruction": task.instruction,
        "labels": task.labels,
        "examples": [e.model_dump() for e in task.examples],
        "style": task.prompt.style,
        "engine": task.engine.model_dump(mode="json"),
        "seed": task.seed,
    }
