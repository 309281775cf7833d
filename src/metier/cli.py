"""The command line: parse, call, print. Knows none of the work itself.

Exit codes: 0 done; 1 something failed, or a gate was not met; 2 the user's mistake; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metier import __version__
from metier.errors import GateError, MetierError, UserError

if TYPE_CHECKING:
    from metier.report.facts import RunFacts
    from metier.task import Task

app = typer.Typer(
    help="Turn a small open language model into an expert at one job, and prove it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
models_app = typer.Typer(help="What models are known, and what is here.", no_args_is_help=True)
app.add_typer(models_app, name="models")

TaskFile = Annotated[Path, typer.Argument(help="The task file.", metavar="TASK.yaml", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Settings that override the file's: training.epochs=2 …", metavar="[KEY=VALUE]…"),
]
Out = Annotated[
    str | None, typer.Option("--out", help="Run folder, or its URL: s3://bucket/runs/NAME (default: runs/NAME).")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Overrides the file's seed.")]
Limit = Annotated[int | None, typer.Option("--limit", help="At most so many test rows, drawn by the seed.")]
Smoke = Annotated[bool, typer.Option("--smoke", help="The whole way on a handful of rows, to see that it works.")]
Budget = Annotated[str | None, typer.Option("--budget", help="Fit the run to a time: 90s, 10m, 2h.")]
Launch = Annotated[
    list[str] | None,
    typer.Option(
        "--launch",
        help="accelerate:N trains in N processes (or accelerate:FILE, ddp, fsdp2); ray:N writes and answers with N "
        "workers (or ray:ADDRESS of a cluster). May be given twice.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]

# Typer may bring its own copy of click, so the error for wrong arguments is reached through what Typer exports.
_USAGE_ERROR: type[typer.BadParameter] = typer.BadParameter.__mro__[1]

_STOPPED = 130

_SMOKE = (
    "synthesis.inputs=16",
    "synthesis.prompts_per_round=8",
    "synthesis.input_max_tokens=48",
    "synthesis.output_samples=3",
    "synthesis.output_max_tokens=48",
    "synthesis.near_duplicates=null",
    "synthesis.balance=false",
    "synthesis.min_pairs=1",
    "training.epochs=1",
    "training.holdout_share=0",
    "evaluation.limit=8",
    "evaluation.max_tokens=24",
    "evaluation.timed_rows=2",
    "evaluation.demonstration_tokens=256",
)


@app.command()
def run(
    task_file: TaskFile,
    overrides: Overrides = None,
    out: Out = None,
    seed: Seed = None,
    limit: Limit = None,
    smoke: Smoke = False,
    budget: Budget = None,
    gate: Annotated[bool, typer.Option("--gate", help="Exit with 1 unless the gain's interval is above zero.")] = False,
    as_json: Json = False,
    launch: Launch = None,
    quiet: Quiet = False,
) -> None:
    """Do everything: synthesize, train, evaluate, report. The same command continues where it stopped."""
    task = _task(task_file, overrides, seed, limit, smoke, launch)
    facts = _stages(task, out, smoke, budget, quiet, "report")
    if facts is None:
        raise MetierError("the run ended without a report")
    _print_facts(facts, as_json)
    if gate and not facts.better:
        raise GateError("--gate: a gain whose interval is above zero was not shown", hint="see the report for why")


@app.command()
def synthesize(
    task_file: TaskFile,
    overrides: Overrides = None,
    out: Out = None,
    seed: Seed = None,
    smoke: Smoke = False,
    launch: Launch = None,
    quiet: Quiet = False,
) -> None:
    """Let the model write and filter its own training data."""
    _stages(
        _task(task_file, overrides, seed, None, smoke, launch),
        out,
        smoke,
        None,
        quiet,
        "synthesize",
    )


@app.command()
def select(
    task_file: TaskFile,
    overrides: Overrides = None,
    out: Out = None,
    seed: Seed = None,
    smoke: Smoke = False,
    quiet: Quiet = False,
) -> None:
    """Choose the part of the task's pool to train on (``selected.jsonl`` in the run folder)."""
    _stages(_task(task_file, overrides, seed, None, smoke), out, smoke, None, quiet, "select")


