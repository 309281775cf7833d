"""``metier export``: a run's product for other tools."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from metier.commands.options import Json, Quiet, quieten_libraries

To = Annotated[
    str, typer.Option("--to", help="adapter, merged, gguf, ollama or vllm; numpy for a classifier.", metavar="FORMAT")
]
System = Annotated[
    str | None, typer.Option("--system", help="specialist: the run's tuned model, whatever ships [the product].")
]
Quant = Annotated[str | None, typer.Option("--quant", help="Of a GGUF file: f16, q8_0 or q4_0 [q8_0].")]


def export(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run, or of a product.")],
    to: To,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Where to [RUN/export/FORMAT].")] = None,
    task: Annotated[str | None, typer.Option("--task", help="Of a run of several tasks, which.")] = None,
    system: System = None,
    quant: Quant = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write what a run ended with for other tools, with all that is needed to run it, and check that it answers alike.

    If its prompts or tokens differ from the product's, nothing is kept. README.md says how to run it.
    """
    quieten_libraries()
    from metier.core.codec import encode
    from metier.core.progress import Reporter
    from metier.exporting.card import parity_lines
    from metier.exporting.export import Wanted
    from metier.exporting.export import export as write

    made = write(Wanted(run, to, task, system, quant, out), Reporter(quiet=quiet))
    if not quiet:
        print(f"wrote {made.folder}", file=sys.stderr if as_json else sys.stdout)
        for line in parity_lines(made.parity):
            print(f"  {line.replace('**', '')}", file=sys.stderr if as_json else sys.stdout)
    if as_json:
        print(json.dumps({"folder": str(made.folder), "parity": encode(made.parity)}))
