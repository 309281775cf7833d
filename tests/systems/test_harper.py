from __future__ import annotations

import sys
from pathlib import Path

import pytest

from metier.core.errors import MetierError
from metier.systems import harper
from metier.systems.base import Material
from tests.systems.scripted import make_tools


def test_mistakes_are_corrected_and_spacing_is_left_alone(tmp_path: Path) -> None:
    learned = harper.learn(Material(None), make_tools(tmp_path))
    found = learned.answer(["This is an test of the the linter .", "", "Nothing is wrong here ."])
    assert found.texts == ("This is a test of the linter .", "", "Nothing is wrong here .")


def test_without_the_extra_it_is_told_how_to_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "harper", None)
    with pytest.raises(MetierError, match=r"pip install 'metier\[harper\]'"):
        harper.learn(Material(None), make_tools(tmp_path))