@app.command()
def train(
    task_file: TaskFile,
    overrides: Overrides = None,
    out: Out = None,
    seed: Seed = None,
    smoke: Smoke = False,
    launch: Launch = None,
    quiet: Quiet = False,
) -> None:
    """Tune the model on that data (and on the task's train file, if it names one)."""
    _stages(
        _task(task_file, overrides, seed, None, smoke, launch),
        out,
        smoke,
        None,
        quiet,
        "train",
    )


@app.command()
def evaluate(
    task_file: TaskFile,
    overrides: Overrides = None,
    out: Out = None,
    seed: Seed = None,
    limit: Limit = None,
    smoke: Smoke = False,
    launch: Launch = None,
    quiet: Quiet = False,
) -> None:
    """Compare the specialist with the prompted model and the other baselines on the test rows."""
    _stages(
        _task(task_file, overrides, seed, limit, smoke, launch),
        out,
        smoke,
        None,
        quiet,
        "evaluate",
    )


@app.command()
def report(
    task_file: TaskFile,
    overrides: Overrides = None,
    out: Out = None,
    seed: Seed = None,
    limit: Limit = None,
    smoke: Smoke = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the report of a run again (stages that are missing are run first)."""
    facts = _stages(_task(task_file, overrides, seed, limit, smoke), out, smoke, None, quiet, "report")
    if facts is not None:
        _print_facts(facts, as_json)


@app.command()
def compare(
    runs: Annotated[
        list[str], typer.Argument(help="Folders of finished runs, or their URLs.", metavar="RUN…", show_default=False)
    ],
    html: Annotated[Path | None, typer.Option("--html", help="Write the comparison as a page too.")] = None,
    as_json: Json = False,
) -> None:
    """Set finished runs side by side: paired on rows where they share them, and over tasks."""
    from rich.console import Console

    from metier.evaluation.compare_runs import compare_runs
    from metier.pipeline.load_run import load_runs
    from metier.remote import local
    from metier.report.compared import compared_json, compared_sentences, compared_tables, write_compared

    compared = compare_runs(load_runs([local(run) for run in runs]))
    console = Console(stderr=as_json)
    for table in compared_tables(compared):
        console.print(table)
    for sentence in compared_sentences(compared):
        console.print(sentence, soft_wrap=True, markup=False)
    if html is not None:
        write_compared(compared, html)
        console.print(f"page: {html}", soft_wrap=True, highlight=False)
    if as_json:
        print(json.dumps(compared_json(compared), ensure_ascii=False))


@app.command()
def score(
    prediction: Annotated[str, typer.Option("--prediction", help="The outputs: one text a line, or TABLE[:COLUMN].")],
    reference: Annotated[list[str], typer.Option("--reference", help="Right outputs; once for each reference file.")],
    metric: Annotated[list[str], typer.Option("--metric", help="Name of a metric; may be given several times.")],
    source: Annotated[str | None, typer.Option("--source", help="The inputs, for metrics that need them.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", help="A possible output; once for each.")] = None,
    more: Annotated[
        list[str] | None, typer.Argument(help="Further reference files.", metavar="[REFERENCE]…", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Score any system's outputs: text files (one text a line), JSON Lines, CSV or Parquet columns."""
    from metier.evaluation.score_files import score_files
    from metier.report.words import number

    labels = tuple(label) if label else None
    scores = score_files(metric, prediction, [*reference, *(more or ())], source=source, labels=labels)
    for found in scores:
        span = f" [{number(found.interval.low)}, {number(found.interval.high)}]" if found.interval else ""
        note = "" if found.interval else " (one row: no interval)"
        print(f"{found.metric}: {found.score:.2f}{span}{note}  {found.signature}", file=sys.stderr if as_json else None)
    if as_json:
        print(json.dumps([{k: v for k, v in dataclasses.asdict(s).items() if k != "by_row"} for s in scores]))


@app.command()
def study(
    task_file: TaskFile,
    overrides: Overrides = None,
    share: Annotated[list[float] | None, typer.Option("--share", help="A budget; once for each [0.005].")] = None,
    strategy: Annotated[list[str] | None, typer.Option("--strategy", help="Once for each [k_center].")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Seeds for every condition.")] = 3,
    out: Out = None,
    launch: Launch = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the study as a page too.")] = None,
    quiet: Quiet = False,
) -> None:
    """Compare ways and budgets of selecting from the task's pool, with as many rows at random beside each."""
    from typing import get_args

    from rich.console import Console

    from metier.pipeline.study import StudyPlan, run_study
    from metier.progress import Reporter
    from metier.remote import run_folder
    from metier.report.study import study_sentences, study_table, write_study
    from metier.task import StrategyName

    wanted = strategy or ["k_center"]
    known = get_args(StrategyName)
    if wrong := next((name for name in wanted if name not in known), None):
        raise UserError(f"--strategy: {wrong!r} is not known", hint=f"one of {', '.join(known)}")
    if any(not 0 < part <= 1 for part in share or ()):
        raise UserError("--share: it must be above 0 and at most 1", hint="0.005 is half a per cent")
    task = _task(task_file, overrides, None, None, False, launch)
    planned = StudyPlan(tuple(name for name in known if name in wanted), tuple(share or (0.005,)), seeds)
    with run_folder(out or str(Path("runs") / f"{task.name}-study")) as folder:
        found = run_study(task, folder, planned, Reporter(quiet=quiet))
    console = Console()
    console.print(study_table(found))
    for sentence in study_sentences(found):
        console.print(sentence, soft_wrap=True, markup=False)
    if html is not None:
        write_study(found, task.name, html)
        console.print(f"page: {html}", soft_wrap=True, highlight=False)


@app.command()
def init(name: Annotated[str, typer.Argument(help="The new task's name.")]) -> None:
    """Write a commented task file to start from."""
    from metier.taskfile import write_template

    path = write_template(Path.cwd(), name)
    print(f"wrote {path}\nnext: edit it, then  metier run {path}")


@app.command()
def validate(task_file: TaskFile, overrides: Overrides = None) -> None:
    """Check a task file and the data files it names, and run nothing."""
    from metier.data import read_examples

    task = _task(task_file, overrides, None, None, False)
    print(f"{task_file}: fine ({len(task.examples)} examples, model {task.model}, recipe {task.recipe})")
    for key, path in (("train", task.train), ("test", task.test)):
        if path:
            file = read_examples(path, labels=task.labels)
            notes = f", {file.duplicates} duplicates left out" if file.duplicates else ""
            print(f"{key}: {path}: {len(file.examples)} rows{notes}")


@app.command()
def plan(
    task_file: TaskFile,
    overrides: Overrides = None,
    seed: Seed = None,
    limit: Limit = None,
    smoke: Smoke = False,
    as_json: Json = False,
) -> None:
    """Say what would run, how long it would take here, and how much memory; a few seconds are measured for it."""
    from metier.plan import estimate, print_plan

    task = _task(task_file, overrides, seed, limit, smoke)
    made = estimate(task)
    if as_json:
        print(json.dumps(made.to_dict()))
    else:
        print_plan(task, made)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the task file, for editors."""
    from metier.taskfile import task_json_schema

    print(json.dumps(task_json_schema(), indent=2))


@app.command()
def doctor() -> None:
    """Say what this machine has, what would be slow or missing, and how to mend it."""
    from rich.console import Console
    from rich.table import Table

    from metier.doctor import diagnose

    checks = diagnose()
    table = Table(box=None, pad_edge=False)
    for column in ("", "check", "found", "to mend it"):
        table.add_column(column, overflow="fold")
    marks = {"ok": "ok", "slow": "slow", "missing": "MISSING"}
    for check in checks:
        table.add_row(marks[check.ok], check.name, check.detail, check.mend or "")
    Console().print(table)
    if any(check.ok == "missing" for check in checks):
        raise typer.Exit(1)


@models_app.command("list")
def models_list() -> None:
    """List the models of the catalogue and say which are here."""
    from rich.console import Console
    from rich.table import Table

    from metier.models.fetch import known_models

    table = Table(box=None, pad_edge=False)
    for column in ("model", "kind", "parameters", "licence", "here"):
        table.add_column(column)
    for model in known_models():
        here = f"{model.bytes_here / 1e6:.0f} MB" if model.here else "no"
        table.add_row(model.name, model.kind, f"{model.parameters / 1e6:.0f} M", model.licence, here)
    Console().print(table)


@models_app.command("fetch")
def models_fetch(
    name: Annotated[str, typer.Argument(help="Catalogue name, hub id, folder or .gguf file.")],
    quiet: Quiet = False,
) -> None:
    """Bring a model here, so that runs need no network."""
    from metier.models.locate import resolve_model

    files = resolve_model(name)
    if not quiet:
        print(f"{name}: {files.path} (from {files.source})")


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run_cli(sys.argv[1:]))


def run_cli(arguments: list[str]) -> int:
    """Run one command and return its exit code; errors are printed to standard error."""
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    try:
        code = app(args=arguments, prog_name="metier", standalone_mode=False)
    except MetierError as error:
        if debug:
            raise
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  hint: {error.hint}", file=sys.stderr)
        return error.exit_code
    except typer.Exit as error:
        code = error.exit_code
    except _USAGE_ERROR as error:
        error.show()
        return 2
    except (KeyboardInterrupt, typer.Abort):
        code = _STOPPED
    except Exception as error:  # a fault of Metier's, or of a library: a user needs no traceback unless asked for
        if debug:
            raise
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
        print("  hint: the same command continues where it was; --debug shows where it failed", file=sys.stderr)
        return 1
    if code == _STOPPED:  # which is also what Typer makes of Ctrl-C
        print("stopped; the same command continues where it was", file=sys.stderr)
    return code if isinstance(code, int) else 0


def version_callback(value: bool) -> None:
    """Print the version and stop."""
    if value:
        print(f"metier {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=version_callback, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
) -> None:
    """Turn a small open language model into an expert at one job, and prove it."""


def _launch_settings(values: list[str] | None) -> list[str]:
    """Return what --launch asks for as settings of the task file's ``launch`` section."""
    settings = []
    for value in values or ():
        kind, _, what = value.partition(":")
        keys = {"accelerate": ("processes", "accelerate_config"), "ray": ("workers", "ray_address")}.get(kind)
        if keys is None or not what:
            raise UserError(f"--launch: {value!r} is not known", hint="write accelerate:2, accelerate:fsdp2 or ray:4")
        settings.append(f"launch.{keys[0] if what.isdigit() else keys[1]}={what}")
    return settings


def _task(
    file: Path,
    overrides: list[str] | None,
    seed: int | None,
    limit: int | None,
    smoke: bool,
    launch: list[str] | None = None,
) -> Task:
    from metier.taskfile import load_task

    settings = [*(_SMOKE if smoke else ()), *_launch_settings(launch), *(overrides or ())]
    if seed is not None:
        settings.append(f"seed={seed}")
    if limit is not None:
        settings.append(f"evaluation.limit={limit}")
    return load_task(file, settings)


def _stages(task: Task, out: str | None, smoke: bool, budget: str | None, quiet: bool, until: str) -> RunFacts | None:
    # Set before any of these libraries is imported: their own bars and notes would break up the progress lines.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from metier.pipeline.run import run_task
    from metier.progress import Reporter
    from metier.remote import run_folder

    if smoke and not quiet:
        print("smoke: a handful of rows to see that it works; the scores mean nothing", file=sys.stderr)
    with run_folder(out or str(Path("runs") / (f"{task.name}-smoke" if smoke else task.name))) as folder:
        if budget is not None:
            from metier.plan import fit_to_budget, parse_time

            task = fit_to_budget(task, parse_time(budget), folder)
        return run_task(task, folder, Reporter(quiet=quiet), until=until)


def _print_facts(facts: RunFacts, as_json: bool) -> None:
    from rich.console import Console

    from metier.report.table import result_json, result_table, verdict_sentence

    console = Console(stderr=as_json)
    console.print(result_table(facts))
    console.print(verdict_sentence(facts), soft_wrap=True)
    for sentence in facts.need_words:
        console.print(f"need: {sentence}", soft_wrap=True, markup=False)
    console.print(f"report: {Path(facts.run_folder) / 'report.html'}", soft_wrap=True, highlight=False)
    if as_json:
        result: dict[str, Any] = result_json(facts)
        print(json.dumps(result, ensure_ascii=False))
