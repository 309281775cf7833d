"""Rewrites a text with a run's product: finds it, asks it sentence by sentence, and puts the text together again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from metier.core.errors import UserError
from metier.core.progress import Reporter
from metier.rewriting.pieces import Piece, pieces
from metier.rewriting.rewrite import Proposal, Rewritten, rewrite
from metier.runs.use import product_folder, products_in
from metier.systems.product import OpenProduct
from metier.systems.product_record import Product

_RUNS = Path("runs")


def find_product(run: Path | None, task: str | None) -> Path:
    """Return the folder of the product that rewrites: of a run, or of the newest run in ``runs/`` with the task.

    Raises:
        UserError: There is none, or neither a run nor a task is named.
    """
    if run is not None:
        return product_folder(run, task)
    if task is None:
        raise UserError(
            "rewrite: neither a run nor a task is named", hint="metier rewrite RUN FILE, or --task clarity FILE"
        )
    folders = sorted(_RUNS.glob("*/"), key=lambda folder: folder.stat().st_mtime, reverse=True)
    known: set[str] = set()
    for folder in folders:
        there = products_in(folder)
        if task in there:
            return there[task]
        known |= set(there)
    raise UserError(
        f"{_RUNS}/: there is no product for the task {task!r}",
        hint=f"there are: {', '.join(sorted(known))}" if known else "metier run writing data=FILE makes one",
    )


def check_rewrites(product: Product) -> None:
    """Refuse a product that rewrites nothing.

    Raises:
        UserError: It answers with labels.
    """
    if product.labels is not None:
        raise UserError(
            f"{product.task} answers with labels ({', '.join(product.labels)}): it rewrites nothing",
            hint="metier predict answers rows with it",
        )


def caution(product: Product) -> str | None:
    """Return what speaks against using a product, in a sentence; None: nothing that its run has found."""
    if product.measured is None:
        return f"there was no test of what rewrites here ({product.title} at {product.task})"
    if product.kind == "specialist" and product.measured.verdict != "better":
        return f"in its run, the specialist was not significantly better at {product.task} than its base"
    return None


def rewrite_pieces(
    parts: Sequence[Piece],
    propose: Callable[[Sequence[str]], Sequence[Proposal]],
    progress: Callable[[int, int], None] | None = None,
) -> list[Rewritten]:
    """Return what became of each piece of a text; joined, what they are now gives the new text.

    Args:
        parts: The text in pieces, of which the prose is rewritten.
        propose: Answers pieces of prose, of one line each.
        progress: Called with (pieces done, 0).
    """
    turn = iter(rewrite([part.text for part in parts if part.prose], propose, progress))
    return [next(turn) if part.prose else Rewritten(part.text, part.text) for part in parts]


def rewrite_text(opened: OpenProduct, text: str, by: str, reporter: Reporter) -> tuple[str, list[Rewritten]]:
    """Return a text rewritten, and what became of each of its sentences.

    Args:
        opened: The product that rewrites.
        text: Plain text or Markdown.
        by: ``sentence`` or ``paragraph``.
        reporter: Where progress goes.

    Raises:
        UserError: The product answers with labels.
    """
    check_rewrites(opened.product)
    parts = pieces(text, by=by)

    def propose(texts: Sequence[str]) -> list[Proposal]:
        answers = [answer.text for answer in opened.answer(texts)]
        return list(map(Proposal, answers, opened.finished(answers)))

    with reporter.track(opened.product.task, len({part.text for part in parts if part.prose}), f"{by}s") as update:
        made = rewrite_pieces(parts, propose, update)
    after = "".join(piece.after for piece in made)
    return after, [piece for part, piece in zip(parts, made, strict=True) if part.prose]
