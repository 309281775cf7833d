"""Makes Ctrl-C and SIGTERM end a process in the same way: what is being written is tidied up, and no traceback."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType

RESUMES = "stopped; the same command resumes"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_AGAIN = 1.0  # seconds until a process that took no notice is told once more


class Stopped(BaseException):
    """This process was told to stop. No error, so that nothing that handles errors takes it for one.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by signal {number}")
        self.exit_code = exit_code(number)


def exit_code(number: int) -> int:
    """Return what shells expect of a process that a signal has stopped: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + number


@contextlib.contextmanager
def stoppable() -> Iterator[list[int]]:
    """Raise `Stopped` in the main thread at the first of these signals; a second one ends the process at once.

    What is raised inside a library's finaliser or callback is printed there at most, and lost: so it is raised again
    until the stack is being unwound. Inside an import it may come out as another error: the list that is given holds
    the signals that have arrived, so that the caller can tell. Once this is left, there is nothing to tidy up any more,
    and a signal ends the process without a word.
    """
    arrived: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        _let_signals_kill()
        if hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, again)
            signal.setitimer(signal.ITIMER_REAL, _AGAIN, _AGAIN)
        raise Stopped(number)

    def again(number: int, frame: FrameType | None) -> None:
        if not _is_unwinding():
            raise Stopped(arrived[0])

    for known in _SIGNALS:
        if signal.getsignal(known) != signal.SIG_IGN:  # nohup and the like
            signal.signal(known, stop)
    try:
        yield arrived
    finally:
        _let_signals_kill()
        if arrived and hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)


def _is_unwinding() -> bool:
    """Whether the main thread is on its way out: in a ``finally`` or the like, while `Stopped` passes."""
    error = sys.exception()
    while error is not None and not isinstance(error, Stopped):
        error = error.__context__
    return error is not None


def _let_signals_kill() -> None:
    for known in _SIGNALS:
        if signal.getsignal(known) != signal.SIG_IGN:
            signal.signal(known, signal.SIG_DFL)
