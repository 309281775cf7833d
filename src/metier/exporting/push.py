"""Puts an export on the hub, into a repository that is private unless told otherwise."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from metier.core.errors import MetierError, UserError, first_line
from metier.core.net import HUB_SECONDS, hub_answers
from metier.exporting.export import MARK

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """A file that is pushed: its name in the repository, and its bytes."""

    name: str
    nbytes: int


def check_repository(name: str) -> None:
    """Raise an error unless a name is one that the hub takes.

    Raises:
        UserError: It is not owner/name.
    """
    if not _REPOSITORY.fullmatch(name):
        raise UserError(f"--repo: {name!r} is not a repository's name", hint="give owner/name")


def files_of(folder: Path) -> list[File]:
    """Return what of an export is pushed.

    Raises:
        UserError: The folder is no export.
    """
    if not (folder / MARK).exists():
        raise UserError(
            f"{folder}: there is no export in it (no {MARK})", hint="metier export RUN --to FORMAT makes one"
        )
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [File(path.relative_to(folder).as_posix(), path.stat().st_size) for path in paths]


def push(folder: Path, repository: str, *, private: bool = True) -> str:
    """Upload an export's folder and return its address.

    Args:
        folder: The export.
        repository: owner/name; made if it is not there.
        private: Whether a new repository is private. One that is there keeps what it is.

    Raises:
        MetierError: There is no token, the hub does not answer, or it refuses.
    """
    from huggingface_hub import HfApi, constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise MetierError("the hub is turned off (HF_HUB_OFFLINE)", hint="unset it, or use --dry-run")
    if get_token() is None:
        raise MetierError("there is no token for the hub", hint="hf auth login, or set HF_TOKEN; --dry-run needs none")
    if not hub_answers(constants.ENDPOINT):
        raise MetierError(
            f"the hub does not answer within {HUB_SECONDS:.0f} s", hint="check the network; --dry-run needs none"
        )
    api = HfApi()
    try:
        made = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            folder_path=str(folder), repo_id=made.repo_id, commit_message="Add a model exported by Metier"
        )
    except Exception as error:  # the client raises a family of network and repository errors
        raise MetierError(
            f"{repository}: the hub refused it ({first_line(error)})", hint="check the name and the token's rights"
        ) from error
    return str(made)
