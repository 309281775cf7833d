from __future__ import annotations

from pathlib import Path

import pytest

from metier.core.errors import MetierError
from metier.core.records import Example
from metier.systems import self_icl
from metier.systems.base import Material
from metier.systems.written import Writer
from tests.systems.scripted import EXAMPLES, Scripted, make_material, make_tools

SYNTHETIC = (
    *(Example(f"charged {i}", "billing") for i in range(8)),
    *(Example(f"parcel {i}", "delivery") for i in range(3)),
)


def shown(folder: Path, tokens: int = 100_000, context: int = 100_000, **changes: object) -> tuple[Example, ...]:
    given: Material = make_material(folder, synthetic=SYNTHETIC, demonstration_tokens=tokens, **changes)
    learned = self_icl.learn(given, make_tools(folder, Scripted(context_length=context)))
    assert isinstance(learned, Writer)
    return learned.asker.shown


def test_all_pairs_stand_in_the_prompt_after_the_examples_and_labels_take_turns(tmp_path: Path) -> None:
    found = shown(tmp_path)
    assert found[:2] == EXAMPLES
    turns = [pair.output for pair in found[2:]]
    assert turns == ["billing", "delivery"] * 3 + ["billing"] * 5, "the first few hold as many labels as there are"
    assert sorted(found[2:], key=SYNTHETIC.index) == list(SYNTHETIC)


def test_as_many_as_the_room_allows_and_of_the_context_half(tmp_path: Path) -> None:
    def cost(pairs: tuple[Example, ...]) -> int:
        return sum(len(f"{pair.input}\n{pair.output}") + 16 for pair in pairs)

    room = 250
    few = shown(tmp_path, tokens=room)
    assert 2 < len(few) < 13
    assert cost(few) <= room - len("Name the team.") < cost(few) + 16 + len("charged 0\nbilling")
    assert shown(tmp_path, context=2 * room) == few, "half of the context counts where it is less"


def test_without_synthetic_pairs_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(MetierError, match="no synthetic pairs"):
        self_icl.learn(make_material(tmp_path), make_tools(tmp_path))
