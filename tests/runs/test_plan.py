from __future__ import annotations

import json
from pathlib import Path

import pytest

from metier.core.errors import UserError
from metier.runs.calibrate import UnitCosts
from metier.runs.plan import estimate, estimate_scenario, fit_to_budget, parse_time
from metier.tasks.read_scenario import load_scenario, ready_scenarios
from metier.tasks.read_task import load_task
from tests.runs.test_run import LOW_DATA, make_pool, make_task

COSTS = UnitCosts(
    load=1.0,
    raw_input=0.2,
    survive=0.5,
    answer={"zero_shot": 0.01, "few_shot": 0.02, "bare": 0.01, "bare_scoring": 0.01, "label_scoring": 0.01},
    alone={"few_shot": 0.1, "bare": 0.05},
    example=0.05,
    tuning=4.0,
    pool_row=0.0,
    tokens={"input": 20, "answer": 3, "example": 60},
    memory_bytes=10**9,
)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400)])
def test_times(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "-5m", "0s", "ten minutes"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UserError, match="is not a time"):
        parse_time(text)


def test_more_inputs_take_longer(tiny_model: Path, tmp_path: Path) -> None:
    path = make_task(tmp_path, tiny_model)
    small = estimate(load_task(path, ["synthesis.inputs=100"]), COSTS)
    large = estimate(load_task(path, ["synthesis.inputs=200"]), COSTS)
    assert large.stages["synthesis"] - small.stages["synthesis"] == pytest.approx(100 * COSTS.raw_input)
    assert large.stages["baselines"] == small.stages["baselines"]
    assert large.seconds > small.seconds > 0


def test_the_real_measurement_runs(tiny_model: Path, tmp_path: Path) -> None:
    plan = estimate(load_task(make_task(tmp_path, tiny_model)))
    assert plan.costs.raw_input > 0 and plan.costs.example > 0 and 0 <= plan.costs.survive <= 1
    assert set(plan.costs.answer) >= {"few_shot", "bare", "label_scoring", "bare_scoring"}
    assert all(seconds > 0 for name, seconds in plan.stages.items() if name != "selection")
    assert plan.to_dict()["seconds"] == plan.seconds


def test_a_scenario_is_the_sum_of_its_tasks() -> None:
    writing = load_scenario(ready_scenarios()["writing"])
    plan = estimate_scenario(writing, COSTS)
    assert plan.counts == {"inputs": 7 * 200, "pairs": 7 * 100, "test_rows": 7 * 14}
    assert plan.stages["synthesis"] == pytest.approx(COSTS.load + 1400 * COSTS.raw_input)
    assert plan.stages["training"] == pytest.approx(2 * 700 * COSTS.example + COSTS.tuning)
    few = estimate_scenario(load_scenario(ready_scenarios()["writing"], ["rows=70", "adapters=one_then_each"]), COSTS)
    assert few.counts["pairs"] == 70
    assert few.stages["training"] == pytest.approx(2 * 2 * 70 * COSTS.example + 8 * COSTS.tuning)


def test_a_scenarios_plan_counts_labelled_rows_and_those_held_out(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "mend.yaml").write_text(
        "name: mend\ninstruction: Mend it.\nexamples: [{input: a b, output: a c}]\ntrain: mend.jsonl\n"
    )
    rows = [json.dumps({"input": f"row {i} is", "output": f"row {i} was"}) for i in range(50)]
    (tmp_path / "mend.jsonl").write_text("\n".join(rows))
    (tmp_path / "mixture.yaml").write_text(f"name: mine\nmodel: {tiny_model}\ntasks: {{mend: }}\n")
    plan = estimate_scenario(load_scenario(tmp_path / "mixture.yaml"), COSTS)
    assert plan.counts == {"inputs": 0, "pairs": 40, "test_rows": 10} and plan.stages["synthesis"] == 0


def test_a_budget_is_kept_for_the_next_time(tiny_model: Path, tmp_path: Path) -> None:
    task = load_task(make_task(tmp_path, tiny_model), ["synthesis.inputs=100000"])
    budget = 0.6 * estimate(task, COSTS).seconds
    fitted = fit_to_budget(task, budget, tmp_path, COSTS)
    assert 10_000 <= fitted.synthesis.inputs < 100_000
    assert fit_to_budget(task, budget, tmp_path) == fitted, "from the run folder, not measured again"
    with pytest.raises(UserError, match="does not fit"):
        fit_to_budget(task, 0.01, tmp_path, COSTS)


def test_a_pool_is_planned_for(tiny_model: Path, tmp_path: Path) -> None:
    path = make_task(tmp_path, tiny_model, LOW_DATA)
    make_pool(tmp_path)
    plan = estimate(load_task(path))
    assert plan.costs.pool_row > 0 and plan.costs.raw_input == 0
    assert plan.stages["synthesis"] == 0 and plan.stages["selection"] == pytest.approx(61 * plan.costs.pool_row)
    assert plan.counts["pairs"] == 6 and plan.stages["training"] > 0
