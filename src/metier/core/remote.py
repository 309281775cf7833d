"""Files at URLs (s3://, gs://, hf://, …), through fsspec: downloads data and models, and mirrors run folders.

All work happens on the local disk. A run folder at a URL has a local copy: its files are downloaded first, so that any
machine can resume what another began, and new files are uploaded while the run works and when it ends, however it ends.
Knows nothing about what the files hold.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Protocol

from metier.core import storage
from metier.core.cache import cache_folder
from metier.core.errors import MetierError, UserError, first_line

_URL = re.compile(r"[a-z][a-z0-9+.-]+://")
_DRIVERS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
_EVERY = 15.0  # seconds between uploads of a run folder's new files


def is_url(name: str) -> bool:
    """Whether a name is a URL that fsspec may open rather than a path."""
    return _URL.match(name) is not None


def is_hub_id(name: str) -> bool:
    """Whether a name looks like a data set's hub id: owner/name, without a file extension (v1.5 is not one)."""
    return bool(re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name)) and not re.search(r"\.[A-Za-z]\w*$", name)


def local(name: str | Path) -> Path:
    """Return a path unchanged; download what a URL names into the cache, unless it is there and has not changed.

    Raises:
        UserError: Nothing exists at the URL, or nothing installed here can open it.
        MetierError: The download failed.
    """
    if isinstance(name, Path) or not is_url(name):
        return Path(name)
    fs, path = _open(name)
    with _explained(name):
        if not fs.exists(path):
            raise UserError(f"{name}: nothing exists at this URL")
        files = _files(fs, path) if fs.isdir(path) else {"": path}
        state = storage.digest([[relative, str(fs.ukey(there))] for relative, there in sorted(files.items())])
        target = _cache() / "data" / storage.digest([name, state])[:20] / PurePosixPath(path.rstrip("/")).name
        if target.exists():
            return target
        partial = target.parent.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        for relative, there in files.items():
            here = partial / target.name / relative if relative else partial / target.name
            here.parent.mkdir(parents=True, exist_ok=True)
            fs.get_file(there, str(here))
        storage.replace_folder(partial, target.parent)
    return target


@contextlib.contextmanager
def run_folder(name: str) -> Iterator[Path]:
    """Give a run's folder: a path unchanged, or the local copy of a URL, kept in step with it.

    Two machines must not work on one URL at the same time: the local folder is locked, the URL is not.

    Raises:
        UserError: Nothing installed here can open the URL, or it may not be written to.
        MetierError: The run's last files could not be uploaded; they are still in the local folder.
    """
    if not is_url(name):
        yield Path(name)
        return
    mirror = _Mirror(name)
    mirror.download()
    stop = threading.Event()

    def keep_uploading() -> None:
        while not stop.wait(_EVERY):
            with contextlib.suppress(MetierError, OSError):  # tried again next time; the last try reports it
                mirror.upload()

    thread = threading.Thread(target=keep_uploading, daemon=True)
    thread.start()
    try:
        yield mirror.folder
    finally:
        stop.set()
        thread.join()
        mirror.upload()


class _FileSystem(Protocol):
    """What is used of an fsspec file system."""

    def exists(self, path: str) -> bool: ...

    def isdir(self, path: str) -> bool: ...

    def find(self, path: str) -> list[str]: ...

    def size(self, path: str) -> int | None: ...

    def ukey(self, path: str) -> object: ...

    def get_file(self, rpath: str, lpath: str) -> object: ...

    def put_file(self, lpath: str, rpath: str) -> object: ...

    def makedirs(self, path: str, exist_ok: bool = False) -> object: ...

    def invalidate_cache(self) -> object: ...

    def rm_file(self, path: str) -> object: ...


