"""Readers of what others wrote raise Metier's own errors and no other, whatever they are given."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.torture.how import FULL, in_full
from tests.torture.readers import SEEDS, read

EXAMPLES = 500 if FULL else 50
FUZZED = 20  # seconds for each reader

edits = st.lists(
    st.tuples(st.sampled_from(["flip", "cut", "insert", "repeat"]), st.floats(0, 1), st.binary(min_size=1, max_size=8)),
    min_size=1,
    max_size=4,
)


def edited(content: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    """Return bytes with some of them changed, left out, added or repeated."""
    for how, share, more in changes:
        at = int(share * len(content))
        if how == "flip":
            content = content[:at] + bytes(x ^ more[0] for x in content[at : at + 1]) + content[at + 1 :]
        elif how == "cut":
            content = content[:at]
        elif how == "insert":
            content = content[:at] + more + content[at:]
        else:
            content = content[:at] + content[at // 2 : at] + content[at:]
    return content


@pytest.mark.parametrize("name", SEEDS)
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(changes=edits)
def test_what_is_nearly_right(name: str, changes: list[tuple[str, float, bytes]]) -> None:
    read(name, edited(SEEDS[name], changes))


@pytest.mark.parametrize("name", SEEDS)
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(content=st.binary(max_size=300) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_what_is_nothing_at_all(name: str, content: bytes) -> None:
    read(name, content)


@in_full
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed: pip install 'metier[torture]'")
@pytest.mark.parametrize("name", SEEDS)
def test_what_a_fuzzer_finds_by_the_readers_own_branches(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.torture.fuzz", name, str(FUZZED), str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
