from __future__ import annotations

import time

from metier.core.net import hub_answers


def test_a_hub_that_does_not_answer_fails_fast() -> None:
    start = time.monotonic()
    assert not hub_answers("http://127.0.0.1:9")
    assert time.monotonic() - start < 6
