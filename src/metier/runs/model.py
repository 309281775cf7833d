"""A product in Python: ``metier.load(path)``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, overload

from metier.core.errors import UserError
from metier.core.progress import Reporter
from metier.runs.rewriting import rewrite_text
from metier.runs.use import open_at, product_folder
from metier.systems.product import Answer, OpenProduct
from metier.systems.product_record import Product


@dataclasses.dataclass(frozen=True, slots=True)
class Model:
    """What a run ended with, ready to answer as evaluation measured it.

    Attributes:
        opened: The product.
    """

    opened: OpenProduct

    @property
    def product(self) -> Product:
        """What is said of the product: its System, why it ships, its scores."""
        return self.opened.product

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The possible answers; None: any text."""
        return self.product.labels

    @overload
    def __call__(self, inputs: str) -> str: ...

    @overload
    def __call__(self, inputs: list[str] | tuple[str, ...]) -> list[str]: ...

    def __call__(self, inputs: str | list[str] | tuple[str, ...]) -> str | list[str]:
        """Return the answer to one input, or the answers to several, in order.

        An input that does not fit the model's context has the empty answer.
        """
        if isinstance(inputs, str):
            return self.opened.answer([inputs])[0].text
        return [answer.text for answer in self.opened.answer(inputs)]

    @overload
    def classify(self, inputs: str) -> Answer: ...

    @overload
    def classify(self, inputs: list[str] | tuple[str, ...]) -> list[Answer]: ...

    def classify(self, inputs: str | list[str] | tuple[str, ...]) -> Answer | list[Answer]:
        """Return labels with their probabilities, and whether the product would rather abstain.

        Raises:
            UserError: The product answers with free text.
        """
        if self.labels is None:
            raise UserError(f"{self.product.task} answers with free text: call the model itself")
        if isinstance(inputs, str):
            return self.opened.answer([inputs])[0]
        return self.opened.answer(inputs)

    def stream(self, text: str) -> Iterator[str]:
        """Yield the answer to one input piece by piece, as a language model writes it.

        Joined, the pieces are what calling the model returns. A product that does not write, or is run by an engine
        that gives whole answers only, gives it in one piece.
        """
        return self.opened.stream(text)

    def rewrite(self, text: str, by: Literal["sentence", "paragraph"] = "sentence") -> str:
        """Return a text, plain or Markdown, with its prose rewritten piece by piece, as ``metier rewrite`` does.

        What is not prose stays, and so does a piece whose new form would lose content (code, links, numbers, names).

        Args:
            text: The text.
            by: What is rewritten at once.

        Raises:
            UserError: The product answers with labels.
        """
        return rewrite_text(self.opened, text, by, Reporter(quiet=True))[0]


def load(path: str | Path, task: str | None = None) -> Model:
    """Return a run's product as a model; `metier.load`.

    Args:
        path: The folder of a finished run, or of a product.
        task: Of a run of several tasks, which.

    Raises:
        UserError: There is no product, or it is not whole.
        MetierError: Its base model is not there or is another one, or an extra is not installed.
    """
    return Model(open_at(product_folder(Path(path), task)))
