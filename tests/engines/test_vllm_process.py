"""vLLM's server as a process: how it is found, started and asked, and that nothing is left. A script stands in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metier.core.errors import MetierError, UserError
from metier.core.progress import Reporter
from metier.engines import vllm_child, vllm_process
from metier.engines.base import EngineGone, GenerationRequest, ScoringRequest, Streams
from metier.engines.end_tokens import end_tokens_in
from metier.engines.prompts import Prompt
from metier.engines.vllm_process import BASE, VllmModel, VllmProcess, python_with_vllm
from metier.engines.vllm_server import VllmServerEngine
from metier.models.tokenizer import Tokenizer
from tests.engines.fake_vllm import FACTOR, make_environment

CONTEXT = 128
QUIET = Reporter(quiet=True)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_environment(tmp_path_factory.mktemp("environment") / "venv")


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the script says what it has started."""
    monkeypatch.setenv("FAKE_VLLM_TOLD", str(tmp_path / "told.json"))
    return tmp_path / "told.json"


@pytest.fixture
def process(environment: Path, tiny_model: Path, told: Path) -> Iterator[VllmProcess]:
    made = VllmProcess(python_with_vllm(environment))
    made.start(VllmModel(tiny_model, CONTEXT, "float32"), {"one": adapter(told.parent, 20)}, QUIET)
    yield made
    made.close()


def adapter(folder: Path, rank: int) -> Path:
    (folder / "adapter_config.json").write_text(json.dumps({"r": rank}))
    return folder


def engine(process: VllmProcess, model: Path, name: str = BASE) -> VllmServerEngine:
    from transformers import AutoTokenizer

    tokenizer: Tokenizer = AutoTokenizer.from_pretrained(str(model))
    return VllmServerEngine(process, name, tokenizer, end_tokens_in(model, tokenizer), CONTEXT)


def pids(told: Path) -> list[int]:
    return list(json.loads(told.read_text())["pids"])


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has asked for its exit code has."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until_gone(told: Path, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not all(map(gone, pids(told))):
        assert time.monotonic() < end, "a process is left"
        time.sleep(0.05)


def test_an_engine_asks_for_its_model_with_tokens(process: VllmProcess, tiny_model: Path) -> None:
    base, tuned = engine(process, tiny_model), engine(process, tiny_model, "one")
    asked = [GenerationRequest(Prompt("the parcel" * i), samples=2, max_tokens=4) for i in (1, 3)]
    sizes = base.count_tokens([one.prompt.text for one in asked])
    assert [one.texts for one in base.generate(asked)] == [(f"base {size}",) * 2 for size in sizes]
    assert tuned.generate(asked)[0].texts[0] == f"one {sizes[0]}" and tuned.stats.generated_tokens == 4
    # An end of turn that stands in an input is text, and has more than one token.
    (alone,) = base.count_tokens(["x"])
    (found,) = base.generate([GenerationRequest(Prompt("x<|im_end|>", data=((0, 11),)), max_tokens=4)])
    assert int(found.texts[0].split()[1]) > alone + 1


def test_a_stream_comes_in_pieces(process: VllmProcess, tiny_model: Path) -> None:
    made = engine(process, tiny_model, "one")
    request = GenerationRequest(Prompt("the parcel"), max_tokens=4)
    pieces = list(made.stream(request))
    assert isinstance(made, Streams) and pieces[:2] == ["one", " "] and made.stats.generated_tokens == 2
    assert "".join(pieces) == made.generate([request])[0].texts[0]


def test_labels_are_scored_token_by_token_with_their_end(process: VllmProcess, tiny_model: Path) -> None:
    made = engine(process, tiny_model)
    labels = ("billing", "billing later", "delivery")
    done: list[int] = []
    found = made.score([ScoringRequest(Prompt("x" * i), labels) for i in (1, 5)], lambda n, _: done.append(n))
    ends = [[*made._tokens(label), made._tokenizer.eos_token_id] for label in labels]
    for one in found:
        assert one.logprobs == pytest.approx([FACTOR * sum(end) for end in ends])
        assert one.tokens == tuple(map(len, ends))
    assert done == sorted(done) and done[-1] == 2


def test_it_is_started_as_evaluation_asks_and_for_this_user_alone(process: VllmProcess, told: Path) -> None:
    command = json.loads(told.read_text())["command"]
    socket = Path(command[command.index("--uds") + 1])
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    assert {"--no-enable-chunked-prefill", "--enable-lora"} <= set(command), "it is told that it is on a processor"
    for name, value in (("--dtype", "float32"), ("--max-lora-rank", "32"), ("--generation-config", "vllm")):
        assert command[command.index(name) + 1] == value
    key = process.server(BASE, 1).key
    assert key and key not in " ".join(command) and key not in repr(process.server(BASE, 1))


def test_without_its_key_nobody_is_answered(process: VllmProcess) -> None:
    import httpx

    socket = process.server(BASE, 1).socket
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket))) as client:
        assert client.post("http://vllm/v1/completions", json={"model": BASE, "prompt": [1]}).status_code == 401


def test_nothing_is_left_when_it_is_closed(process: VllmProcess, told: Path) -> None:
    folder = process.server(BASE, 1).socket
    process.close()
    wait_until_gone(told, 1)
    assert folder is not None and not folder.parent.exists()


