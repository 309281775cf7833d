"""A product: the System that a run ships, saved whole in one folder, and opened again to answer as it was measured.

In the folder are ``product.json`` (this file's `Product`), what the System has learnt, its tuned weights, if it has
some, in ``weights/``, and ``files.json`` with the sizes and digests of all these. The base model is not copied: it is
found by its name, and refused if it is not the same.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import cast

from metier.core import storage
from metier.core.codec import CodecError, decode, encode
from metier.core.errors import MetierError, UserError
from metier.core.intact import prints_of, what_changed
from metier.core.records import Answers
from metier.core.step import Artifact
from metier.engines.base import Streams
from metier.evaluation.confidence import tempered_rows
from metier.systems.asker import Asks
from metier.systems.asker_file import WEIGHTS
from metier.systems.base import KnowsLabels, Learned, Tools, Writes, in_blocks
from metier.systems.product_record import FORMAT, Product

FILE = "product.json"
_PRINTS = "files.json"
_AGAIN = "copy the folder again, or run the task again"


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """A product's answer to one input.

    Attributes:
        text: The answer; empty if the input did not fit the model's context.
        probability: Of the answer, tempered; None where the System has none.
        abstained: Whether the answer is empty, as that to an input that was not asked, or its probability below the
            product's threshold.
        probabilities: By label, where the System has them.
    """

    text: str
    probability: float | None
    abstained: bool
    probabilities: Mapping[str, float] | None


@dataclasses.dataclass(frozen=True, slots=True)
class OpenProduct:
    """A product that can answer."""

    product: Product
    learned: Learned

    @property
    def streams(self) -> bool:
        """Whether it can say what it has written so far."""
        learned = self.learned
        return isinstance(learned, Writes) and isinstance(learned, Asks) and isinstance(learned.asker.engine, Streams)

    def answer(self, inputs: Sequence[str]) -> list[Answer]:
        """Return an answer to each input, in order."""
        return [answer for found in in_blocks(self.learned, inputs) for answer in self._answers(found)]

    def stream(self, text: str) -> Iterator[str]:
        """Yield the answer to one input piece by piece as it is written; joined, they are what `answer` returns.

        A System that does not write, or an engine that does not say what it has written so far, gives it all at once.
        """
        if isinstance(self.learned, Writes):
            yield from self.learned.stream(text)
        else:
            yield self.answer([text])[0].text

    def finished(self, answers: Sequence[str]) -> list[bool]:
        """Return for each answer whether the System came to its end: one as long as it may be can have been cut off."""
        return self.learned.finished(answers) if isinstance(self.learned, Writes) else [True] * len(answers)

    def _answers(self, found: Answers) -> list[Answer]:
        product = self.product
        if found.probabilities is None or product.labels is None:
            return [Answer(text, None, not text, None) for text in found.texts]
        rows: Sequence[Sequence[float]] = found.probabilities
        if product.confidence is not None:
            rows = tempered_rows(rows, product.confidence.temperature)
        least = product.threshold.threshold if product.threshold is not None else 0.0
        out = []
        for text, shares in zip(found.texts, rows, strict=True):
            by_label = dict(zip(product.labels, shares, strict=True))
            probability = by_label.get(text, 0.0)
            out.append(Answer(text, probability, not text or probability < least, by_label))
        return out


def save_product(product: Product, learned: Learned, weights: Artifact | None, folder: Path) -> None:
    """Write a product into a folder, whole or not at all.

    Args:
        product: What is said of it.
        learned: The System.
        weights: Its tuned weights; None: it has none.
        folder: Where to; what is there is replaced.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    with storage.explained(partial):
        partial.mkdir(parents=True)
        if weights is not None:
            shutil.copytree(weights.path, partial / WEIGHTS, copy_function=_link_or_copy)
        learned.save(partial)
    storage.write_json(partial / FILE, encode(product))
    storage.write_json(partial / _PRINTS, prints_of(partial, [path for path in partial.rglob("*") if path.is_file()]))
    storage.replace_folder(partial, folder)


def read_product(folder: Path) -> Product:
    """Return what is said of a product.

    Raises:
        UserError: There is none in the folder, it is half copied, or a newer version of Metier wrote it.
    """
    path = folder / FILE
    if not path.exists():
        raise UserError(f"{folder}: there is no product in it (no {FILE})", hint="metier run ends with one")
    try:
        data = storage.read_json(path)
        if isinstance(data, dict) and isinstance(data.get("format"), int) and data["format"] > FORMAT:
            raise UserError(
                f"{path}: written by a newer version of Metier ({data.get('metier')})", hint="upgrade metier"
            )
        product = decode(Product, data)
    except (CodecError, MetierError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{path}: cannot be read ({error})", hint="copy the folder again, or run the task again"
        ) from error
    return product


def open_product(folder: Path, product: Product, tools: Tools) -> OpenProduct:
    """Return a product that can answer.

    Args:
        folder: Where it is.
        product: What `read_product` returned.
        tools: Open its base model and encoder.

    Raises:
        UserError: A file of it is missing or not whole.
        MetierError: The base model or encoder is another one, or an extra is not installed.
    """
    from safetensors import SafetensorError

    _check_files(folder)
    module = _opener(folder, product.form)
    try:
        learned: Learned = module.load(folder, tools)
    except (OSError, CodecError, KeyError, SafetensorError, storage.Unreadable) as error:
        raise UserError(f"{folder}: the product is not whole ({error})", hint=_AGAIN) from error
    _check_labels(folder, product, learned)
    return OpenProduct(product, learned)


def _check_files(folder: Path) -> None:
    """Refuse a folder that was half copied or has changed: other libraries' errors would not say so, or not notice."""
    if not (folder / _PRINTS).exists():
        return  # of a version that wrote none
    try:
        prints = storage.read_json(folder / _PRINTS)
    except MetierError as error:
        raise UserError(f"{folder}: the product is not whole ({error})", hint=_AGAIN) from error
    if not isinstance(prints, dict) or not prints:
        raise UserError(f"{folder}: the product is not whole ({_PRINTS} names no files)", hint=_AGAIN)
    if changed := what_changed(folder, prints):
        raise UserError(f"{folder}: the product is not whole ({changed})", hint=_AGAIN)


def _opener(folder: Path, form: str) -> ModuleType:
    """Return the file in ``systems/`` that loads a product of this form."""
    try:
        module = importlib.import_module(f"metier.systems.{form}") if form.isidentifier() else None
    except ModuleNotFoundError:
        module = None
    if not hasattr(module, "load"):
        raise UserError(
            f"{folder}: this version of Metier has no System of the form {form!r}",
            hint="upgrade metier, or run the task again",
        )
    return cast(ModuleType, module)


def _check_labels(folder: Path, product: Product, learned: Learned) -> None:
    if isinstance(learned, KnowsLabels) and learned.labels != product.labels:
        said, learnt = product.labels or (), learned.labels or ()
        told = [f"not learnt: {label}" for label in said if label not in learnt]
        told += [f"missing in {FILE}: {label}" for label in learnt if label not in said]
        raise UserError(
            f"{folder}: the labels of {FILE} are not those that were learnt "
            f"({', '.join(told) or 'they are in another order'})",
            hint=_AGAIN,
        )


def _link_or_copy(source: str, target: str) -> None:
    """Link a file, which takes no space, or copy it where the file system cannot link."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
