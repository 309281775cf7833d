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
    from metier.serving.settings import ServeSettings


class Engine(enum.StrEnum):
    """What may run a product in place of the engine that its run has used."""

    llamacpp = "llamacpp"


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
        Engine | None, typer.Option("--engine", help="Run one product by its exported GGUF file instead.")
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
    settings = ServeSettings(host, port, key, base, feedback, queue, timeout, log_text)
    folders = [local(run) for run in runs]
    _run(settings, folders, llamacpp=engine is Engine.llamacpp)


def _run(settings: ServeSettings, folders: list[Path], *, llamacpp: bool) -> None:
    try:
        from metier.serving.server import listening
        from metier.serving.server import serve as answer
    except ImportError as error:
        raise UserError(f"serve: {error.name} is not installed", hint="pip install 'metier[serve]'") from error
    from metier.serving.opening import open_runs

    where = listening(settings)
    served = open_runs(folders, base=settings.base, llamacpp=llamacpp)
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
