"""Opens a finished run's product, to be used: from a run's folder, a task's inside it, or the product's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from metier.core import storage
from metier.core.errors import MetierError, UserError
from metier.core.progress import Reporter
from metier.core.run_folder import Run
from metier.core.step import Artifact
from metier.engines.base import Engine, HoldsAdapters
from metier.engines.prompts import PromptFormat
from metier.models.encoder import SentenceEncoder
from metier.models.locate import ModelFiles, resolve_model
from metier.models.tokenizer import Tokenizer
from metier.steps.slot import SLOT_CONTEXT, Running, Slot, model_and_adapter
from metier.systems.base import Keep, Tools, Writes
from metier.systems.product import FILE, OpenProduct, open_product, read_product
from metier.systems.product_record import ModelUsed, Product
from metier.tasks.settings import LaunchSettings

_NO_MODEL = Artifact("", Path())
_SLOTS = 8  # answers that llama.cpp writes at once


@dataclasses.dataclass(frozen=True, slots=True)
class WantedModel:
    """A model that a product asks, for an engine that is opened elsewhere.

    Attributes:
        folder: The product's.
        used: The base model, and how the run has used it.
        files: The base model's files.
        weights: Folder of what it was tuned to, an adapter or whole weights; None: the base model as it is.
        tokenizer: Its tokenizer.
        count_tokens: Counts the tokens of texts.
        context_length: The most tokens of a prompt and its answer.
    """

    folder: Path
    used: ModelUsed
    files: ModelFiles
    weights: Path | None
    tokenizer: Tokenizer
    count_tokens: Callable[[Sequence[str]], list[int]]
    context_length: int

    @property
    def adapter(self) -> Path | None:
        """The adapter that it was tuned to; None for whole weights too."""
        return model_and_adapter(self.files.path, self.weights)[1]

    @property
    def model(self) -> Path:
        """Folder of the whole weights."""
        return model_and_adapter(self.files.path, self.weights)[0]


Elsewhere = Callable[[WantedModel], Engine]
"""Opens the engine of a model in place of the one that its run has used."""


def product_folder(path: Path, task: str | None = None) -> Path:
    """Return the folder of a product.

    Args:
        path: A run's folder, or the product's own.
        task: Of a run of several tasks, which.

    Raises:
        UserError: There is none, or the run has several and none is named.
    """
    there = products_in(path)
    if task is None and len(there) == 1:
        return next(iter(there.values()))
    if task is not None and task in there:
        return there[task]
    names = ", ".join(sorted(there))
    if there and task is None:
        raise UserError(f"{path}: this run has several products", hint=f"name one with --task: {names}")
    if there:
        raise UserError(f"{path}: there is no product for the task {task!r}", hint=f"there is one for: {names}")
    if not path.exists():
        raise UserError(f"{path}: no such folder", hint="name the folder of a finished run, such as runs/NAME")
    raise UserError(f"{path}: there is no product in it", hint="metier run TASK.yaml ends with one")


def products_in(path: Path) -> dict[str, Path]:
    """Return the products in a run's folder, or in a product's own, by their tasks' names.

    Raises:
        UserError: One of them cannot be read.
    """
    for folder in (path, path / "product"):
        if (folder / FILE).exists():
            return {read_product(folder).task: folder}
    return {file.parents[1].name: file.parent for file in sorted(path.glob(f"tasks/*/product/{FILE}"))}


def open_at(folder: Path) -> OpenProduct:
    """Return the product in a folder, ready to answer.

    Raises:
        UserError: It is not whole, or a newer version of Metier wrote it.
        MetierError: Its base model or encoder is not there or is another one, or an extra is not installed.
    """
    return Opener().open(folder)


class Opener:
    """Opens products; a base model or an encoder that several of them use is in memory once."""

    def __init__(self) -> None:
        self._slots: dict[str, Slot] = {}
        self._encoders: dict[Path, SentenceEncoder] = {}

    def open(self, folder: Path, elsewhere: Elsewhere | None = None) -> OpenProduct:
        """Return the product in a folder, ready to answer; see `open_at`.

        Args:
            folder: The product's.
            elsewhere: Opens its engine, in place of the one that its run has used.
        """
        product = read_product(folder)
        return open_product(folder, product, self._tools(folder, product, elsewhere))

    def open_with_gguf(self, folder: Path, gguf: Path) -> OpenProduct:
        """Return the product in a folder, with llama.cpp and a file of its model in place of its own engine.

        Raises:
            UserError: It asks no model, or only how likely its labels are, which llama.cpp does not tell.
            MetierError: Its base model, whose tokenizer is needed, is not here, or llama.cpp cannot read the file.
        """
        product = read_product(folder)
        used = product.model
        if used is None:
            raise UserError(f"{folder}: this product asks no language model", hint="leave --engine out")
        from metier.engines.llamacpp import LlamaCppEngine

        slot = self._slot(used, base_of(folder, used))
        engine = LlamaCppEngine(
            gguf,
            count_tokens=slot.count_tokens,
            context_length=min(slot.context_length, SLOT_CONTEXT),
            slots=_SLOTS,
            device=used.engine.device,
        )
        tools = dataclasses.replace(self._tools(folder, product), open_model=lambda weights: engine)
        opened = open_product(folder, product, tools)
        if not isinstance(opened.learned, Writes):
            engine.close()
            raise UserError(
                f"{folder}: {product.title} asks how likely labels are, which llama.cpp does not tell",
                hint="leave --engine out",
            )
        return opened

    def open_base(
        self, folder: Path, used: ModelUsed, elsewhere: Elsewhere | None = None
    ) -> tuple[Engine, PromptFormat]:
        """Return the base model of the product in a folder, as it is, and how its prompts are written; see `open`.

        Raises:
            MetierError: It is not here, or is another one.
        """
        files = base_of(folder, used)
        opened = self._opens(folder, used, files, elsewhere)
        return opened(None), self._prompts(used, files)

    def _tools(self, folder: Path, product: Product, elsewhere: Elsewhere | None = None) -> Tools:
        keep = Keep(Run(Path()), Reporter(quiet=True))  # nothing is asked while a product is opened
        used = product.model
        if used is None:
            return Tools(_NO_MODEL, _no_model, _no_prompts, self._encoder, keep)
        files = base_of(folder, used)
        return Tools(
            Artifact(files.digest, files.path),
            self._opens(folder, used, files, elsewhere),
            lambda: self._prompts(used, files),
            self._encoder,
            keep,
        )

    def _opens(
        self, folder: Path, used: ModelUsed, files: ModelFiles, elsewhere: Elsewhere | None
    ) -> Callable[[Artifact | None], Engine]:
        """Return what opens the engine of a product's model, by the weights it was tuned to."""
        if elsewhere is None:
            return lambda weights: self._engine(used, files, weights)

        def opened(weights: Artifact | None) -> Engine:
            slot, place = self._slot(used, files), weights.path if weights is not None else None
            wanted = WantedModel(folder, used, files, place, slot.tokenizer, slot.count_tokens, slot.context_length)
            return elsewhere(wanted)

        return opened

    def _engine(self, used: ModelUsed, files: ModelFiles, weights: Artifact | None) -> Engine:
        if weights is None:
            return self._slot(used, files).open()
        whole = model_and_adapter(files.path, weights.path)[1] is None
        if whole or used.engine.kind not in ("transformers", "vllm"):
            return Slot(running_as(used), files).open(weights.path)
        base = self._slot(used, files).open()
        assert isinstance(base, HoldsAdapters)
        return base.beside(weights.path)

    def _prompts(self, used: ModelUsed, files: ModelFiles) -> PromptFormat:
        return PromptFormat(self._slot(used, files).tokenizer, used.style)

    def _slot(self, used: ModelUsed, files: ModelFiles) -> Slot:
        """Return what holds a base model: the same for all products that run it alike, however they prompt it."""
        key = storage.digest([files.digest, used.engine.model_dump(mode="json")])
        if key not in self._slots:
            self._slots[key] = Slot(running_as(used), files)
        return self._slots[key]

    def _encoder(self, encoder: Artifact) -> SentenceEncoder:
        if encoder.path not in self._encoders:
            self._encoders[encoder.path] = SentenceEncoder(encoder.path)
        return self._encoders[encoder.path]


def base_of(folder: Path, used: ModelUsed) -> ModelFiles:
    """Return the base model of the product in a folder.

    Raises:
        MetierError: It is not here, or is another one.
    """
    try:
        files = resolve_model(used.name, trust_remote_code=used.engine.trust_remote_code)
    except MetierError as error:
        raise MetierError(
            f"{folder}: the base model of this product, {used.name}, is not here ({error.message})",
            hint="put it back where it was, or run the task again",
        ) from error
    if files.digest != used.digest:
        raise MetierError(
            f"{folder}: the base model {used.name} is not the one that this product was made with",
            hint="fetch the same version of it, or run the task again",
        )
    return files


def running_as(used: ModelUsed) -> Running:
    """Return how the base model of a product is run: as in evaluation, in this process."""
    return Running(used.name, used.engine, LaunchSettings(), used.style)


def _no_model(weights: Artifact | None) -> Engine:
    raise MetierError("this product asks no language model")


def _no_prompts() -> PromptFormat:
    raise MetierError("this product asks no language model")
