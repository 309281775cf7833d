"""``metier predict``: a file of rows answered with a run's product."""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metier.commands.options import Quiet, quieten_libraries
from metier.core.errors import MetierError, UserError

if TYPE_CHECKING:
    from metier.systems.product import OpenProduct

_BLOCK = 1 << 20
_LISTED = 5  # bad rows that are printed where no file lists them


def predict(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run, or of a product.")],
    rows: Annotated[Path, typer.Argument(help="JSONL, CSV, TSV or Parquet; - reads JSON Lines from standard input.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Where to: .jsonl, .csv, .tsv or .parquet. Default: printed.")
    ] = None,
    task: Annotated[str | None, typer.Option("--task", help="Of a run of several tasks, which.")] = None,
    column: Annotated[
        str | None, typer.Option("--column", help="The column of the inputs [input, prompt, text or question].")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first row that cannot be answered.")] = False,
    quiet: Quiet = False,
) -> None:
    """Answer a file of rows with what a run ended with, in order; the same command resumes one that was stopped.

    The columns stay; prediction, probability and abstained are added. Rows that cannot be asked go to OUT.errors.jsonl,
    and the command then ends with 1.
    """
    quieten_libraries()
    from metier.runs.use import open_at, product_folder

    opened = open_at(product_folder(run, task))
    with tempfile.TemporaryDirectory() as folder:
        source = _from_standard_input(Path(folder)) if str(rows) == "-" else rows
        target = out or Path(folder) / "answers.jsonl"
        _answer(opened, source, target, column, strict, quiet, printed=out is None)


def _answer(
    opened: OpenProduct, source: Path, target: Path, column: str | None, strict: bool, quiet: bool, *, printed: bool
) -> None:
    from metier.core.progress import Reporter
    from metier.runs.predict import predict as answer_file

    found = answer_file(opened, source, target, Reporter(quiet=quiet), column=column, strict=strict)
    if printed:
        with target.open(encoding="utf-8") as file:
            for line in file:
                print(line, end="")
    if not quiet:
        withheld = f", {found.abstained} withheld" if found.abstained else ""
        print(f"{opened.product.title}: {found.rows} rows answered{withheld}", file=sys.stderr)
    if found.bad:
        errors = target.with_name(f"{target.name}.errors.jsonl")
        told = _first(errors, found.bad) if printed else f"; {errors} lists them"
        raise MetierError(f"{found.bad} {'row' if found.bad == 1 else 'rows'} could not be answered{told}")


def _first(errors: Path, bad: int) -> str:
    """Return the first rows that could not be answered, a line each."""
    with errors.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in itertools.islice(file, _LISTED)]
    more = f"\n… and {bad - _LISTED} more: -o FILE lists them all" if bad > _LISTED else ""
    return "".join(f"\n{row['place']}: {row['problem']}" for row in rows) + more


def _from_standard_input(folder: Path) -> Path:
    path = folder / "standard-input.jsonl"
    with path.open("wb") as file:
        while block := sys.stdin.buffer.read(_BLOCK):
            file.write(block)
    if not path.stat().st_size:
        raise UserError("standard input is empty", hint='give it JSON Lines, such as {"input": "…"}')
    return path
