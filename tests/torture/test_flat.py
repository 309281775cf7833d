"""A server that is asked 10,000 times: its memory and its open files stay what they were.

``tests/serving/test_clients.py`` has a short form, without a language model.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.serving.made import write_labels_run, write_model_run
from tests.serving.running import process, wait_for
from tests.torture.how import in_full

REQUESTS = 10_000
CLIENTS = 16
SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"enum": [1, 2]}}}
GROWN = 12_000_000  # bytes; the bodies would be more


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "mend", "messages": [{"role": "user", "content": text}], **more}


def ask(client: httpx.Client, k: int) -> int:
    """Send the k-th of a mixture of requests, good and bad, and return the status of the response."""
    long = f"message {k} " * 100
    if k % 10 == 0:
        return client.post("/v1/chat/completions", json=chat(f"parcel {k}", stream=True)).status_code
    if k % 10 == 1:
        with client.stream("POST", "/v1/chat/completions", json=chat(f"parcel {k}", stream=True)) as answer:
            next(answer.iter_raw())  # and go
            return answer.status_code
    if k % 10 == 2:
        return client.post("/v1/chat/completions", json=chat(f"parcel {k}", logprobs=True)).status_code
    if k % 10 == 3:
        return client.post("/v1/chat/completions", json=chat(f"parcel {k}", response_format=SCHEMA)).status_code
    if k % 10 == 4:
        return client.post("/v1/chat/completions", json=chat(long, temperature=1)).status_code
    if k % 10 == 5:
        return client.post("/classify", json={"model": f"none {k}", "input": long}).status_code
    if k % 10 == 6:
        return client.post("/classify", content=b'{"model": ' + long.encode()).status_code
    return client.post("/classify", json={"model": "routing", "input": [long] * (k % 4 + 1)}).status_code


@in_full
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not hasattr(psutil.Process, "num_fds"), reason="files are counted on Unix alone")
def test_memory_and_files_stay_as_they_were(tiny_model: Path, tmp_path: Path) -> None:
    runs = [write_labels_run(tmp_path / "routing"), write_model_run(tmp_path / "mend", tiny_model, max_tokens=8)]
    with process(runs) as (server, home):
        seen = psutil.Process(server.pid)

        def some(first: int, last: int) -> tuple[int, int]:
            """Send requests, let the connections go, and return the bytes in memory and the open files."""
            with httpx.Client(base_url=home, timeout=120) as client, ThreadPoolExecutor(CLIENTS) as pool:
                assert set(pool.map(lambda k: ask(client, k), range(first, last))) == {200, 400, 404}
            wait_for(lambda: len(seen.net_connections()) == 1)
            return int(seen.memory_info().rss), seen.num_fds()

        memory, files = some(0, REQUESTS // 5)
        for part in range(1, 5):
            found = some(part * REQUESTS // 5, (part + 1) * REQUESTS // 5)
            print(
                f"after {(part + 1) * REQUESTS // 5} requests: {found[0] - memory:+,} bytes, {found[1] - files:+} files"
            )
        assert found[1] <= files + 1, "files are left open"
        assert found[0] - memory < GROWN, "memory grows with the requests"
        with httpx.Client(base_url=home) as client:
            assert "metier:num_requests_running 0.0" in client.get("/metrics").text
            assert "metier:num_requests_waiting 0.0" in client.get("/metrics").text
