"""One command for the whole way: synthesize, train, evaluate, report, in one run folder that can be continued."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from metier.core import storage
from metier.data.pairs import ExampleFile
from metier.core.errors import UserError
from metier.evaluation.compare import check_metric
from metier.systems.predict import answer_length
from metier.data.leakage import Leak
from metier.runs import summary as facts
from metier.steps import select as selection
from metier.steps import evaluate as stages
from metier.steps.baselines import TrainingData, baselines
from metier.steps.context import Context, open_context, specialist_demonstrations, test_rows, tuned_folder
from metier.core.progress import Reporter
from metier.core.records import Example
from metier.report.card import write_card
from metier.report.facts import RunFacts
from metier.report.html import write_report
from metier.core.run_folder import Stage, open_run
from metier.selection.pool import Pool
from metier.tasks.task import Task
from metier.tasks.read_task import read_test, read_train
from metier.data.wordings import in_wordings

STAGES = ("synthesize", "select", "train", "evaluate", "report")


def run_task(task: Task, folder: Path, reporter: Reporter, *, until: str = "report") -> RunFacts | None:
    """Run a task's stages in a folder, as far as ``until``; what is done already is not done again.

    Args:
        task: What to do.
        folder: The run folder, made if it is not there.
        reporter: Where progress goes.
        until: The last stage to run, one of `STAGES`.

    Returns:
        The facts of the run; None where it was asked to stop before the report.

    Raises:
        UserError: A file, name or setting is wrong.
        NotEnoughData: Synthesis left too few pairs to train on.
        MetierError: A stage failed; what was done is kept.
    """
    train, test = read_train(task), read_test(task)
    if task.train is None and task.train_use == "instead":
        raise UserError("train_use: instead, but there is no train file", hint="name one with train:, or use mixed")
    if test is not None:
        check_metric(task)
    with open_run(folder) as run:
        storage.write_json(folder / "task.json", task.model_dump(mode="json"))
        return _run_stages(open_context(task, run, reporter), train, test, until)


def _run_stages(c: Context, train: ExampleFile | None, test: ExampleFile | None, until: str) -> RunFacts | None:
    warnings = _warnings(c.task, train, test)
    for warning in warnings:
        c.reporter.say(f"warning: {warning}")
    rows = test_rows(c.task, test) if test else []
    pool = chosen = None
    if c.task.recipe == "low-data":
        pool = selection.open_task_pool(c, [row.input for row in test.examples] if test else [])
    no_synthesis = pool is not None or (c.task.train_use == "instead" and train)
    synthesis = None if no_synthesis else stages.synthesize(c)
    if until == "synthesize":
        return None
    pairs = _pairs(synthesis, train)
    if pool is not None:
        chosen = selection.choose(c, pool)
        pairs += selection.chosen_pairs(chosen)
    elif selection.is_asked_for(c.task):
        pairs, chosen = selection.select_pairs(c, pairs)
    if until == "select":
        return None
    leaks = stages.leaks_into(c.task, pairs, rows)
    if leaks:
        pairs, leaks, told = _without_leaks(c.task, pairs, leaks)
        warnings.append(told)
        c.reporter.say(f"warning: {told}")
    asked = in_wordings(c.task, pairs, c.task.seed)
    source = storage.digest([[p.input, p.output, p.instruction] for p in asked])
    labelled = set(train.examples) if train else set()
    data = TrainingData(
        examples=tuple(Example(e.input, e.output) for e in c.task.examples),
        labelled=tuple(p for p in pairs if p in labelled),
        # A pool's rows are of many tasks: nothing that answers with this task's labels can learn from them.
        synthetic=() if pool is not None else tuple(p for p in pairs if p not in labelled),
        source=source,
    )
    # The baselines come before training: the base model is in memory, and a wrong test file shows early.
    base = baselines(c, rows, test, data) if test and until != "train" else None
    if base and (too_long := base.outcome["too_long"]):
        warnings.append(
            f"test: {too_long} rows do not fit the model's context with the examples: not asked, counted wrong"
        )
        c.reporter.say(f"warning: {warnings[-1]}")
    training = stages.train(c, asked, source)
    if until == "train":
        return None
    evaluation = on_examples = None
    controls = _controls(c, pool, chosen) if test and base and pool and chosen else {}
    if test and base:
        if "tuned_on_examples" in c.task.evaluation.baselines:
            on_examples = stages.train_on_examples(c)
        evaluation = stages.evaluate(
            c,
            rows,
            test,
            base=base,
            trained=training,
            on_examples=on_examples,
            controls=controls,
            more_seeds=_more_seeds(c, asked, source),
            leaks=leaks,
        )
    synthetic = stages.check_on_synthetic(c, pairs, training) if synthesis else None
    if until == "evaluate":
        return None
    return _report(c, synthesis, chosen, training, on_examples, base, evaluation, synthetic, rows, pairs, warnings)


def _report(
    c: Context,
    synthesis: Stage | None,
    chosen: Stage | None,
    training: Stage,
    on_examples: Stage | None,
    base: Stage | None,
    evaluation: Stage | None,
    synthetic: Stage | None,
    rows: Sequence[Example],
    pairs: Sequence[Example],
    warnings: Sequence[str],
) -> RunFacts:
    tuned = tuned_folder(training)
    engine = c.bench.specialist(tuned)
    shown = specialist_demonstrations(c, engine)
    gathered = facts.gather(
        c,
        synthesis=synthesis,
        selection=chosen,
        training=training,
        on_examples=on_examples,
        baselines=base,
        evaluation=evaluation,
        synthetic=synthetic,
        test_rows=len(rows),
        template=c.bench.prompts.task(c.task.instruction, shown, ""),
        pairs=pairs,
        answer_tokens=answer_length(c.task, engine),
        warnings=warnings,
    )
    storage.write_json(c.run.folder / "result.json", gathered.to_dict())
    write_report(gathered, c.run.folder / "report.html")
    write_card(gathered, tuned, c.files.card_name)
    _mark(gathered, tuned)
    return gathered


def _mark(gathered: RunFacts, tuned: Path) -> None:
    """Put the verdict beside the weights, so that serving and export can warn without the run folder."""
    storage.write_json(
        tuned / "metier.json",
        {
            "task": gathered.name,
            "recommended": "specialist" if gathered.better else "base",
            "verdict": gathered.verdict,
            "prompt": dataclasses.asdict(gathered.prompt) if gathered.prompt else None,
        },
    )


def _pairs(synthesis: Stage | None, train: ExampleFile | None) -> list[Example]:
    """Return what to train on, labelled pairs first."""
    pairs = list(train.examples) if train else []
    if synthesis is not None:
        kept = [row for row in synthesis.read_records("candidates") if row["dropped_by"] is None]
        known = {pair.input for pair in pairs}
        pairs += [Example(row["input"], row["output"]) for row in kept if row["input"] not in known]
    return pairs


def _controls(c: Context, pool: Pool, chosen: Stage) -> dict[str, Stage]:
    """Train what the selection is held against: without as many rows at random there is no claim."""
    trained = {}
    for control in c.task.selection.controls:
        rows = selection.choose_control(c, pool, control, chosen)
        pairs = selection.chosen_pairs(rows)
        trained[f"trained_{control}"] = stages.train(c, pairs, rows.outcome["digest"], name=f"training-{control}")
    return trained


def _without_leaks(task: Task, pairs: list[Example], leaks: list[Leak]) -> tuple[list[Example], list[Leak], str]:
    """Return the pairs to train on, the leaks that stay, and what to tell of them."""
    rows = len({leak.row for leak in leaks})
    told = f"test: {rows} rows are nearly the same as something trained on (leakage.jsonl lists them)"
    if task.evaluation.leakage == "report":
        return pairs, leaks, f"{told}; evaluation.leakage=remove leaves such pairs out"
    own = len(task.examples)
    leaked = {leak.pair - own for leak in leaks if leak.pair >= own}
    kept = [pair for i, pair in enumerate(pairs) if i not in leaked]
    stay = [leak for leak in leaks if leak.pair < own]  # the user's own examples are not taken away
    return kept, stay, f"{told}; {len(leaked)} training pairs were left out"


def _more_seeds(c: Context, pairs: Sequence[Example], source: str) -> dict[int, Stage]:
    """Train again with further seeds on the same pairs."""
    out = {}
    for seed in range(c.task.seed + 1, c.task.seed + c.task.seeds):
        again = dataclasses.replace(c, task=c.task.model_copy(update={"seed": seed}))
        out[seed] = stages.train(again, pairs, source)
    return out


def _warnings(task: Task, train: ExampleFile | None, test: ExampleFile | None) -> list[str]:
    found = []
    for name, file in (("train", train), ("test", test)):
        if file and file.duplicates:
            found.append(f"{name}: {file.duplicates} duplicate rows were left out")
        if file and file.conflicts:
            found.append(f"{name}: {file.conflicts} inputs have more than one answer")
    if test is None:
        found.append("there is no test file: whether the specialist is better cannot be known")
    shown = {e.input for e in task.examples} | ({e.input for e in train.examples} if train else set())
    leaked = sum(row.input in shown for row in test.examples) if test else 0
    if leaked:
        found.append(f"test: {leaked} inputs are also among the examples or training rows")
    return found
