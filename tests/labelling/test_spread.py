from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.core.progress import Reporter
from metier.labelling import spread
from metier.labelling.draw import Drawn, draw
from metier.labelling.spread import far_from

QUIET = Reporter(quiet=True)


class OnALine:
    """An encoder whose texts are numbers from 0 to 1, and lie that far along a quarter of a circle."""

    def __init__(self, folder: Path) -> None:
        pass

    def encode(self, texts: list[str], progress: object = None) -> np.ndarray:
        angles = np.array([float(text) for text in texts]) * np.pi / 2
        return np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)


@pytest.fixture
def _on_a_line(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    monkeypatch.setattr(spread, "SentenceEncoder", OnALine)


@pytest.mark.usefixtures("_on_a_line")
def test_the_farthest_from_what_is_known_and_from_each_other_come_first(tiny_model: Path) -> None:
    inputs = ["0.1", "0.9", "0.12", "1.0", "0.5", "0.02"]
    drawn = Drawn((0,), (1, 2, 3, 4, 5), 3)
    assert far_from(str(tiny_model), inputs, drawn, ["0.0"], QUIET) == [3, 4, 1]
    assert far_from(str(tiny_model), inputs, drawn, ["0.0", "1.0"], QUIET)[0] == 4
    assert far_from(str(tiny_model), inputs, Drawn((0,), (1, 2), 0), ["0.0"], QUIET) == []


@pytest.mark.usefixtures("_on_a_line")
def test_rows_that_are_all_alike_are_chosen_all_the_same(tiny_model: Path) -> None:
    drawn = Drawn((0,), (1, 2, 3), 2)
    assert far_from(str(tiny_model), ["0.5"] * 4, drawn, [], QUIET) == [1, 2]


def test_any_rows_are_chosen_once_with_a_real_encoder(tiny_model: Path) -> None:
    @settings(max_examples=8)
    @given(st.integers(3, 12), st.integers(2, 12), st.integers(0, 9))
    def once(rows: int, several: int, seed: int) -> None:
        inputs = [f"row {i % 4} of many" for i in range(rows)]
        drawn = draw(rows, several, seed)
        found = far_from(str(tiny_model), inputs, drawn, ["an example"], QUIET)
        assert len(found) == len(set(found)) == drawn.others and set(found) <= set(drawn.candidates)
        assert found == far_from(str(tiny_model), inputs, drawn, ["an example"], QUIET)

    once()
