"""``metier serve`` as a process: what it prints, how it ends, and what it does for a client that has gone."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from metier.cli import run_cli
from metier.serving.server import listening
from metier.serving.settings import ServeSettings
from tests.serving.made import write_labels_run, write_model_run
from tests.serving.running import process, wait_for

SECRET = "the secret of the parcel"


@pytest.fixture(scope="module")
def runs(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return {
        "routing": write_labels_run(folder / "routing"),
        "long": write_model_run(folder / "long", tiny_model, max_tokens=900),
    }


def stream(client: httpx.Client) -> Any:
    body = {"model": "long", "messages": [{"role": "user", "content": SECRET}], "stream": True}
    return client.stream("POST", "/v1/chat/completions", json=body)


def running(client: httpx.Client) -> float:
    (line,) = [x for x in client.get("/metrics").text.splitlines() if x.startswith("metier:num_requests_running ")]
    return float(line.split()[-1])


def test_a_client_that_goes_stops_its_stream_and_a_signal_waits_for_the_others(runs: dict[str, Path]) -> None:
    with process([runs["long"], runs["routing"]]) as (server, home), httpx.Client(base_url=home, timeout=60) as client:
        with httpx.Client(base_url=home, timeout=60) as going, stream(going) as answer:
            lines = answer.iter_lines()  # kept: one that is thrown away closes the connection
            next(lines)
            wait_for(lambda: running(client) == 1)
        wait_for(lambda: running(client) == 0, seconds=10)
        assert "generation_tokens_total{" not in client.get("/metrics").text, "it was not written to its end"

        with httpx.Client(base_url=home, timeout=60) as other, stream(other) as answer:
            lines = answer.iter_lines()
            next(lines)
            server.send_signal(signal.SIGTERM)
            wait_for(lambda: client.get("/health").status_code == 503)
            refused = client.post("/classify", json={"model": "routing", "input": SECRET})
            assert refused.status_code == 503 and refused.headers["retry-after"]
            assert refused.json()["error"]["code"] == "stopping"
            events = [line for line in lines if line]
            assert events[-1] == "data: [DONE]" and len(events) > 100
        assert server.wait(30) == 0
        told = server.stderr.read() if server.stderr else ""
        assert SECRET not in told and "Traceback" not in told


def test_text_is_logged_only_if_asked_for_and_the_port_can_be_taken_again(runs: dict[str, Path]) -> None:
    with process([runs["routing"]], "--log-text") as (server, home):
        httpx.post(f"{home}/classify", json={"model": "routing", "input": SECRET})
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0
        told = server.stderr.read() if server.stderr else ""
    assert json.loads(told.splitlines()[-1]) == {"model": "routing", "asked": SECRET, "answered": ["delivery"]}
    listening(ServeSettings(port=int(home.rpartition(":")[2]))).close()


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def test_mistakes_end_with_2_and_a_line(
    runs: dict[str, Path],
    taken: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = str(runs["routing"])
    monkeypatch.setenv("EMPTY_KEY", " ")
    for arguments, why in (
        ([run, "--port", str(taken)], f"127.0.0.1:{taken}: cannot listen there (Address already in use)"),
        ([run, "--host", "0.0.0.0"], "so a key is needed"),
        ([run, "--host", "0.0.0.0", "--key-env", "NO_SUCH_KEY"], "NO_SUCH_KEY: this environment variable is not set"),
        ([run, "--key-env", "EMPTY_KEY"], "EMPTY_KEY: this environment variable is not set"),
        (["s3://bucket/run", "--feedback"], "corrections are not written to s3://bucket/run"),
        ([run, "--base"], "none of these products asks a language model"),
        ([run, run], "is named routing too"),
        ([str(tmp_path)], "there is no product in it"),
        ([str(tmp_path / "none")], "no such folder"),
        ([run, "--port", "70000"], "--port"),
        ([run, "--queue", "0"], "--queue"),
    ):
        free = [] if "--port" in arguments else ["--port", "0"]
        assert run_cli(["serve", *arguments, *free]) == 2, arguments
        error = capsys.readouterr().err
        assert why in error and "Traceback" not in error


def test_without_the_extra_the_command_says_what_to_install(runs: dict[str, Path]) -> None:
    code = (
        "import sys; sys.modules['fastapi'] = None; from metier.cli import run_cli; "
        f"sys.exit(run_cli(['serve', {str(runs['routing'])!r}, '--port', '0']))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 2 and "pip install 'metier[serve]'" in ended.stderr


def test_a_response_in_two_parts_is_not_held_back() -> None:
    """Else every response would wait 40 ms for its client to acknowledge the head."""
    found: list[int] = []

    class Connected(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            found.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            transport.close()

    async def connect() -> None:
        with listening(ServeSettings(port=0)) as where:
            server = await asyncio.get_running_loop().create_server(Connected, sock=where)
            async with server:
                reader, writer = await asyncio.open_connection(*where.getsockname())
                await reader.read()
                writer.close()

    asyncio.run(connect())
    assert found == [1]
