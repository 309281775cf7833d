"""The mark beside a run's weights: which tasks they answer, how each is asked, and whether to use them for it.

`metier rewrite` finds a model by it without the rest of the run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

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
        recommended: Which model the run found to be better.
        verdict: What was shown; None where nothing could be.
        prompt: How the model is asked.
    """

    instruction: str
    recommended: Literal["specialist", "base"]
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
