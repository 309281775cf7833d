"""Stops a command at random moments, by signals in turn, and starts it again each time until it comes to its end.

``python -m tests.torture.stopper SEED STOPS SECONDS ARGUMENT…`` runs the command in children of a process that has imported
everything already. The moments are drawn by the seed, as shares of SECONDS, which the command takes when it is left
alone. What came of each start is a line of JSON on standard output: the signal, the exit status as
`os.waitstatus_to_exitcode` has it, and what was printed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable

from tests.runs.killer import import_all

_EARLIEST = 0.05  # seconds until a child has become the command
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def main(seed: int, stops: int, seconds: float, arguments: list[str]) -> None:
    """Start the command until it has been stopped ``stops`` times or ends by itself; then once more to its end.

    Args:
        seed: Draws the moments.
        stops: How many there may be.
        seconds: How long the command takes when it is left alone.
        arguments: The command's.
    """
    import_all()
    draw = random.Random(seed)
    for i in range(stops):
        # Mostly early ones: a run that is stopped at the middle each time ends after two.
        after = _EARLIEST + seconds * draw.random() ** 2
        number = SIGNALS[(seed + i) % len(SIGNALS)]
        told = start(arguments, lambda pid, n=number, s=after: _kill_after(pid, n, s))
        print(json.dumps({"signal": number.name, "after": round(after, 3), **told}), flush=True)
        if told["code"] == 0:
            return
    print(json.dumps({"signal": None, "after": None, **start(arguments)}), flush=True)


def start(arguments: list[str], stop: Callable[[int], None] | None = None) -> dict[str, object]:
    """Run the command in a child, and return its exit status, what it printed to standard error, and the seconds."""
    with tempfile.TemporaryFile() as printed:
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            _as_a_command(arguments, printed.fileno())
        if stop is not None:
            stop(child)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        printed.seek(0)
        told = printed.read().decode(errors="replace")
    return {"code": code, "stderr": told[-3000:], "seconds": round(time.monotonic() - began, 3)}


def _as_a_command(arguments: list[str], stderr: int) -> None:
    """Be the command, as its script would be, and never return."""
    from metier.cli import main as metier

    os.dup2(stderr, 1)
    os.dup2(stderr, 2)
    sys.argv = ["metier", *arguments]
    code = 1
    try:
        metier()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _kill_after(pid: int, number: signal.Signals, seconds: float) -> None:
    time.sleep(seconds)
    os.kill(pid, number)  # it may have ended: until it is waited for, its number is its own


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:])
