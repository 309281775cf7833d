"""``metier label`` and ``metier testset``: a person's answers, to learn from and to test by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metier.commands.options import Overrides, Quiet, quieten_libraries, scenario_of
from metier.commands.terminal import console
from metier.core.errors import UserError

Rows = Annotated[
    Path,
    typer.Argument(help="JSONL, CSV, TSV, Parquet …; a column input, prompt, text or question.", show_default=False),
]


def label(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run, or of a product.", show_default=False)],
    rows: Rows,
    several: Annotated[int, typer.Option("--rows", help="How many to ask about, both halves together.")] = 40,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Write the rows there to be filled in, and ask nothing: .jsonl, .csv, .tsv."),
    ] = None,
    task: Annotated[str | None, typer.Option("--task", help="Of a run of several tasks, which.")] = None,
    quiet: Quiet = False,
) -> None:
    """Answer rows of today: those that teach most, and as many at random, which say whether the product has got worse.

    Half are drawn at random, by the run's seed. The other half are those that the product is least sure of; a product
    without probabilities (all that answer with free text, some with labels) is not asked how sure it is: for it they
    are the rows least like those that its run was trained and tested on, and least like each other. Rows whose answers
    the run knows are left out.

    In a terminal a person is asked, row by row; the same command goes on with what is left. Elsewhere, and with -o, the
    rows are written to be filled in (RUN/to_label.jsonl), and the same command reads what was. All answers are in
    RUN/labelled.jsonl, for train: in the task file.
    """
    quieten_libraries()
    from metier.core.progress import Reporter
    from metier.labelling import label as labelling
    from metier.labelling.sentences import label_sentences

    wanted = labelling.Wanted(run, rows, several, task, out)
    with console() as terminal:
        found = labelling.label(wanted, terminal if out is None else None, Reporter(quiet=quiet))
    for sentence in label_sentences(found):
        print(sentence)


def testset(
    task_file: Annotated[Path, typer.Argument(help="The task file.", metavar="TASK.yaml", show_default=False)],
    rows: Rows,
    overrides: Overrides = None,
    several: Annotated[int, typer.Option("--rows", help="How many to draw, both halves together.")] = 100,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="The test file: .jsonl, .csv or .tsv. Rows in it stay.")
    ] = Path("test.jsonl"),
    difference: Annotated[
        float, typer.Option("--difference", help="Points between two Systems that the test is to show.")
    ] = 10.0,
    quiet: Quiet = False,
) -> None:
    """Write a test set: rows are drawn from a file, and a person answers them. No model's answer is shown.

    Half are drawn at random, by the task's seed; the other half are varied, as far from each other, from those and from
    the examples as a sentence encoder finds them. The column part says which: the random ones alone say how often an
    answer is right in use (test_where: {part: random}). Examples and training rows are left out.

    In a terminal a person is asked, row by row; the same command goes on with what is left. Elsewhere (metier testset …
    < /dev/null) the rows are written to be filled in.
    """
    quieten_libraries()
    from metier.core.progress import Reporter
    from metier.labelling import testset as writing

    if not 0 < difference <= 100:
        raise UserError(f"--difference: {difference:g} is no number of points", hint="more than 0, at most 100")
    scenario = scenario_of(task_file, overrides)
    if not scenario.alone:
        raise UserError(f"{task_file}: it is of several tasks", hint="name the file of one of them")
    task = next(iter(scenario.tasks.values()))
    wanted = writing.Wanted(task, rows, several, difference, out)
    with console() as terminal:
        found = writing.draft(wanted, terminal, Reporter(quiet=quiet))
    for sentence in writing.draft_sentences(wanted, found):
        print(sentence)
