"""Copies a model from the hub, or from the local cache of the hub's client. Knows nothing about tasks."""

from __future__ import annotations

import fnmatch
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from metier.core import storage
from metier.core.errors import MetierError, first_line
from metier.core.net import HUB_SECONDS, hub_answers

# Weights in safetensors, configuration, tokenizer and chat template: nothing that runs code when it is loaded.
_WANTED = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*.json",
    "*.txt",
    "*.jinja",
    "*.model",
)
# The same weights again, in other tools' layouts.
_NOT_WANTED = ("onnx/*", "openvino/*", "original/*", "gguf/*", "consolidated*.safetensors")


def from_hub(hub_id: str, target: Path, *, code: bool = False) -> None:
    """Copy a hub repository's safetensors, configuration and tokenizer into a folder.

    The hub's client downloads into its own cache (``HF_HOME``), so a model that another tool has fetched is not fetched
    again, and is found even if the hub does not answer. Files are hard-linked from there, or copied to another disk.

    Args:
        hub_id: owner/name.
        target: The folder; created if needed.
        code: Copy its Python files too (only for ``trust_remote_code``).

    Raises:
        MetierError: Neither the hub nor its cache has the model, complete and in safetensors.
    """
    from huggingface_hub import constants, snapshot_download

    silent = _silent(constants.HF_HUB_OFFLINE, constants.ENDPOINT)
    wanted = [*_WANTED, *(["*.py"] if code else [])]
    try:
        kept = Path(
            snapshot_download(
                hub_id,
                local_files_only=silent is not None,
                allow_patterns=wanted,
                ignore_patterns=list(_NOT_WANTED),
            )
        )
    except Exception as error:  # the client raises a family of network and repository errors
        if silent is not None:
            raise MetierError(f"{silent}, and its local cache does not have {hub_id}") from error
        raise MetierError(f"{hub_id} could not be fetched from the hub ({first_line(error)})") from error
    # Other tools may have put more into the same cache: pickled weights, code.
    names = [file.relative_to(kept).as_posix() for file in kept.rglob("*") if file.is_file()]
    if lacking := _lacking(kept, names):
        where = f"{silent}, and in its local cache" if silent else "on the hub"
        raise MetierError(f"{where} {hub_id} {lacking}")
    with storage.explained(target):
        for name in names:
            if _matches(name, wanted) and not _matches(name, _NOT_WANTED):
                _link(kept / name, target / name)


def _silent(offline: bool, endpoint: str) -> str | None:
    """Return why the hub cannot be asked; None if it answers."""
    if offline:
        return "the hub is turned off (HF_HUB_OFFLINE)"
    return None if hub_answers(endpoint) else f"the hub does not answer within {HUB_SECONDS:.0f} s"


def _lacking(folder: Path, names: list[str]) -> str | None:
    """Return what is missing from a model folder; None if nothing."""
    if "config.json" not in names:
        return "has no config.json"
    if "model.safetensors.index.json" in names:
        try:
            index = json.loads((folder / "model.safetensors.index.json").read_text())
            absent = sorted(set(index["weight_map"].values()) - set(names))
        except (ValueError, KeyError, TypeError, AttributeError):
            return "has an unreadable index of weights"
        return f"lacks {absent[0]}" if absent else None
    if not any(name.endswith(".safetensors") and "/" not in name for name in names):
        return "has no safetensors weights, and other formats are not supported"
    return None


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    real = source.resolve()
    try:
        target.hardlink_to(real)
    except OSError:  # another disk, or one without links
        shutil.copyfile(real, target)