class _Mirror:
    """A local folder and its copy at a URL."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._fs, self._root = _open(url)
        self._root = self._root.rstrip("/")
        # An object store has no folders to make; asked for one, its driver makes the bucket.
        self._stores_objects = url.partition(":")[0] in _DRIVERS
        self.folder = _cache() / "runs" / storage.digest(url)[:20] / PurePosixPath(self._root).name
        self._put: dict[str, tuple[int, int]] = {}  # uploaded files: size and time when they were uploaded

    def download(self) -> None:
        """Download files that are missing here or differ in size, and note them all as uploaded."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with _explained(self._url):
            bucket = self._root.partition("/")[0]
            if self._stores_objects and not self._fs.exists(bucket):
                raise UserError(f"{self._url}: there is no bucket {bucket!r}", hint="make it first; Metier makes none")
            there = _files(self._fs, self._root) if self._fs.exists(self._root) else {}
            for relative, path in there.items():
                here = self.folder / relative
                if here.name == "manifest.json":
                    # Another machine has finished this stage: an unfinished copy of it here is no longer needed.
                    shutil.rmtree(here.parent.with_name(f"{here.parent.name}.partial"), ignore_errors=True)
                if not here.exists() or here.stat().st_size != self._fs.size(path):
                    here.parent.mkdir(parents=True, exist_ok=True)
                    partial = here.with_name(f".{here.name}.partial")
                    self._fs.get_file(path, str(partial))
                    partial.replace(here)
                self._put[relative] = _stamp(here)

    def upload(self) -> None:
        """Upload new files, and remove what no longer exists here (the partial folder of a stage that has finished)."""
        with _explained(self._url):
            here = {}
            for path in sorted(self.folder.rglob("*")):
                # A file that is being written or replaced right now is left for the next time.
                with contextlib.suppress(FileNotFoundError):
                    if path.is_file() and not path.name.startswith("."):
                        here[path.relative_to(self.folder).as_posix()] = _stamp(path)
            # A stage's manifest says that the stage is complete, so it is uploaded last.
            for relative, stamp in sorted(here.items(), key=lambda item: (item[0].endswith("manifest.json"), item)):
                if self._put.get(relative) != stamp and self._uploaded(relative):
                    self._put[relative] = stamp
            for relative in [name for name in self._put if name not in here]:
                with contextlib.suppress(FileNotFoundError):
                    self._fs.rm_file(f"{self._root}/{relative}")
                del self._put[relative]

    def _uploaded(self, relative: str) -> bool:
        """Upload a file, and return whether it was still here."""
        here, there = self.folder / relative, f"{self._root}/{relative}"
        try:
            if not self._stores_objects:
                self._fs.makedirs(there.rpartition("/")[0], exist_ok=True)
            self._fs.put_file(str(here), there)
        except FileNotFoundError:
            if here.exists():  # so it is what it was to be put into that is missing
                raise
            return False
        return True


def _open(url: str) -> tuple[_FileSystem, str]:
    import fsspec

    try:
        fs, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        kind = url.partition(":")[0]
        driver = _DRIVERS.get(kind, f"fsspec's driver for {kind}://")
        raise UserError(f"{url}: {driver} is not installed", hint=f"pip install {driver}") from error
    except ValueError as error:
        raise UserError(
            f"{url}: cannot be opened ({first_line(error)})", hint="use a URL that fsspec knows: s3://, gs://, hf://, …"
        ) from error
    fs.invalidate_cache()  # drivers remember what a folder held, and others may have changed it
    return fs, str(path)


def _files(fs: _FileSystem, root: str) -> dict[str, str]:
    """Return the files below a folder, by their path inside it.

    Raises:
        UserError: One of them would end up outside the local folder.
    """
    found = {}
    for path in fs.find(root):
        relative = str(path)[len(root.rstrip("/")) :].lstrip("/")
        if ".." in PurePosixPath(relative).parts or "\\" in relative or not relative:
            raise UserError(f"{root}: a file name leads outside the folder ({relative[:80]!r})")
        found[relative] = str(path)
    return found


def _stamp(path: Path) -> tuple[int, int]:
    held = path.stat()
    return held.st_size, held.st_mtime_ns


def _cache() -> Path:
    return cache_folder().parent / "remote"


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn what a remote file system raises into an error that says what to do."""
    try:
        yield
    except MetierError:
        raise
    except PermissionError as error:
        raise UserError(f"{url}: access denied ({first_line(error)})", hint="check the credentials") from error
    except Exception as error:  # every file system has its own kinds of errors
        raise MetierError(
            f"{url}: {type(error).__name__}: {first_line(error)}", hint="run the same command again to resume"
        ) from error
