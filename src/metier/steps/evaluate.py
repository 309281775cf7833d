"""What synthesis, training and evaluation do in a run folder. Each is a function of the run.

A stage is given what it depends on, returns its (finished) folder, and does nothing if that folder is there already.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from metier.core import storage
from metier.core.errors import NotEnoughData, UserError
from metier.core.records import Candidate, Example
from metier.core.run_folder import Stage
from metier.data.leakage import Leak, find_leaks
from metier.data.pairs import ExampleFile
from metier.engines.base import Engine
from metier.engines.shards import unkept
from metier.evaluation import compare
from metier.steps.context import Context, demonstrations, model_key, specialist_demonstrations, tuned_folder
from metier.synthesis import backward, inputs, outputs
from metier.systems import predict
from metier.systems.registry import SPECIALIST, SPECIALIST_SCORING, SPECIALIST_SCORING_CALIBRATED, SPECIALIST_UNSEEN
from metier.tasks.task import Task

_EXAMPLE_EPOCHS = 10


def synthesize(c: Context) -> Stage:
    """Let the model write and filter its own training pairs (``candidates.jsonl``, ``pairs.parquet``).

    Raises:
        NotEnoughData: Fewer pairs are left than ``synthesis.min_pairs``; all candidates are on file.
    """
    stage = c.run.stage("synthesis", {**model_key(c), "synthesis": c.task.synthesis.model_dump(mode="json")})
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
        storage.write_parquet(stage.path / "pairs.parquet", [{"input": x.input, "output": x.output} for x in kept])
        dropped = Counter(x.dropped_by for x in candidates if x.dropped_by)
        stage.finish({"written": len(candidates), "kept": len(kept), "dropped": dict(sorted(dropped.items()))})
        c.reporter.say(f"  kept {len(kept)} of {len(candidates)} pairs")
    _check_enough(c.task, stage)
    return stage


def train(
    c: Context, pairs: Sequence[Example], source: str, *, name: str = "training", start: Stage | None = None
) -> Stage:
    """Tune the model on the pairs (``adapter/`` or ``model/``, ``loss.json``).

    Args:
        c: The run's context.
        pairs: Synthetic and labelled pairs, without the demonstrations.
        source: Hash of where they came from.
        name: What the stage is called.
        start: An earlier training stage whose result is tuned on; None: the base model is.
    """
    from metier.training import launch, tune
    from metier.training.examples import encode_examples, rendered

    task = c.task
    key = {**model_key(c), "training": task.training.model_dump(mode="json"), "pairs": source}
    key["prompt"] = task.prompt.model_dump(mode="json")
    if start is not None:
        key["start"] = start.key
    stage = c.run.stage(name, key)
    if stage.done:
        c.reporter.say(f"{name}: done before")
        tune.discard_checkpoints(stage.path)
        return stage
    engine = c.bench.base()
    shown = specialist_demonstrations(c, engine)
    tokenizer = c.bench.tokenizer
    c.bench.close()
    train_pairs, holdout_pairs = split_holdout(task, pairs)

    def encode(some: Sequence[Example]) -> Any:
        settings = task.training
        return encode_examples(
            some, task.instruction, shown, c.bench.prompts, tokenizer, settings.max_length, settings.edit_weight
        )

    encoded, too_long = encode(train_pairs)
    holdout = encode(holdout_pairs)[0] if holdout_pairs else []
    prompt, answer = rendered(encoded[0], tokenizer)
    storage.write_json(stage.path / "rendered.json", {"prompt": prompt, "answer": answer})
    c.reporter.say(
        f"{name} ({task.training.method}) on {len(encoded)} pairs, {len(holdout)} held out"
        + launch.describe(task.launch)
    )
    c.reporter.say(f"  one example as the model reads it, trained on what is in ⟦ ⟧:\n{prompt}⟦{answer}⟧")
    if too_long:
        c.reporter.say(f"  {too_long} pairs are longer than {task.training.max_length} tokens and were left out")
    steps = -(-len(encoded) // task.training.batch_size) * task.training.epochs
    with c.reporter.track("steps", steps, "steps") as update:
        several = task.launch.trains_in_processes
        train_it = partial(launch.tune_in_processes, launch=task.launch) if several else tune.tune
        tuned = train_it(
            c.files.path,
            encoded,
            holdout,
            task.training,
            task.engine,
            folder=stage.path,
            seed=task.seed,
            start=tuned_folder(start) if start else None,
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


def train_on_examples(c: Context) -> Stage:
    """Tune the model on the hand-written examples alone, ten times over: what synthesis has to beat."""
    settings = c.task.training.model_copy(
        update={"epochs": _EXAMPLE_EPOCHS, "demonstrations": True, "holdout_share": 0.0}
    )
    alone = dataclasses.replace(c, task=c.task.model_copy(update={"training": settings}))
    return train(alone, (), "examples", name="tuned-on-examples")


def evaluate(
    c: Context,
    rows: Sequence[Example],
    test: ExampleFile,
    *,
    base: Stage,
    trained: Stage,
    on_examples: Stage | None,
    controls: Mapping[str, Stage],
    more_seeds: Mapping[int, Stage],
    leaks: Sequence[Leak],
) -> Stage:
    """Answer the test rows with everything that was tuned and compare it with everything else (``comparison.json``).

    Args:
        c: The run's context.
        rows: The test rows.
        test: The file they are from.
        base: The baselines stage.
        trained: The training stage.
        on_examples: The model tuned on the examples alone, if that was asked for.
        controls: By system, models tuned on other rows of the pool.
        more_seeds: Training stages of further seeds.
        leaks: Training inputs that are nearly test inputs.
    """
    key = {"baselines": base.key, "training": trained.key, "test": test.sha256}
    key |= {"on_examples": on_examples.key if on_examples else "", "leaks": str(len(leaks))}
    key |= {f"seed {seed}": stage.key for seed, stage in more_seeds.items()}
    key |= {system: stage.key for system, stage in controls.items()} | {"by": c.task.evaluation.answer_by}
    key |= {"unseen": storage.digest(c.task.unseen_wordings)}
    stage = c.run.stage("evaluation", key)
    if stage.done:
        c.reporter.say("evaluation: done before")
        return stage
    c.reporter.say("evaluation of the specialist")
    texts = [row.input for row in rows]
    tuned: dict[str, list[str]] = {}
    if on_examples is not None:
        tuned["tuned_on_examples"] = _answers_of(c, stage, on_examples, texts, "tuned_on_examples")
    for system, at in controls.items():
        tuned[system] = _answers_of(c, stage, at, texts, system)
    seeds = {seed: _answers_of(c, stage, at, texts, f"specialist_seed{seed}") for seed, at in more_seeds.items()}
    tuned[SPECIALIST] = _answers_of(c, stage, trained, texts, SPECIALIST)
    if c.task.unseen_wordings:
        tuned[SPECIALIST_UNSEEN] = _answers_in_unseen_wordings(c, stage, trained, texts)
    _measure_specialist(c, stage, trained, texts)
    if c.task.labels:
        _score_specialist(c, stage, trained, texts, tuned)
    found = storage.read_json(base.path / "answers.json")
    answers = [compare.Answers(name, tuple(given)) for name, given in {**found["systems"], **tuned}.items()]
    answers.insert(0, compare.constant_answers(c.task, rows))
    comparison = compare.compare(
        c.task,
        rows,
        answers,
        missing=found["missing"],
        more_seeds=seeds,
        leaked=sorted({leak.row for leak in leaks}),
    )
    stage.write_records("rows", [{"input": row.input, "references": list(row.references)} for row in rows])
    stage.write_records("predictions", [dataclasses.asdict(p) for p in comparison.predictions])
    stage.write_records("leakage", [dataclasses.asdict(leak) for leak in leaks])
    outcome = {k: v for k, v in dataclasses.asdict(comparison).items() if k != "predictions"}
    storage.write_json(stage.path / "comparison.json", outcome)
    stage.finish({"verdict": comparison.verdict, "baseline": comparison.baseline, "rows": len(rows)})
    return stage


def check_on_synthetic(c: Context, pairs: Sequence[Example], trained: Stage) -> Stage | None:
    """Score the specialist on the synthetic pairs held out from training (``synthetic.json``); None without any.

    This is no result: the model wrote these answers itself. Beside a real score it shows how far the two are apart.
    """
    held_out = split_holdout(c.task, pairs)[1]
    if not held_out:
        return None
    stage = c.run.stage("synthetic-check", {"training": trained.key, "metric": c.task.main_metric})
    if stage.done:
        return stage
    answers = _answers_of(c, stage, trained, [pair.input for pair in held_out], "synthetic")
    scored = compare.score_texts(c.task, held_out, answers)
    storage.write_json(stage.path / "synthetic.json", {name: score.corpus for name, score in scored.items()})
    stage.finish({"rows": len(held_out), "score": scored[c.task.main_metric].corpus})
    return stage


def leaks_into(task: Task, pairs: Sequence[Example], rows: Sequence[Example]) -> list[Leak]:
    """Return the training inputs, hand-written examples included, that are nearly inputs of the test rows."""
    training = [*(e.input for e in task.examples), *(pair.input for pair in pairs)]
    similarity = task.evaluation.leakage_similarity
    return find_leaks(training, [row.input for row in rows], similarity=similarity)


def split_holdout(task: Task, pairs: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Split pairs into training and hold-out by the seed; the demonstrations are only ever trained on."""
    settings = task.training
    own = [Example(e.input, e.output) for e in task.examples] if settings.demonstrations else []
    shuffled = list(pairs)
    random.Random(storage.seed_of(task.seed, "holdout")).shuffle(shuffled)
    size = min(round(len(shuffled) * settings.holdout_share), settings.holdout_max)
    return own + shuffled[size:], shuffled[:size]


