"""Products on vLLM's own server: by a script that stands in for it, and, where vLLM is installed, by itself.

The second part runs in vLLM's environment (``make test-vllm``), and in any other that has it in a folder (VLLM=FOLDER,
or .venv-vllm here).
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

import metier
from metier.cli import run_cli
from metier.core.errors import UserError
from metier.serving.app import make_app
from metier.serving.on_vllm import OnVllm
from metier.serving.opening import open_runs
from metier.serving.safety import Gate
from metier.serving.settings import ServeSettings
from metier.tasks.settings import EngineSettings
from tests.engines.fake_vllm import make_environment
from tests.engines.test_vllm import make_adapter as strong_adapter
from tests.engines.test_vllm_process import pids, wait_until_gone
from tests.serving.made import LABELS, make_adapter, write_labels_run, write_model_run
from tests.serving.running import HOME, process, wait_for

VLLM = Path(sys.prefix if find_spec("vllm") else os.environ.get("VLLM", ".venv-vllm"))
TEXTS = ["they utilize the parcel", "the app closes when I search", "I was charged twice for one order"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_environment(tmp_path_factory.mktemp("environment") / "venv")


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the script says what it has started."""
    monkeypatch.setenv("FAKE_VLLM_TOLD", str(tmp_path / "told.json"))
    return tmp_path / "told.json"


