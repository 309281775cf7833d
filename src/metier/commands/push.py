"""``metier push``: an export on the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metier.commands.export import Quant, System
from metier.commands.options import Quiet, quieten_libraries
from metier.core.errors import UserError


def push(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run, of a product, or of an export.")],
    repo: Annotated[str, typer.Option("--repo", help="Where to: owner/name.")],
    to: Annotated[
        str | None, typer.Option("--to", help="Export to this format first; not for an export.", metavar="FORMAT")
    ] = None,
    task: Annotated[str | None, typer.Option("--task", help="Of a run of several tasks, which.")] = None,
    system: System = None,
    quant: Quant = None,
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public [private].")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the files and print the card; send nothing.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Put an export on the hub, in a private repository unless --public is given."""
    quieten_libraries()
    from metier.core.progress import Reporter
    from metier.exporting.export import MARK, Wanted
    from metier.exporting.export import export as write
    from metier.exporting.push import check_repository, files_of
    from metier.exporting.push import push as upload
    from metier.report.words import size

    check_repository(repo)
    folder = run
    if to is not None:
        folder = write(Wanted(run, to, task, system, quant), Reporter(quiet=quiet)).folder
    elif not (run / MARK).exists():
        raise UserError(f"{run}: this is no export", hint="name a format with --to, or the folder of an export")
    elif (task, system, quant) != (None, None, None):
        raise UserError("--task, --system and --quant are for an export that is made now", hint="add --to FORMAT")
    files = files_of(folder)
    if dry_run:
        print(f"{repo} ({'public' if public else 'private'} if it is new), from {folder}:")
        for file in files:
            print(f"  {size(file.nbytes):>9}  {file.name}")
        print(f"\n{(folder / 'README.md').read_text(encoding='utf-8')}", end="")
        return
    address = upload(folder, repo, private=not public)
    if not quiet:
        print(f"pushed {len(files)} files to {address}")