def _answers_of(c: Context, stage: Stage, trained: Stage, texts: Sequence[str], name: str) -> list[str]:
    """Return a tuned model's answers."""
    engine = c.bench.specialist(tuned_folder(trained))
    before = engine.stats.generated_tokens
    shown = specialist_demonstrations(c, engine)
    with c.reporter.track(name, len(texts)) as update:
        answers = predict.tuned_answers(c.task, engine, c.bench.prompts, shown, texts, stage.shard, name, update)
    stage.add_cost(tokens=engine.stats.generated_tokens - before)
    return answers


def _answers_in_unseen_wordings(c: Context, stage: Stage, trained: Stage, texts: Sequence[str]) -> list[str]:
    """Return a tuned model's answers when it is asked as it never was in training, the wordings taking turns."""

    def ask(k: int, wording: str, part: Sequence[str]) -> list[str]:
        again = dataclasses.replace(c, task=c.task.model_copy(update={"instruction": wording}))
        return _answers_of(again, stage, trained, part, f"{SPECIALIST_UNSEEN}{k}")

    return predict.in_turns(c.task.unseen_wordings, texts, ask)


def _measure_specialist(c: Context, stage: Stage, trained: Stage, texts: Sequence[str]) -> None:
    engine = c.bench.specialist(tuned_folder(trained))
    shown = specialist_demonstrations(c, engine)

    def answer(text: str) -> list[str]:
        return predict.write_answers(c.task, engine, c.bench.prompts, shown, [text], unkept, SPECIALIST)

    stage.measure_latency(SPECIALIST, answer, texts[: c.task.evaluation.timed_rows])


def _score_specialist(
    c: Context, stage: Stage, trained: Stage, texts: Sequence[str], tuned: dict[str, list[str]]
) -> None:
    """Add the specialist's label scoring, and put on file how sure it was of each row (``confidence.json``)."""
    engine = c.bench.specialist(tuned_folder(trained))
    shown = specialist_demonstrations(c, engine)
    with c.reporter.track("label scoring", len(texts)) as update:
        scored = predict.score_labels(
            c.task, engine, c.bench.prompts, shown, texts, stage.shard, SPECIALIST_SCORING, update
        )
    tuned[SPECIALIST_SCORING] = list(scored.likeliest)
    tuned[SPECIALIST_SCORING_CALIBRATED] = list(scored.calibrated)
    storage.write_json(
        stage.path / "confidence.json",
        [
            {"label": label, "share": round(share, 6)}
            for label, share in zip(scored.calibrated, scored.shares, strict=True)
        ],
    )


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
