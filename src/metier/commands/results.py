"""Commands about what was made: runs side by side, and any outputs scored."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from metier.commands.options import Json, open_console


def compare(
    runs: Annotated[
        list[str], typer.Argument(help="Folders of finished runs, or their URLs.", metavar="RUN…", show_default=False)
    ],
    html: Annotated[Path | None, typer.Option("--html", help="Also write the comparison as a page.")] = None,
    as_json: Json = False,
) -> None:
    """Compare finished runs: paired on the rows they share, and over tasks."""
    from metier.core.remote import local
    from metier.evaluation.compare_runs import compare_runs
    from metier.report.compared import compared_json, compared_sentences, compared_tables, write_compared
    from metier.runs.load import load_runs

    compared = compare_runs(load_runs([local(run) for run in runs]))
    console = open_console(stderr=as_json)
    for table in compared_tables(compared):
        console.print(table)
    for sentence in compared_sentences(compared):
        console.print(sentence, soft_wrap=True, markup=False)
    if html is not None:
        write_compared(compared, html)
        console.print(f"page: {html}", soft_wrap=True, highlight=False)
    if as_json:
        print(json.dumps(compared_json(compared), ensure_ascii=False))


def score(
    prediction: Annotated[str, typer.Option("--prediction", help="The outputs: one text per line, or TABLE[:COLUMN].")],
    reference: Annotated[list[str], typer.Option("--reference", help="Right outputs; repeat for each reference file.")],
    metric: Annotated[list[str], typer.Option("--metric", help="Name of a metric; can be repeated.")],
    source: Annotated[str | None, typer.Option("--source", help="The inputs, for metrics that need them.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", help="A possible output; repeat for each.")] = None,
    more: Annotated[
        list[str] | None, typer.Argument(help="Further reference files.", metavar="[REFERENCE]…", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Score any system's outputs: text files (one text per line), JSON Lines, CSV or Parquet columns."""
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
