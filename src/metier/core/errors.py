"""The errors Metier raises on purpose, and the exit code of each.

A message says what is wrong and where; a hint says what to do about it.
"""

from __future__ import annotations


class MetierError(Exception):
    """Something failed that is not the user's mistake (exit code 1).

    Args:
        message: What was wrong and where (file and line, or key).
        hint: What to do about it; printed on its own line.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UserError(MetierError):
    """The user's mistake: a wrong file, key, value or name (exit code 2)."""

    exit_code = 2


class GateError(MetierError):
    """The run finished, but did not show the gain that ``--gate`` requires (exit code 1)."""


class NotEnoughData(MetierError):
    """There is too little to learn from, as where the model could not write enough training pairs (exit code 1)."""


_NO_MEMORY = ("failed to map segment", "allocate memory", "unable to allocate", "out of memory", "memory allocation")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was short, whichever library noticed: importing one takes some too."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(words in said for words in _NO_MEMORY)


def first_line(error: BaseException) -> str:
    """Return the first line of another library's error message, cut to 300 characters."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]
