from __future__ import annotations

from pathlib import Path

import pytest

from metier.errors import UserError
from metier.plan import Rates, estimate, fit_to_budget, parse_time
from metier.taskfile import load_task
from tests.pipeline.test_run import make_task

RATES = Rates(read=1000, write=100, train=300, memory_bytes=10**9)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400)])
def test_times(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "-5m", "0s", "ten minutes"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UserError, match="is not a time"):
        parse_time(text)


def test_more_inputs_take_longer(tiny_model: Path, tmp_path: Path) -> None:
    path = make_task(tmp_path, tiny_model)
    small = estimate(load_task(path, ["synthesis.inputs=100"]), RATES)
    large = estimate(load_task(path, ["synthesis.inputs=200"]), RATES)
    assert large.stages["synthesis"] == pytest.approx(2 * small.stages["synthesis"])
    assert large.stages["baselines"] == small.stages["baselines"]
    assert large.seconds > small.seconds > 0


def test_the_real_measurement_runs(tiny_model: Path, tmp_path: Path) -> None:
    plan = estimate(load_task(make_task(tmp_path, tiny_model)))
    assert plan.rates.read > 0
    assert plan.rates.write > 0
    assert plan.to_dict()["seconds"] == plan.seconds


def test_a_budget_is_kept_for_the_next_time(tiny_model: Path, tmp_path: Path) -> None:
    task = load_task(make_task(tmp_path, tiny_model), ["synthesis.inputs=100000"])
    budget = 0.6 * estimate(task, RATES).seconds
    fitted = fit_to_budget(task, budget, tmp_path, RATES)
    assert 10_000 <= fitted.synthesis.inputs < 100_000
    assert fit_to_budget(task, budget, tmp_path) == fitted, "from the run folder, not measured again"
    with pytest.raises(UserError, match="does not fit"):
        fit_to_budget(task, 0.01, tmp_path, RATES)
