"""An asker on file: how a model is asked, with the model and its tuned weights named by their digests."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from metier.core import storage
from metier.core.codec import decode, encode
from metier.core.errors import MetierError
from metier.core.records import Example
from metier.core.step import Artifact
from metier.systems.asker import Asker
from metier.systems.base import Asked, Tools
from metier.systems.renderings import Rendering
from metier.tasks.settings import EngineSettings

WEIGHTS = "weights"
"""In a product's folder, the folder of a tuned model."""
_FILE = "asker.json"


def save_asker(asker: Asker, folder: Path) -> None:
    """Write how a model is asked into a folder; its weights are named by their digests, not copied."""
    storage.write_json(
        folder / _FILE,
        {
            "asked": encode(asker.asked),
            "weights": encode(asker.weights),
            "labels": encode(asker.labels),
            "shown": encode(asker.shown),
            "max_tokens": asker.max_tokens,
            "rendering": asker.rendering,
        },
    )


def load_asker(folder: Path, tools: Tools) -> Asker:
    """Return what `save_asker` wrote, with the model opened.

    Args:
        folder: Where it was written; tuned weights are in its folder `WEIGHTS`.
        tools: Opens the model.

    Raises:
        MetierError: The base model is not the one that was asked.
    """
    saved = read_asker(folder, tools.model.key)
    told = saved.asked
    asked = Asked(tools.model, told.style, told.engine, told.instruction, told.max_tokens, told.seed)
    weights = Artifact(saved.weights, folder / WEIGHTS) if saved.weights is not None else None
    engine = tools.open_model(weights)
    return Asker(engine, tools.prompts(), asked, weights, saved.labels, saved.shown, saved.max_tokens, saved.rendering)


def read_asker(folder: Path, model: str) -> SavedAsker:
    """Return what `save_asker` wrote, as it is on file.

    Args:
        folder: Where it was written.
        model: Digest of the base model that there is.

    Raises:
        MetierError: That is not the one that was asked.
        CodecError: The file is not one of these.
        OSError: It cannot be read, or the tuned weights are missing.
    """
    saved = decode(SavedAsker, storage.read_json(folder / _FILE))
    if saved.asked.model != model:
        raise MetierError(
            f"{folder}: the base model here is not the one that this was made with",
            hint="fetch the same version of it, or run the task again",
        )
    if saved.weights is not None and not (folder / WEIGHTS).is_dir():
        raise FileNotFoundError(f"{folder / WEIGHTS}: the tuned weights are missing")
    return saved


@dataclasses.dataclass(frozen=True, slots=True)
class SavedAsked:
    """`Asked` as it is on file: the model by its digest."""

    model: str
    style: Literal["auto", "chat", "plain"]
    engine: EngineSettings
    instruction: str
    max_tokens: int | None
    seed: int


@dataclasses.dataclass(frozen=True, slots=True)
class SavedAsker:
    """An asker as it is on file: models by their digests."""

    asked: SavedAsked
    weights: str | None
    labels: tuple[str, ...] | None
    shown: tuple[Example, ...]
    max_tokens: int
    rendering: Rendering
