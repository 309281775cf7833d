"""Files elsewhere: data and models are brought here by URL, and a run folder is kept at one (s3://, gs://, hf://, …).

Everything works on this disk; what is elsewhere is a copy of it, by fsspec. A run folder at a URL is worked on in a
local folder of its own: what is there is brought first, so that any machine goes on where another stopped, and what is
new is put there while the run works and when it ends, however it ends. Knows nothing about what the files hold.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from metier.core import storage
from metier.core.cache import cache_folder
from metier.core.errors import MetierError, UserError, first_line

_URL = re.compile(r"[a-z][a-z0-9+.-]+://")
_DRIVERS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
_EVERY = 15.0  # seconds between two looks at what is new in a run's folder


def is_url(name: str) -> bool:
    """Whether a name is a URL that fsspec may open, not a path."""
    return _URL.match(name) is not None


def is_hub_id(name: str) -> bool:
    """Whether a name reads as a data set's hub id: owner/name, with no file's ending (a version's .5 is none)."""
    return bool(re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name)) and not re.search(r"\.[A-Za-z]\w*$", name)


def local(name: str | Path) -> Path:
    """Return a path as it is; what a URL names is brought into the cache, again only if it has changed.

    Raises:
        UserError: There is nothing there, or nothing here that can open it.
        MetierError: It could not be brought.
    """
    if isinstance(name, Path) or not is_url(name):
        return Path(name)
    fs, path = _open(name)
    with _explained(name):
        if not fs.exists(path):
            raise UserError(f"{name}: there is nothing there")
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
    """Hold a run's folder: a path as it is; for a URL the local folder that is kept the same as what is there.

    Two machines must not work on one URL at a time: the local folder is locked, the URL is not.

    Raises:
        UserError: Nothing here can open the URL, or it may not be written.
        MetierError: The last of the run could not be put there; it is still in the local folder.
    """
    if not is_url(name):
        yield Path(name)
        return
    mirror = _Mirror(name)
    mirror.bring()
    stop = threading.Event()

    def keep_putting() -> None:
        while not stop.wait(_EVERY):
            with contextlib.suppress(MetierError, OSError):  # what fails now is tried again, and at the end told
                mirror.put()

    thread = threading.Thread(target=keep_putting, daemon=True)
    thread.start()
    try:
        yield mirror.folder
    finally:
        stop.set()
        thread.join()
        mirror.put()


class _Mirror:
    """A local folder and its copy at a URL."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._fs, self._root = _open(url)
        self._root = self._root.rstrip("/")
        self.folder = _cache() / "runs" / storage.digest(url)[:20] / PurePosixPath(self._root).name
        self._put: dict[str, tuple[int, int]] = {}  # what is there: its size and time when it was put

    def bring(self) -> None:
        """Bring what is not here, or of another size, and note that it is there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with _explained(self._url):
            there = _files(self._fs, self._root) if self._fs.exists(self._root) else {}
            for relative, path in there.items():
                here = self.folder / relative
                if here.name == "manifest.json":
                    # Another machine has finished what may have been begun here.
                    shutil.rmtree(here.parent.with_name(f"{here.parent.name}.partial"), ignore_errors=True)
                if not here.exists() or here.stat().st_size != self._fs.size(path):
                    here.parent.mkdir(parents=True, exist_ok=True)
                    partial = here.with_name(f".{here.name}.partial")
                    self._fs.get_file(path, str(partial))
                    partial.replace(here)
                self._put[relative] = _stamp(here)

    def put(self) -> None:
        """Put what is new there, and take away what is no longer here (an unfinished stage's folder, once it is)."""
        with _explained(self._url):
            here = {}
            for path in sorted(self.folder.rglob("*")):
                # A file that is being written, or was replaced meanwhile, is left for the next look.
                with contextlib.suppress(FileNotFoundError):
                    if path.is_file() and not path.name.startswith("."):
                        here[path.relative_to(self.folder).as_posix()] = _stamp(path)
            # A stage's manifest says that the stage is whole, so it comes after the rest of it.
            for relative, stamp in sorted(here.items(), key=lambda item: (item[0].endswith("manifest.json"), item)):
                if self._put.get(relative) != stamp:
                    with contextlib.suppress(FileNotFoundError):
                        self._fs.makedirs(f"{self._root}/{relative}".rpartition("/")[0], exist_ok=True)
                        self._fs.put_file(str(self.folder / relative), f"{self._root}/{relative}")
                        self._put[relative] = stamp
            for relative in [name for name in self._put if name not in here]:
                with contextlib.suppress(FileNotFoundError):
                    self._fs.rm_file(f"{self._root}/{relative}")
                del self._put[relative]


def _open(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        fs, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        kind = url.partition(":")[0]
        driver = _DRIVERS.get(kind, f"fsspec's driver for {kind}://")
        raise UserError(f"{url}: {driver} is not installed", hint=f"pip install {driver}") from error
    except ValueError as error:
        raise UserError(
            f"{url}: cannot be opened ({first_line(error)})", hint="s3://, gs://, hf:// and others of fsspec's"
        ) from error
    return fs, str(path)


def _files(fs: Any, root: str) -> dict[str, str]:
    """Return the files below a folder, by their path inside it.

    Raises:
        UserError: One of them would not lie inside it here.
    """
    found = {}
    for path in fs.find(root):
        relative = str(path)[len(root.rstrip("/")) :].lstrip("/")
        if ".." in PurePosixPath(relative).parts or "\\" in relative or not relative:
            raise UserError(f"{root}: holds a file with a name that cannot be kept here ({relative[:80]!r})")
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
        raise UserError(f"{url}: access is refused ({first_line(error)})", hint="check the credentials") from error
    except Exception as error:  # every file system has kinds of its own
        raise MetierError(
            f"{url}: {type(error).__name__}: {first_line(error)}", hint="the same command continues where it was"
        ) from error
