"""A product in Python: ``metier.load(path)``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import overload

from metier.core.errors import UserError
from metier.rewriting.pieces import pieces
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

    def rewrite(self, text: str, by: str = "sentence") -> str:
        """Return a text, plain or Markdown, with its prose rewritten piece by piece; what is not prose stays.

        Args:
            text: The text.
            by: ``sentence`` or ``paragraph``: what is rewritten at once.

        Raises:
            UserError: The product answers with labels.
        """
        if self.labels is not None:
            raise UserError(f"{self.product.task} answers with labels: it rewrites nothing")
        parts = pieces(text, by=by)
        answers = iter(self([part.text for part in parts if part.prose]))
        return "".join((next(answers) or part.text) if part.prose else part.text for part in parts)


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
