"""Makes Ctrl-C and SIGTERM end a process in the same way: what is being written is tidied up, and no traceback."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


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

    Once this is left, the first ends it too: there is nothing more to tidy up, and exit handlers would print a
    traceback. A signal that arrives inside some library's import or finaliser may come out as another error, or get
    lost there: the list that is given holds the signals that have arrived, so that the caller can tell.
    """
    arrived: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        _let_signals_kill()
        raise Stopped(number)

    for known in _SIGNALS:
        if signal.getsignal(known) != signal.SIG_IGN:  # nohup and the like
            signal.signal(known, stop)
    try:
        yield arrived
    finally:
        _let_signals_kill()


def _let_signals_kill() -> None:
    for known in _SIGNALS:
        if signal.getsignal(known) != signal.SIG_IGN:
            signal.signal(known, signal.SIG_DFL)
