"""Where pairs are from: the way from what was written to what was kept."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import metier.synthesis
from metier.core.records import Candidate
from metier.core.step import Done, Work, once
from metier.data.mixture import MixedRow
from metier.runs.data_facts import _ORDER, data_facts
from metier.steps.mix import part_of
from metier.steps.pairs import TaskPairs
from metier.steps.synthesize import Synthesis
from tests.steps.made import alone, make_rows, make_scenario, make_task

DROPPED = ("balance", "quota", "quota", "too_long", "disagreement", "noise")


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Nothing that a result depends on."""


def make_pairs(folder: Path, more: tuple[Candidate, ...] = ()) -> TaskPairs:
    """Return a task's pairs of which some were dropped, each by a filter, and three kept, and some more."""
    task = make_task()
    rows = make_rows(task)
    candidates = [Candidate(f"r{i}", f"text {i}", "billing", dropped_by=name) for i, name in enumerate(DROPPED)]
    candidates += [*(Candidate(f"k{i}", f"kept {i}", "billing") for i in range(3)), *more]

    def make(inputs: Inputs, work: Work) -> Synthesis:
        return Synthesis(tuple(candidates))

    done: Done[Synthesis] = once(alone(folder, task)[0].run, "synthesis", Inputs(), make)
    entry = make_scenario(task).settings.tasks[task.name]
    return TaskPairs(rows, done, None, None, part_of(rows, entry, (), ()))


def test_the_funnel_follows_the_filters_in_the_order_in_which_they_come(tmp_path: Path) -> None:
    row = MixedRow("routing", "synthetic", "Do routing.", "kept 0", "billing", 9)
    found = data_facts([row], make_pairs(tmp_path))
    assert [(step.stage, step.kept, dict(step.dropped)) for step in found.synthesis_funnel] == [
        ("written", 9, {}),
        ("noise", 8, {"noise": 1}),
        ("too_long", 7, {"too_long": 1}),
        ("disagreement", 6, {"disagreement": 1}),
        ("quota", 4, {"quota": 2}),
        ("balance", 3, {"balance": 1}),
    ]
    assert found.synthetic == 1 and found.label_counts == {"billing": 1}
    assert found.as_asked is None, "none was written for a label"
    assert len(found.candidates) == 9, "both kept and dropped are shown"


def test_how_many_are_read_as_what_they_were_written_for_and_how_many_are_real(tmp_path: Path) -> None:
    def read(i: int, asked: str | None, output: str, dropped: str | None = None) -> Candidate:
        return Candidate(f"a{i}" if asked else f"real.{i}", f"more {i}", output, asked, dropped, share=0.9)

    more = (
        read(0, "billing", "billing"),
        read(1, "billing", "delivery", "quota"),
        read(2, "delivery", "delivery"),
        read(3, "delivery", "", "no_answer"),
        read(4, None, "billing"),
        read(5, None, "billing", "quota"),
    )
    found = data_facts([], make_pairs(tmp_path, more))
    assert (found.as_asked, found.asked_labels) == (2 / 3, 2)
    assert (found.real_inputs, found.real_kept) == (2, 1)
    assert found.synthesis_funnel[0].stage == "written or answered"


def test_every_filter_has_its_place() -> None:
    """A filter that is added to the synthesis must be put among the others."""
    names = set()
    for file in Path(metier.synthesis.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("drop"):
                names |= {a.value for a in node.args if isinstance(a, ast.Constant)}
            if isinstance(node, ast.Tuple) and file.name == "checks.py" and len(node.elts) == 2:
                first, second = node.elts
                if isinstance(first, ast.Constant) and isinstance(second, ast.Lambda | ast.Attribute | ast.Call):
                    names.add(first.value)
    names = {name for name in names if isinstance(name, str) and name.isidentifier()}
    assert names == set(_ORDER)
