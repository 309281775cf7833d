"""One vLLM for all tests of engines: it takes half a minute to load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def vllm_engine(smollm2: Path) -> Iterator[Any]:
    """The vLLM engine on the real small model, in float32."""
    from metier.engines.vllm import VllmEngine

    made = VllmEngine(smollm2, dtype="float32")
    yield made
    made.close()
