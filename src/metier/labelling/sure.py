"""How sure a product is of its answers to rows: asked once, and kept on file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metier.core import storage
from metier.core.codec import encode
from metier.core.progress import Reporter
from metier.systems.base import ROWS
from metier.systems.product import OpenProduct


def probabilities(
    opened: OpenProduct, inputs: Sequence[str], places: Sequence[int], path: Path, reporter: Reporter
) -> dict[int, float | None]:
    """Return by place how probable the product's answer is; None where the row could not be asked.

    Args:
        opened: The product; it has probabilities.
        inputs: All rows.
        places: Those to ask.
        path: Where the probabilities are kept; what is there of another product or other rows is replaced.
        reporter: Where progress goes.
    """
    of = storage.digest([encode(opened.product), list(inputs)])
    kept = storage.read_json(path) if path.exists() else {}
    found: dict[str, float | None] = kept["probability"] if kept.get("of") == of else {}
    missing = [place for place in places if str(place) not in found]
    with reporter.track("how sure the product is", len(missing), "rows") as update:
        for begin in range(0, len(missing), ROWS):
            block = missing[begin : begin + ROWS]
            for place, answer in zip(block, opened.answer([inputs[i] for i in block]), strict=True):
                found[str(place)] = answer.probability if answer.text else None
            storage.write_json(path, {"of": of, "probability": found})
            update(begin + len(block), 0)
    return {place: found[str(place)] for place in places}
