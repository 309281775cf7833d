"""Finds the model a task names: a catalogue name, a folder, a .gguf file, or a hub id. Knows nothing about loading."""

from __future__ import annotations

import dataclasses
import difflib
import re
import shutil
from pathlib import Path

import filelock

from metier import storage
from metier.errors import MetierError, UserError
from metier.models import fetch
from metier.models.catalogue import CATALOGUE


@dataclasses.dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on this disk.

    Attributes:
        path: Its folder: config, safetensors, tokenizer.
        name: As the task names it.
        source: Where it came from, in words.
        licence: Its licence, if it is known.
        card_name: What a model card calls its base: a hub id where there is one.
        digest: Identifies the weights.
    """

    path: Path
    name: str
    source: str
    licence: str | None
    card_name: str
    digest: str


def resolve_model(spec: str, *, trust_remote_code: bool = False) -> ModelFiles:
    """Return the files of a model, brought here if need be.

    Args:
        spec: Catalogue name, folder, ``.gguf`` file, or hub id (owner/name).
        trust_remote_code: Bring a hub model's own code too.

    Raises:
        UserError: There is no such model, or it is in a form that is not read.
        MetierError: It could not be brought here.
    """
    if spec in CATALOGUE:
        return _described(fetch.fetch_model(spec), spec)
    path = Path(spec).expanduser()
    if spec.endswith(".gguf"):
        return _from_gguf(path)
    if path.is_dir():
        return _from_folder(path)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", spec):
        return _from_hub(spec, trust_remote_code)
    near = difflib.get_close_matches(spec, CATALOGUE, n=1, cutoff=0.5)
    raise UserError(
        f"model: {spec!r} is no catalogue name, folder, .gguf file or hub id (owner/name)",
        hint=f"did you mean {near[0]}?" if near else "metier models list shows the catalogue",
    )


def _described(folder: Path, name: str) -> ModelFiles:
    facts = storage.read_json(folder / "model.json")
    card = facts.get("hub_id") or name
    return ModelFiles(folder, name, facts["source"], facts.get("licence"), card, facts["digest"])


def _from_folder(path: Path) -> ModelFiles:
    if not (path / "config.json").exists():
        raise UserError(f"model: {path} has no config.json", hint="name the folder that transformers would load")
    if not any(path.glob("*.safetensors")):
        pickles = sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth") for p in path.glob(pattern))
        about = f"only {', '.join(pickles[:3])}, which may run code when read" if pickles else "no weights"
        raise UserError(f"model: {path} has {about}", hint="convert it to safetensors first")
    return ModelFiles(path.resolve(), path.name, f"folder {path.name}", None, path.name, fetch.folder_digest(path))


def _from_gguf(path: Path) -> ModelFiles:
    _check_gguf(path)
    sha = fetch.file_sha256(path)
    folder = fetch.cache_folder() / f"gguf-{sha[:16]}"
    with storage.explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder.with_suffix(".lock")):
        if not (folder / "model.json").exists():
            partial = folder.with_name(f"{folder.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            fetch.convert_gguf(path.resolve(), partial)
            facts = {"name": path.name, "source": f"file {path.name}", "digest": sha}
            storage.write_json(partial / "model.json", facts)
            storage.replace_folder(partial, folder)
    return _described(folder, path.name)


def _check_gguf(path: Path) -> None:
    """Raise unless a file is a GGUF file with all of its tensors."""
    if not path.is_file():
        raise UserError(f"model: {path}: no such file")
    size = path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        raise UserError(f"model: {path} is not a GGUF file (it begins with {magic!r})")
    from gguf import GGUFReader

    try:
        tensors = GGUFReader(str(path)).tensors
        needed = max((int(t.data_offset) + int(t.n_bytes) for t in tensors), default=0)
    except (ValueError, IndexError, OSError, KeyError) as error:
        raise UserError(
            f"model: {path} is cut off or damaged: its {size} bytes end inside what its header promises",
            hint="download it again",
        ) from error
    if size < needed:
        raise UserError(
            f"model: {path} is cut off: {size} bytes are there, its header promises {needed}",
            hint="download it again",
        )


def _from_hub(hub_id: str, trust_remote_code: bool) -> ModelFiles:
    folder = fetch.cache_folder() / f"hub--{hub_id.replace('/', '--')}"
    with storage.explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder.with_suffix(".lock")):
        if not (folder / "model.json").exists():
            partial = folder.with_name(f"{folder.name}.partial")
            try:
                fetch.from_hub(hub_id, partial, code=trust_remote_code)
            except MetierError as error:
                raise MetierError(
                    f"model: {hub_id}: {error.message}",
                    hint="check the id and the network, or use a catalogue name (metier models list)",
                ) from error
            facts = {"name": hub_id, "source": f"hub: {hub_id}", "hub_id": hub_id}
            storage.write_json(partial / "model.json", {**facts, "digest": fetch.folder_digest(partial)})
            storage.replace_folder(partial, folder)
    return _described(folder, hub_id)
