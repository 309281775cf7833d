"""Finds the model a task names: a catalogue name, a folder, a .gguf file, or a hub id. Knows nothing about loading."""

from __future__ import annotations

import dataclasses
import difflib
import re
from pathlib import Path

from metier.core import storage
from metier.core.cache import cache_folder
from metier.core.errors import MetierError, UserError
from metier.core.remote import is_url, local
from metier.models import fetch
from metier.models.catalogue import CATALOGUE
from metier.models.gguf_file import check_gguf, convert_gguf
from metier.models.hub import from_hub

# The first character rules out ./folder and ../folder, so that a missing folder is not looked up on the hub.
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclasses.dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on this disk.

    Attributes:
        path: Its folder: config, safetensors, tokenizer.
        name: As the task names it.
        source: Where it came from, in words.
        licence: Its licence, if known.
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
    """Return the files of a model, fetching them if need be.

    Args:
        spec: Catalogue name, folder, ``.gguf`` file, URL of one of them, or hub id (owner/name).
        trust_remote_code: Fetch a hub model's own code too.

    Raises:
        UserError: There is no such model, or its format is not supported.
        MetierError: It could not be fetched.
    """
    if spec in CATALOGUE:
        return _described(fetch.fetch_model(spec), spec)
    if is_url(spec):
        spec = str(local(spec))
    path = Path(spec).expanduser()
    if spec.lower().endswith(".gguf"):
        return _from_gguf(path)
    if spec and path.is_dir():
        return _from_folder(path)
    if _HUB_ID.fullmatch(spec):
        return _from_hub(spec, trust_remote_code)
    near = difflib.get_close_matches(spec, CATALOGUE, n=1, cutoff=0.5)
    raise UserError(
        f"model: {spec!r} is not a catalogue name, folder, .gguf file or hub id (owner/name)",
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


def resolve_gguf(spec: str) -> Path:
    """Return a GGUF file: the one named, or a catalogue model's, fetched if need be.

    Raises:
        UserError: It is neither, or the file is cut off or damaged.
        MetierError: It could not be fetched.
    """
    if spec in CATALOGUE:
        return fetch.fetch_gguf(spec)
    path = Path(spec).expanduser()
    if not spec.lower().endswith(".gguf"):
        raise UserError(
            f"engine.gguf: {spec!r} is neither a GGUF file nor a catalogue name",
            hint="name the model's GGUF file with engine.gguf",
        )
    check_gguf(path)
    return path


def _from_gguf(path: Path) -> ModelFiles:
    check_gguf(path)
    sha = fetch.file_sha256(path)
    folder = cache_folder() / f"gguf-{sha[:16]}"
    if not fetch.is_whole(folder):
        with fetch.making(folder, fetch.say_on_stderr) as partial:
            if partial is not None:
                fetch.say_on_stderr(f"{path.name}: converting GGUF to bfloat16 safetensors, once")
                convert_gguf(path.resolve(), partial)
                fetch.settle(partial, folder, {"name": path.name, "source": f"file {path.name}", "digest": sha})
    return _described(folder, path.name)


def _from_hub(hub_id: str, trust_remote_code: bool) -> ModelFiles:
    # With code it is a separate folder: one fetched without code would never get it.
    folder = cache_folder() / f"hub--{hub_id.replace('/', '--')}{'--code' if trust_remote_code else ''}"
    if not fetch.is_whole(folder):
        with fetch.making(folder, fetch.say_on_stderr) as partial:
            if partial is not None:
                try:
                    from_hub(hub_id, partial, code=trust_remote_code)
                except MetierError as error:
                    raise MetierError(
                        f"model: {hub_id!r} is not a folder here, and as a hub id: {error.message}",
                        hint="check the name and the network, or use a catalogue name (metier models list)",
                    ) from error
                facts = {"name": hub_id, "source": f"hub: {hub_id}", "hub_id": hub_id}
                fetch.settle(partial, folder, {**facts, "digest": fetch.folder_digest(partial)})
    return _described(folder, hub_id)
