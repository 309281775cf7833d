"""``metier rewrite``: a text, sentence by sentence, with a specialist that a run has made."""

from __future__ import annotations

import collections
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from metier.commands.options import Quiet, quieten_libraries
from metier.core.errors import UserError

_MARK = "\ufeff"  # some editors begin a file with it


def rewrite(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Text or Markdown files; none, or -: standard input.", metavar="[FILE]…")
    ] = None,
    task: Annotated[str, typer.Option("--task", help="What to do: a task of the run, such as clarity.")] = "",
    run: Annotated[
        Path | None, typer.Option("--run", help="The run's folder; default: the newest in runs/ that has the task.")
    ] = None,
    by: Annotated[str, typer.Option("--by", help="sentence or paragraph: what is rewritten at once.")] = "sentence",
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Change the files; what was in them is kept in FILE.bak.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Print what would change, word by word, not the text.")] = False,
    quiet: Quiet = False,
) -> None:
    """Rewrite a text with a specialist; what is not prose, or would lose something, stays as it is."""
    quieten_libraries()
    from metier.core.progress import Reporter
    from metier.runs.rewriting import find_specialist, open_slot, rewrite_text

    if not task:
        raise UserError("rewrite: say what to do with --task", hint="metier rewrite --task clarity FILE")
    if by not in ("sentence", "paragraph"):
        raise UserError(f"--by: {by!r} is not known", hint="sentence or paragraph")
    paths = files or [Path("-")]
    if in_place and Path("-") in paths:
        raise UserError("--in-place needs files; standard input has no place")
    texts = [(path, *_read(path)) for path in paths]  # all of them before any is changed
    specialist = find_specialist(task, run)
    reporter = Reporter(quiet=quiet)
    if not specialist.recommended:
        reporter.say(f"warning: the run did not show this model to be better than its base at {task}")
    slot = open_slot(specialist)
    for path, raw, text in texts:
        mark = _MARK if text.startswith(_MARK) else ""
        after, made = rewrite_text(specialist, text.removeprefix(_MARK), by, reporter, slot)
        after = mark + after
        if in_place:
            _replace(path, raw, after)
        _show(text, after, diff=diff, in_place=in_place)
        changed, left = sum(m.changed for m in made), collections.Counter(m.reason for m in made if m.reason)
        told = "".join(f"; {n} left alone: {reason}" for reason, n in left.most_common())
        reporter.say(f"{path}: {changed} of {len(made)} {by}s changed{told}")
    slot.close()


def _read(path: Path) -> tuple[bytes, str]:
    try:
        raw = sys.stdin.buffer.read() if path == Path("-") else path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not text in UTF-8 (byte {raw[error.start]:#04x} at {error.start})") from error
    if "\0" in text:
        raise UserError(f"{path}: not a text (it holds a zero byte)")
    return raw, text


def _show(before: str, after: str, *, diff: bool, in_place: bool) -> None:
    """Print the text, or what changed; on a terminal what changed is shown either way."""
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
    """Put the new text in the file's place, whole or not at all, with the old one beside it."""
    from metier.core.storage import explained

    path = path.resolve()
    if after.encode() == raw:
        return
    with explained(path):
        if path.read_bytes() != raw:
            raise UserError(f"{path}: it changed while it was rewritten; nothing was written", hint="run it again")
        backup = _free(path.with_name(f"{path.name}.bak"))
        partial = path.with_name(f".{path.name}.partial")
        partial.write_bytes(after.encode())
        shutil.copymode(path, partial)
        shutil.copy2(path, backup)
        partial.replace(path)


def _free(path: Path) -> Path:
    """Return a name that is not taken: an earlier backup is never overwritten."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}{number}")
    return found
