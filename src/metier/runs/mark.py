"""The mark beside a run's weights: which tasks they answer, how each is asked, and what the run ended with.

Whoever finds the weights without the rest of the run can tell by it what they are for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from metier.core import storage
from metier.core.codec import CodecError, decode, encode
from metier.core.errors import MetierError, UserError
from metier.core.records import Verdict
from metier.report.facts import PromptTemplate

NAME = "metier.json"


@dataclasses.dataclass(frozen=True, slots=True)
class MarkedTask:
    """One task that weights answer.

    Attributes:
        instruction: What the model is told to do.
        ships: Key of the System that the run ended with for it: ``specialist`` if it was these weights.
        verdict: What was shown; None where nothing could be.
        prompt: How the model is asked.
    """

    instruction: str
    ships: str | None
    verdict: Verdict | None
    prompt: PromptTemplate | None


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """What weights are for: the run's name, and its tasks by name."""

    run: str
    tasks: Mapping[str, MarkedTask]


def write_mark(folder: Path, mark: Mark) -> None:
    """Write the mark into the folder of the weights."""
    storage.write_json(folder / NAME, encode(mark))


def read_mark(path: Path) -> Mark:
    """Read a mark.

    Raises:
        UserError: It cannot be read, or another version of Metier wrote it.
    """
    try:
        return decode(Mark, storage.read_json(path))
    except (OSError, CodecError, MetierError) as error:
        raise UserError(
            f"{path}: cannot be read ({error})", hint="the same metier run command writes it again"
        ) from error
