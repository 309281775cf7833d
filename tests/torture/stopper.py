"""Stops a command at random moments, by signals in turn, and starts it again each time until it comes to its end.

``python -m tests.torture.stopper STOPS FOLDER ARGUMENT…`` runs the command in children of a process that has imported
everything already: first left alone, then stopped STOPS times in all, over as many ends as that takes. In the arguments
``{out}`` is a folder in FOLDER: ``alone``, then ``0``, ``1``, …; the moments are drawn by that number, as shares of the
time that the command takes when it is left alone. What came of each start is a line of JSON on standard output.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from tests.runs.killer import import_all

_EARLIEST = 0.05  # seconds until a child has become the command
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
CODES = {"SIGKILL": -9, "SIGTERM": 143, "SIGINT": 130}


@dataclasses.dataclass(frozen=True)
class Start:
    """One start of a command: into which folder, when which signal came, and what came of it.

    ``code`` is negative where a signal ended it, as `os.waitstatus_to_exitcode` has it.
    """

    out: str
    signal: str | None
    when: float | None
    code: int
    printed: str
    seconds: float

    @property
    def stopped(self) -> bool:
        """Whether the signal ended it."""
        return self.code in CODES.values()


def main(stops: int, folder: Path, arguments: list[str]) -> None:
    """Run the command to its end as often as it takes to stop it so many times on the way."""
    import_all()
    alone = start(folder / "alone", arguments)
    told(alone)
    if alone.code < 0:
        return
    turn = itertools.cycle(SIGNALS)
    for end in itertools.count():
        draw = random.Random(end)
        while True:
            # Mostly early ones: a command that is stopped at its middle each time ends after two.
            when = _EARLIEST + alone.seconds * draw.random() ** 2 if stops else None
            made = start(folder / str(end), arguments, next(turn) if stops else None, when)
            told(made)
            if not made.stopped:
                break
            stops -= 1
        if not stops:
            return


def told(made: Start) -> None:
    """Print a start as a line of JSON."""
    print(json.dumps(dataclasses.asdict(made)), flush=True)


def start(folder: Path, arguments: list[str], number: signal.Signals | None = None, when: float | None = None) -> Start:
    """Run the command in a child, and send it a signal after so many seconds."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryFile() as printed:
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            _be([a.replace("{out}", str(folder)) for a in arguments], printed.fileno())
        if number is not None and when is not None:
            time.sleep(when)
            os.kill(child, number)  # it may have ended: until it is waited for, its number is its own
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        seconds = time.monotonic() - began
        printed.seek(0)
        said = printed.read().decode(errors="replace")
    return Start(folder.name, number.name if number is not None else None, when, code, said[-3000:], seconds)


def _be(arguments: list[str], output: int) -> NoReturn:
    """Be the command, as its script would be."""
    from metier.__main__ import main as metier

    os.dup2(output, 1)
    os.dup2(output, 2)
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


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
