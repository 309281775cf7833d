"""Runs vLLM's own server: `vllm_process.py` starts this file with the Python of vLLM's environment.

So it imports nothing of Metier, which need not be installed there. Two processes run it: vLLM, which starts more in its
own process group, and one that watches. Standard input is a pipe into which nobody writes: it ends when whoever started
this ends, however that happens, and then the watcher ends the whole group.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

_GRACE = 10.0  # seconds to end by itself


def main(wanted: dict[str, Any]) -> int:
    """Run the server until it ends, or until standard input does.

    Args:
        wanted: What `arguments` takes, but for what is known only here.

    Returns:
        The server's exit code, or 128 and the signal that ended it.
    """
    group = os.fork()
    if group == 0:
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        _serve(wanted)
        return 0
    with contextlib.suppress(OSError):  # the child may have been faster, and may have ended
        os.setpgid(group, group)
    threading.Thread(target=_end_with_the_pipe, args=(group,), daemon=True).start()
    status = os.waitstatus_to_exitcode(os.waitpid(group, 0)[1])
    _kill(group, signal.SIGKILL)  # what it has left behind
    # Whoever started this may have been killed.
    shutil.rmtree(Path(wanted["options"]["uds"]).parent, ignore_errors=True)
    return status if status >= 0 else 128 - status


def arguments(wanted: dict[str, Any], on_cpu: bool, bfloat16: bool) -> list[str]:
    """Return vLLM's command line.

    Args:
        wanted: ``model``, a folder; ``options`` by vLLM's names, each with a text, a list of texts, or None; and under
            ``on_cpu`` those that replace or join them on a processor.
        on_cpu: Whether this vLLM runs on processors.
        bfloat16: Whether the GPU multiplies it.
    """
    options = {**wanted["options"], **(wanted["on_cpu"] if on_cpu else {})}
    if options["dtype"] == "auto":  # as `metier.models.load` has it: vLLM's own choice goes by the files
        options["dtype"] = "bfloat16" if bfloat16 else "float32"
    parts = ["--model", wanted["model"]]
    for name, value in options.items():
        parts += [f"--{name}", *([] if value is None else [value] if isinstance(value, str) else value)]
    return parts


def _serve(wanted: dict[str, Any]) -> None:
    from vllm.platforms import current_platform

    on_cpu = current_platform.is_cpu()
    sys.argv = ["vllm", *arguments(wanted, on_cpu, on_cpu or current_platform.has_device_capability(80))]
    # Not the command itself, `vllm serve`: in the build for processors it does not find its own version.
    runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__")


def _end_with_the_pipe(group: int) -> None:
    os.read(0, 1)
    _kill(group, signal.SIGTERM)
    time.sleep(_GRACE)
    _kill(group, signal.SIGKILL)


def _kill(group: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.path.pop(0)  # this file's folder: its vllm.py is not the one that is meant
    sys.exit(main(json.loads(sys.argv[1])))