@pytest.fixture(scope="module")
def runs(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    adapters = [make_adapter(tiny_model, folder / f"adapter{seed}", seed) for seed in (1, 2)]
    return {
        "mend": write_model_run(folder / "mend", tiny_model, adapter=adapters[0]),
        "other": write_model_run(folder / "other", tiny_model, adapter=adapters[1]),
        "shown": write_model_run(folder / "shown", tiny_model, "few_shot"),
        "routing": write_labels_run(folder / "routing"),
    }


def chat(model: str, text: str = "x", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def test_each_product_is_asked_by_its_adapter_and_the_others_go_on(
    runs: dict[str, Path], environment: Path, told: Path, tiny_model: Path
) -> None:
    served = open_runs(list(runs.values()), base=True, outside=OnVllm(environment))
    try:
        with TestClient(make_app(ServeSettings(base=True), served, Gate()), base_url=HOME) as client:

            def answer(model: str, **more: Any) -> str:
                found = client.post("/v1/chat/completions", json=chat(model, **more)).json()
                return str(found["choices"][0]["message"]["content"])

            first, second = answer("mend").split()[0], answer("other").split()[0]
            assert {first, second} == {"adapter1", "adapter2"}
            assert answer("shown").split()[0] == answer(tiny_model.name).split()[0] == "base"
            classified = client.post("/classify", json={"model": "routing", "input": "the parcel is late"}).json()
            assert classified["data"][0]["label"] == "delivery"
            streamed = client.post("/v1/chat/completions", json=chat("mend", stream=True))
            assert streamed.status_code == 200 and first in streamed.text and "[DONE]" in streamed.text
            refused = client.post("/v1/chat/completions", json=chat("mend", response_format={"type": "json_object"}))
            assert refused.status_code == 400 and refused.json()["error"]["param"] == "response_format"
            assert client.get("/health").status_code == 200
        modules = json.loads(told.read_text())["command"]
        paths = {json.loads(part)["name"]: json.loads(part)["path"] for part in modules if part.startswith("{")}
        assert paths[first] == str((runs["mend"] / "product" / "weights").resolve())
    finally:
        served.close()
    wait_until_gone(told)


def test_when_vllm_dies_requests_and_health_say_so_and_the_server_still_ends(
    runs: dict[str, Path], environment: Path, told: Path
) -> None:
    options = ("--engine", "vllm", "--vllm", str(environment))
    with process([runs["mend"], runs["routing"]], *options) as (server, home):
        with httpx.Client(base_url=home, timeout=60) as client:
            assert client.get("/health").status_code == 200
            assert client.post("/v1/chat/completions", json=chat("mend")).status_code == 200
            os.kill(pids(told)[0], signal.SIGKILL)
            wait_for(lambda: client.get("/health").status_code == 503, seconds=20)
            assert client.get("/health").json()["error"]["code"] == "engine_ended"
            failed = client.post("/v1/chat/completions", json=chat("mend"))
            assert failed.status_code == 503 and "vLLM's server has ended" in failed.json()["error"]["message"]
            assert client.post("/classify", json={"model": "routing", "input": "late"}).status_code == 200
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    wait_until_gone(told)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_vllm_ends_with_the_server(
    runs: dict[str, Path], environment: Path, told: Path, number: signal.Signals
) -> None:
    with process([runs["mend"]], "--engine", "vllm", "--vllm", str(environment)) as (server, _):
        assert len(pids(told)) == 2
        server.send_signal(number)
        assert server.wait(30) == (-number if number == signal.SIGKILL else 0)
    wait_until_gone(told)


def test_what_one_server_cannot_run_is_refused_by_name(
    runs: dict[str, Path],
    environment: Path,
    told: Path,
    tiny_model: Path,
    tiny_base_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = write_model_run(tmp_path / "whole", tiny_model, adapter=tiny_base_model)
    foreign = write_model_run(tmp_path / "foreign", tiny_base_model, "few_shot")
    slow = write_model_run(tmp_path / "slow", tiny_model, "few_shot", engine=EngineSettings(dtype="bfloat16"))
    small = write_model_run(tmp_path / "small", tiny_model, "few_shot", engine=EngineSettings(dtype="int8"))
    for other, why in (
        ([runs["mend"], whole], r"whole.* needs the weights in .*weights, as .*mend"),
        ([runs["mend"], foreign], "foreign.* needs the weights in"),
        ([runs["shown"], slow], "slow.* needs engine.dtype bfloat16, as .*shown"),
        ([small], "small.* measured with engine.dtype int8"),
        ([runs["routing"]], "none of these products asks a language model"),
    ):
        with pytest.raises(UserError, match=why):
            open_runs(other, outside=OnVllm(environment))
    assert not told.exists(), "nothing was started"
    assert run_cli(["serve", str(runs["mend"]), "--vllm", str(environment), "--port", "0"]) == 2
    assert "--vllm: it is for --engine vllm" in capsys.readouterr().err
    # By itself a model that was tuned whole is as good as any other.
    served = open_runs([whole], outside=OnVllm(environment))
    served.close()
    command = json.loads(told.read_text())["command"]
    assert command[command.index("--model") + 1] == str((whole / "product" / "weights").resolve())
    assert "--enable-lora" not in command


# --- vLLM itself


@pytest.fixture(scope="module")
def real(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, dict[str, Path]]]:
    """A client of a server on vLLM, and the runs that it serves: two adapters written, one scored, and the base."""
    if not (VLLM / "bin" / "vllm").is_file():
        pytest.skip(f"vLLM is not in {VLLM} (make vllm-env, or VLLM=FOLDER)")
    folder = tmp_path_factory.mktemp("real")
    made = {seed: strong_adapter(smollm2, folder / str(seed) / "adapter", rank=8 * seed, seed=seed) for seed in (1, 2)}
    runs = {
        "mend": write_model_run(folder / "mend", smollm2, adapter=made[1]),
        "other": write_model_run(folder / "other", smollm2, adapter=made[2]),
        "routing": write_model_run(
            folder / "routing", smollm2, "specialist_constrained", labels=LABELS, adapter=made[2]
        ),
        "scored": write_model_run(folder / "scored", smollm2, "label_scoring_calibrated", labels=LABELS),
    }
    served = open_runs(list(runs.values()), base=True, outside=OnVllm(VLLM))
    with TestClient(make_app(ServeSettings(base=True), served, Gate()), base_url=HOME) as client:
        yield client, runs
    served.close()


@pytest.mark.model
def test_vllm_writes_what_the_product_writes(real: tuple[TestClient, dict[str, Path]]) -> None:
    client, runs = real
    found = {}
    for name in ("mend", "other", "mend"):
        told = client.post("/v1/completions", json={"model": name, "prompt": TEXTS}).json()
        found[name] = [choice["text"] for choice in told["choices"]]
        assert found[name] == metier.load(runs[name])(TEXTS)
    assert found["mend"] != found["other"], "the adapters do something"
    streamed = client.post("/v1/completions", json={"model": "mend", "prompt": TEXTS[0], "stream": True}).text
    events = [json.loads(line.removeprefix("data: ")) for line in streamed.splitlines() if line.startswith("data: {")]
    pieces = [choice["text"] for event in events for choice in event["choices"]]
    assert "".join(pieces) == found["mend"][0] and len(pieces) > 2


@pytest.mark.model
@pytest.mark.parametrize("name", ["routing", "scored"])
def test_vllm_finds_labels_as_likely_as_the_product_does(real: tuple[TestClient, dict[str, Path]], name: str) -> None:
    client, runs = real
    told = client.post("/classify", json={"model": name, "input": TEXTS}).json()
    wanted = metier.load(runs[name]).classify(TEXTS)
    for one, other in zip(told["data"], wanted, strict=True):
        assert other.probabilities is not None
        for mine, theirs in zip(one["probs"], other.probabilities.values(), strict=True):
            assert math.log(mine) == pytest.approx(math.log(theirs), abs=0.05)
