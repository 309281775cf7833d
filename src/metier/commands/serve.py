"""``metier serve``: what runs ended with, over HTTP, and a page to use it."""

from __future__ import annotations

import enum
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metier.commands.options import quieten_libraries
from metier.core.errors import UserError

if TYPE_CHECKING:
    import socket

    from metier.serving.served import Served
    from metier.serving.settings import ServeSettings


class Engine(enum.StrEnum):
    """What may run products in place of the engines that their runs have used."""

    llamacpp = "llamacpp"
    vllm = "vllm"


def serve(
    runs: Annotated[
        list[str],
        typer.Argument(help="Folders of finished runs, or their URLs.", metavar="RUN…", show_default=False),
    ],
    host: Annotated[str, typer.Option("--host", help="Where to listen; another host than this needs --key-env.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", help="On which port.", min=0, max=65535)] = 8000,
    base: Annotated[bool, typer.Option("--base", help="Serve the base models of the products too.")] = False,
    key_env: Annotated[
        str | None, typer.Option("--key-env", help="Environment variable with the key that requests must bring.")
    ] = None,
    engine: Annotated[
        Engine | None,
        typer.Option(
            "--engine",
            help="Run the products' models by another tool: vLLM's own server, or llama.cpp (with rounded numbers).",
        ),
    ] = None,
    vllm: Annotated[
        Path | None,
        typer.Option("--vllm", help="vLLM's environment; default: .venv-vllm here, or the vllm on the PATH."),
    ] = None,
    feedback: Annotated[bool, typer.Option("--feedback", help="Take down corrections in RUN/feedback.jsonl.")] = False,
    queue: Annotated[int, typer.Option("--queue", help="Requests that wait at most.", min=1)] = 256,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds that a request may take.", min=0.1)] = 120.0,
    log_text: Annotated[bool, typer.Option("--log-text", help="Log what is asked and answered.")] = False,
) -> None:
    """Serve what runs ended with: OpenAI's API, labels with probabilities, rewriting, and a page to try them.

    Answers are those that evaluation measured. Ctrl-C or SIGTERM finishes what is being answered.
    """
    quieten_libraries()
    from metier.core.remote import is_url, local
    from metier.serving.settings import LOOPBACK, ServeSettings

    key = _key(key_env)
    if key is None and host not in LOOPBACK:
        raise UserError(
            f"--host {host}: others than this machine's users can reach it, so a key is needed",
            hint="put one into an environment variable and name that with --key-env",
        )
    if feedback and (remote := next(filter(is_url, runs), None)) is not None:
        raise UserError(f"--feedback: corrections are not written to {remote}", hint="copy the run to this machine")
    if vllm is not None and engine is not Engine.vllm:
        raise UserError("--vllm: it is for --engine vllm", hint="add --engine vllm, or leave --vllm out")
    settings = ServeSettings(host, port, key, base, feedback, queue, timeout, log_text)
    _run(settings, [local(run) for run in runs], engine, vllm)


def _run(settings: ServeSettings, folders: list[Path], engine: Engine | None, vllm: Path | None) -> None:
    try:
        from metier.serving.server import listening
    except ImportError as error:
        raise UserError(f"serve: {error.name} is not installed", hint="pip install 'metier[serve]'") from error
    from metier.serving.on_vllm import OnVllm
    from metier.serving.opening import open_runs

    where = listening(settings)
    outside = OnVllm(vllm) if engine is Engine.vllm else None
    served = open_runs(folders, base=settings.base, llamacpp=engine is Engine.llamacpp, outside=outside)
    try:
        _answer(settings, served, where)
    finally:
        served.close()


def _answer(settings: ServeSettings, served: Served, where: socket.socket) -> None:
    from metier.serving.server import serve as answer

    host, port = where.getsockname()[:2]
    for one in served.products.values():
        print(f"{one.name}: {one.product.title}")
    for name in served.bases:
        print(f"{name}: base model")
    shown = f"[{host}]" if ":" in host else host
    answer(settings, served, where, lambda: print(f"serving on http://{shown}:{port}/", flush=True))


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UserError(f"--key-env {variable}: this environment variable is not set", hint=f"export {variable}=…")
    return key