def test_its_death_is_told_and_takes_the_rest_of_it_along(process: VllmProcess, tiny_model: Path, told: Path) -> None:
    made = engine(process, tiny_model)
    asked = [GenerationRequest(Prompt("x"), max_tokens=4)]
    made.generate(asked)
    assert process.ended is None
    os.kill(pids(told)[0], signal.SIGKILL)
    wait_until_gone(told)
    end = time.monotonic() + 20
    while process.ended is None and time.monotonic() < end:
        time.sleep(0.05)
    with pytest.raises(EngineGone, match="vLLM's server has ended .exit code 137"):
        made.generate(asked)


def test_what_it_was_answering_when_it_died_fails_so_too(
    environment: Path, tiny_model: Path, told: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VLLM", "slow")
    request = GenerationRequest(Prompt("x"), max_tokens=4)
    for streams in (False, True):
        process = VllmProcess(python_with_vllm(environment))
        process.start(VllmModel(tiny_model, CONTEXT), {}, QUIET)
        made = engine(process, tiny_model)
        threading.Timer(1.0, os.kill, (pids(told)[0], signal.SIGKILL)).start()
        with pytest.raises(EngineGone, match="has ended"):
            list(made.stream(request)) if streams else made.generate([request])
        process.close()


def test_what_does_not_fit_is_refused_before_it_is_sent(process: VllmProcess, tiny_model: Path) -> None:
    with pytest.raises(MetierError, match="request 1: .* do not fit"):
        made = engine(process, tiny_model)
        made.generate([GenerationRequest(Prompt("parcel " * n), max_tokens=4) for n in (1, CONTEXT)])


def test_one_that_cannot_load_says_why(
    environment: Path, tiny_model: Path, told: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VLLM", "fails")
    made = VllmProcess(python_with_vllm(environment))
    with pytest.raises(MetierError, match=r"exit code 3.*while it was loading(.|\n)*too large for this machine"):
        made.start(VllmModel(tiny_model, CONTEXT), {}, QUIET)
    wait_until_gone(told)


def test_one_that_never_answers_is_given_up(
    environment: Path,
    tiny_model: Path,
    told: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FAKE_VLLM", "hangs")
    monkeypatch.setattr(vllm_process, "_PATIENCE", 3.0)
    monkeypatch.setattr(vllm_process, "_SAYS", 1.0)
    made = VllmProcess(python_with_vllm(environment))
    with pytest.raises(MetierError, match=r"does not answer after 3 s(.|\n)*loading"):
        made.start(VllmModel(tiny_model, CONTEXT), {}, Reporter())
    assert "vLLM is loading, " in capsys.readouterr().err
    wait_until_gone(told)


STARTS = """
import sys, time
from pathlib import Path
from metier.core.progress import Reporter
from metier.engines.vllm_process import VllmModel, VllmProcess, python_with_vllm
made = VllmProcess(python_with_vllm(Path(sys.argv[1])))
made.start(VllmModel(Path(sys.argv[2]), 128), {}, Reporter(quiet=True))
print("ready", flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("loading", [True, False])
def test_it_ends_with_a_process_that_is_killed(
    environment: Path, tiny_model: Path, told: Path, monkeypatch: pytest.MonkeyPatch, loading: bool
) -> None:
    if loading:
        monkeypatch.setenv("FAKE_VLLM", "hangs")
    command = [sys.executable, "-c", STARTS, str(environment), str(tiny_model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ) as owner:
        assert owner.stdout is not None
        if loading:
            end = time.monotonic() + 60
            while not (told.exists() and told.read_text()) and time.monotonic() < end:
                time.sleep(0.05)
        else:
            assert owner.stdout.readline() == b"ready\n"
        owner.kill()
        wait_until_gone(told)
        command = json.loads(told.read_text())["command"]
        folder, end = Path(command[command.index("--uds") + 1]).parent, time.monotonic() + 20
        while folder.exists():
            assert time.monotonic() < end, "its folder is left"
            time.sleep(0.05)


def test_where_vllm_is_looked_for(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"no \.venv-vllm here, and no vllm on the PATH") as missing:
        python_with_vllm(None)
    assert missing.value.hint is not None and "make vllm-env" in missing.value.hint
    with pytest.raises(UserError, match=f"--vllm {tmp_path}: there is no vLLM"):
        python_with_vllm(tmp_path)
    (environment / "bin" / "vllm").chmod(0o755)
    monkeypatch.setenv("PATH", str(environment / "bin"))
    assert python_with_vllm(None) == environment / "bin" / "python"
    (tmp_path / ".venv-vllm").symlink_to(environment)
    assert python_with_vllm(None) == tmp_path / ".venv-vllm" / "bin" / "python"


def test_precision_is_that_of_the_other_engines() -> None:
    wanted: dict[str, Any] = {
        "model": "m",
        "options": {"dtype": "auto", "uds": "s", "x": None, "y": ["1", "2"]},
        "on_cpu": {"dtype": "float32", "z": "3"},
    }
    on_gpu = ["--model", "m", "--dtype", "bfloat16", "--uds", "s", "--x", "--y", "1", "2"]
    assert vllm_child.arguments(wanted, False, True) == on_gpu
    assert "float32" in vllm_child.arguments(wanted, False, False)
    assert vllm_child.arguments(wanted, True, True)[3] == "float32"
    assert vllm_child.arguments(wanted, True, True)[-2:] == ["--z", "3"]
