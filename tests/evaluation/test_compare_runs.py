from __future__ import annotations

import numpy as np
import pytest

from metier.evaluation.compare_runs import RunAnswers, compare_runs
from metier.evaluation.over_tasks import TaskAnswers

from .made import answered
from .test_compare import MEASURE, ROWS, right


def run(name: str, task: str, specialist: tuple[str, ...], *, rows: slice = slice(None)) -> RunAnswers:
    given = (answered("few_shot", right(0.5)[rows]), answered("specialist", specialist[rows]))
    return RunAnswers(name, "m", 100, TaskAnswers(task, MEASURE, tuple(ROWS[rows]), given))


def test_runs_on_the_same_rows_are_paired() -> None:
    found = compare_runs(
        [run("one", "t", right(0.9)), run("two", "t", right(0.5)), run("other", "u", right(0.9), rows=slice(20))]
    )
    assert [line.verdict for line in found.lines] == ["better", "not shown to be better", "not shown to be better"]
    assert found.lines[0].baseline == "few shot"
    assert (found.wins, found.ties, found.losses) == (1, 2, 0)
    (pairing,) = found.pairings
    assert (pairing.first, pairing.second, pairing.rows) == ("one", "two", 40)
    assert pairing.gain is not None and pairing.gain.value == pytest.approx(-40)
    assert (pairing.wins, pairing.ties, pairing.losses) == (0, 24, 16)
    assert len(pairing.differing) == 10 and pairing.differing[0].first_score == 100
    assert found.mean is not None and found.mean_tasks == 2
    assert found.mean.value == pytest.approx(np.mean([40, 100 - 100 * 20 / 20]))
    assert found.notes == ("Several runs have the same task; the mean over tasks takes the first of each.",)


def test_p_values_are_corrected_for_the_number_of_runs() -> None:
    barely = right(0.65)  # 6 of 40 rows won and none lost: p is about 0.03
    alone = compare_runs([run("one", "t", barely)]).lines[0]
    among = compare_runs([run(f"run {i}", f"t{i}", barely) for i in range(4)]).lines[0]
    assert alone.p_value is not None and among.p_value is not None
    assert among.p_value == pytest.approx(4 * alone.p_value)
    assert (alone.verdict, among.verdict) == ("better", "not shown to be better")
    assert among.gain is not None and among.gain.low > 0  # the interval is not corrected, so it alone would say better


def test_one_run_alone() -> None:
    found = compare_runs([run("one", "t", right(0.9))])
    assert found.mean is None and found.pairings == () and found.notes == ()
