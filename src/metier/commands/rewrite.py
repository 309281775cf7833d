"""``metier rewrite``: rewrites a text, sentence by sentence, with what a run ended with."""

from __future__ import annotations

import collections
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from metier.commands.options import Quiet, quieten_libraries
from metier.core.errors import UserError

_MARK = "\ufeff"  # byte order mark, with which some editors begin a file


def rewrite(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="The folder of a finished run, if --task does not find one in runs/; then text or Markdown files. No "
            "file, or -: standard input.",
            metavar="[RUN] [FILE]…",
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="Of a run of several tasks, which: clarity, grammar …")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", help="The run's folder, in place of RUN; default: the newest in runs/ with the task."),
    ] = None,
    by: Annotated[str, typer.Option("--by", help="sentence or paragraph: how much is rewritten at once.")] = "sentence",
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Change the files; the originals are kept in FILE.bak.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Print the changes, word by word, instead of the text.")] = False,
    quiet: Quiet = False,
) -> None:
    """Rewrite a text with what a run ended with: metier rewrite RUN draft.md, or --task clarity draft.md.

    Anything that is not prose, or would lose content, stays unchanged.
    """
    quieten_libraries()
    from metier.core.progress import Reporter
    from metier.runs.rewriting import caution, check_rewrites, find_product, rewrite_text
    from metier.runs.use import open_at
    from metier.systems.product import read_product

    if by not in ("sentence", "paragraph"):
        raise UserError(f"--by: {by!r} is not known", hint="use sentence or paragraph")
    given = list(files or [])
    if run is None and given and given[0].is_dir():
        run = given.pop(0)
    paths = given or [Path("-")]
    if in_place and Path("-") in paths:
        raise UserError("--in-place needs files, not standard input")
    folder = find_product(run, task)
    product = read_product(folder)
    check_rewrites(product)
    texts = [(path, *_read(path)) for path in paths]  # read all files before changing any
    reporter = Reporter(quiet=quiet)
    if warning := caution(product):
        reporter.say(f"warning: {warning}")
    opened = open_at(folder)
    for path, raw, text in texts:
        mark = _MARK if text.startswith(_MARK) else ""
        after, made = rewrite_text(opened, text.removeprefix(_MARK), by, reporter)
        after = mark + after
        if in_place:
            _replace(path, raw, after)
        _show(text, after, diff=diff, in_place=in_place)
        changed, left = sum(m.changed for m in made), collections.Counter(m.reason for m in made if m.reason)
        kept = "".join(f"; {n} left alone: {reason}" for reason, n in left.most_common())
        reporter.say(f"{path}: {changed} of {len(made)} {by}s changed{kept}")


def _read(path: Path) -> tuple[bytes, str]:
    try:
        raw = sys.stdin.buffer.read() if path == Path("-") else path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (byte {raw[error.start]:#04x} at offset {error.start})") from error
    if "\0" in text:
        raise UserError(f"{path}: not a text file (it contains a zero byte)")
    return raw, text


def _show(before: str, after: str, *, diff: bool, in_place: bool) -> None:
    """Print the text or the changes; a terminal shows the changes in either case."""
    from rich.console import Console

    from metier.rewriting.diff import coloured_diff, plain_diff

    if diff:
        if sys.stdout.isatty():
            Console(soft_wrap=True).print(coloured_diff(before, after), end="")
        else:
            sys.stdout.write(plain_diff(before, after))
    elif not in_place:
        if sys.stdout.isatty() and before != after:
            Console(stderr=True, soft_wrap=True).print(coloured_diff(before, after))
        sys.stdout.flush()
        sys.stdout.buffer.write(after.encode())
        sys.stdout.flush()


def _replace(path: Path, raw: bytes, after: str) -> None:
    """Replace the file completely or not at all, and keep the old one beside it."""
    from metier.core.storage import explained

    path = path.resolve()
    if after.encode() == raw:
        return
    with explained(path):
        if path.read_bytes() != raw:
            raise UserError(f"{path}: changed while it was being rewritten; nothing was written", hint="run it again")
        backup = _free(path.with_name(f"{path.name}.bak"))
        partial = path.with_name(f".{path.name}.partial")
        partial.write_bytes(after.encode())
        shutil.copymode(path, partial)
        shutil.copy2(path, backup)
        partial.replace(path)


def _free(path: Path) -> Path:
    """Return an unused name, so that an earlier backup is never overwritten."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}{number}")
    return found
