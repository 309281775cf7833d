"""vLLM inside Ray's workers, opened as a run opens it: the same answers when a worker is killed.

Runs where vLLM is installed (``make test-vllm``). Each worker loads vLLM, so this takes minutes.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from metier.engines.base import Engine, GenerationRequest, ScoringRequest
from metier.engines.pool import WorkerPool
from metier.engines.prompts import Prompt
from metier.engines.shards import first_texts, in_shards, logprobs
from metier.models.locate import resolve_model
from metier.steps.slot import Running, Slot
from metier.tasks.settings import EngineSettings, LaunchSettings

pytestmark = [
    pytest.mark.model,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed (make test-vllm)"),
]
ASK = "<|im_start|>user\nName a {}.<|im_end|>\n<|im_start|>assistant\n"
WORDS = ("colour", "planet", "fruit", "river", "city", "tool")


@pytest.fixture(params=["here", "a cluster by its address"])
def pool(request: pytest.FixtureRequest, smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """What a run has with engine.kind=vllm and two workers, on this machine or on a running cluster."""
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster: Any = None
    if request.param != "here":
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    launch = LaunchSettings(workers=2, ray_address=cluster.address if cluster is not None else None)
    settings = EngineSettings(kind="vllm", dtype="float32")
    slot = Slot(Running(str(smollm2), settings, launch, "auto"), resolve_model(str(smollm2)))
    yield slot.open()
    slot.close()
    ray.shutdown()
    if cluster is not None:
        cluster.shutdown()


def asked(job: int) -> list[GenerationRequest]:
    prompt = Prompt(ASK.format(WORDS[job]))
    return [
        GenerationRequest(prompt, max_tokens=8),
        GenerationRequest(prompt, max_tokens=8, temperature=1.0, top_k=40, seed=job),
    ]


def dies_the_first_time(marker: Path, requests: list[GenerationRequest], engine: Engine) -> list[str]:
    if not marker.exists():
        marker.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    return first_texts(requests, engine)


def unkept(name: str, make: Any) -> Any:
    return make()


def test_answers_are_those_of_one_engine_when_a_worker_is_killed(pool: Engine, smollm2: Path, tmp_path: Path) -> None:
    from metier.engines.transformers import TransformersEngine

    assert isinstance(pool, WorkerPool)
    jobs: list[Any] = [(f"answers-{n}", partial(first_texts, asked(n))) for n in range(len(WORDS))]
    wanted = list(in_shards(pool, unkept, jobs))
    one = TransformersEngine(smollm2, dtype="float32", device="cpu")
    likeliest = one.generate([asked(n)[0] for n in range(len(WORDS))])
    assert [texts[0] for texts in wanted] == [made.texts[0] for made in likeliest]

    jobs[2] = ("answers-2", partial(dies_the_first_time, tmp_path / "died", asked(2)))
    assert list(in_shards(pool, unkept, jobs)) == wanted
    assert (tmp_path / "died").exists()
    scoring = [ScoringRequest(Prompt(ASK.format("fruit")), ("An apple", "A stone"))]
    assert pool.score(scoring)[0].logprobs == pytest.approx(one.score(scoring)[0].logprobs, abs=0.05)
    assert logprobs(scoring, pool)["tokens"] == logprobs(scoring, one)["tokens"]
