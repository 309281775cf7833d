from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from metier.core.progress import Reporter
from metier.core.records import Answers
from metier.labelling.sure import probabilities
from metier.systems.base import Keep
from metier.systems.product import OpenProduct
from tests.systems.test_product import PRODUCT

INPUTS = [f"row {i}" for i in range(600)]
QUIET = Reporter(quiet=True)


@dataclasses.dataclass
class Counting:
    """A System that is the surer the later a row comes, has no room for one of them, and counts what it is asked."""

    asked: list[str] = dataclasses.field(default_factory=list)
    form: str = "counting"
    nbytes: int = 0

    def answer(self, inputs: Sequence[str], keep: Keep | None = None) -> Answers:
        self.asked += inputs
        shares = [0.5 + INPUTS.index(text) / 2000 for text in inputs]
        return Answers(
            tuple("" if text == "row 7" else "billing" for text in inputs),
            tuple((0.0, 0.0) if text == "row 7" else (s, 1 - s) for text, s in zip(inputs, shares, strict=True)),
        )

    def save(self, folder: Path) -> None:
        raise NotImplementedError


def test_a_row_is_asked_once_whatever_is_wanted_of_it_later(tmp_path: Path) -> None:
    learned, path = Counting(), tmp_path / "sure.json"
    opened = OpenProduct(PRODUCT, learned)
    first = probabilities(opened, INPUTS, range(5, 500), path, QUIET)
    assert first[7] is None and first[10] == 0.505 and set(first) == set(range(5, 500))
    assert learned.asked == INPUTS[5:500]
    more = probabilities(opened, INPUTS, range(490, 600), path, QUIET)
    assert learned.asked == INPUTS[5:600] and more[599] == 0.7995
    assert probabilities(opened, INPUTS, range(5, 500), path, QUIET) == first and len(learned.asked) == 595


def test_another_product_or_other_rows_are_asked_anew(tmp_path: Path) -> None:
    learned, path = Counting(), tmp_path / "sure.json"
    probabilities(OpenProduct(PRODUCT, learned), INPUTS, [1, 2], path, QUIET)
    probabilities(OpenProduct(dataclasses.replace(PRODUCT, title="another"), learned), INPUTS, [1, 2], path, QUIET)
    probabilities(OpenProduct(PRODUCT, learned), INPUTS[:-1], [1, 2], path, QUIET)
    assert learned.asked == ["row 1", "row 2"] * 3
