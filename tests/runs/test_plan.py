from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from metier.cli import run_cli
from metier.core.errors import UserError
from metier.runs.plan import estimate, fit_to_budget, parse_time
from metier.steps.train import EXAMPLE_EPOCHS
from metier.tasks.read_scenario import load_scenario, ready_scenarios
from metier.tasks.read_task import load_task
from metier.tasks.scenario import Scenario, of_one
from tests.runs.made import COSTS, LOW_DATA, facts_of, make_labelled, make_pool, make_scenario, make_task, write_rows


def of_task(path: Path, *overrides: str) -> Scenario:
    return of_one(load_task(path, overrides))


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400)])
def test_times(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "-5m", "0s", "ten minutes"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UserError, match="is not a time"):
        parse_time(text)


def test_more_inputs_take_longer(tiny_model: Path, tmp_path: Path) -> None:
    path = make_task(tmp_path, tiny_model)
    small = estimate(of_task(path, "synthesis.inputs=100"), COSTS)
    large = estimate(of_task(path, "synthesis.inputs=200"), COSTS)
    assert large.stages["synthesis"] - small.stages["synthesis"] == pytest.approx(100 * COSTS.raw_input)
    assert large.stages["answers"] == small.stages["answers"]
    assert large.seconds > small.seconds > 0


def test_a_scenario_is_the_sum_of_its_tasks() -> None:
    one = "evaluation.baselines=[few_shot]"
    plan = estimate(load_scenario(ready_scenarios()["writing"], [one, "adapters=one"]), COSTS)
    assert plan.counts == {"inputs": 7 * 200, "pairs": 7 * 100, "test_rows": 7 * 14}
    assert plan.stages["synthesis"] == pytest.approx(COSTS.load + 1400 * COSTS.raw_input)
    # A held-out pair (64 at most) costs about a third of a trained one.
    assert plan.stages["training"] == pytest.approx(2 * (700 - 64 * 0.65) * COSTS.example + COSTS.tuning)
    few = estimate(load_scenario(ready_scenarios()["writing"], [one, "rows=70", "adapters=one_then_each"]), COSTS)
    assert few.counts["pairs"] == 70
    assert few.stages["training"] == pytest.approx(2 * 2 * (70 - 7 * 0.65) * COSTS.example + 8 * COSTS.tuning)


def test_a_scenarios_plan_counts_labelled_rows_and_those_held_out(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "mend.yaml").write_text(
        "name: mend\ninstruction: Mend it.\nexamples: [{input: a b, output: a c}]\ntrain: mend.jsonl\n"
    )
    write_rows(tmp_path / "mend.jsonl", ({"input": f"row {i} is", "output": f"row {i} was"} for i in range(50)))
    (tmp_path / "mixture.yaml").write_text(f"name: mine\nmodel: {tiny_model}\ntasks: {{mend: }}\n")
    plan = estimate(load_scenario(tmp_path / "mixture.yaml"), COSTS)
    assert plan.counts == {"inputs": 0, "pairs": 40, "test_rows": 10} and plan.stages["synthesis"] == 0


def test_what_is_trained_beside_the_specialist_is_planned_for(tiny_model: Path, tmp_path: Path) -> None:
    path = make_task(tmp_path, tiny_model)
    alone = estimate(of_task(path, "evaluation.baselines=[few_shot]"), COSTS)
    beside = estimate(of_task(path, "evaluation.baselines=[few_shot, tuned_on_examples]"), COSTS)
    more = beside.stages["training"] - alone.stages["training"]
    assert more == pytest.approx(EXAMPLE_EPOCHS * 2 * COSTS.example + COSTS.tuning)
    seeds = estimate(of_task(path, "evaluation.baselines=[few_shot]", "seeds=3"), COSTS)
    assert seeds.stages["training"] == pytest.approx(3 * alone.stages["training"])
    assert seeds.stages["answers"] > alone.stages["answers"], "every seed's model answers"


@pytest.mark.parametrize("dear", ["few_shot", "self_icl", "label_scoring", "tuned_on_examples", "specialist_written"])
def test_every_system_that_answers_is_in_the_estimate(tiny_model: Path, tmp_path: Path, dear: str) -> None:
    """One System at a time is made dear: the plan's answers become dearer by its rows."""
    scenario = of_task(make_task(tmp_path, tiny_model), "evaluation.timed_rows=0")
    costs = dataclasses.replace(COSTS, answer={**COSTS.answer, dear: COSTS.answer[dear] + 7.0})
    more = estimate(scenario, costs).stages["answers"] - estimate(scenario, COSTS).stages["answers"]
    assert more == pytest.approx(10 * 7.0)


def test_no_system_is_planned_for_that_will_not_answer(tiny_model: Path, tmp_path: Path) -> None:
    """Synthetic pairs are in no prompt where the model writes none, and labels are scored where there are labels."""
    make_labelled(tmp_path)
    labelled = of_task(make_task(tmp_path, tiny_model, "train: train.jsonl\ntrain_use: instead\n"))
    rewriting = load_scenario(make_scenario(tmp_path / "s", tiny_model) / "mixture.yaml")
    for scenario, absent in ((labelled, ["self_icl", "specialist_unseen"]), (rewriting, ["label_scoring", "self_icl"])):
        costs = dataclasses.replace(COSTS, answer={**COSTS.answer, **dict.fromkeys(absent, 1e6)})
        assert estimate(scenario, costs).stages["answers"] < 1e4


def test_the_real_measurement_covers_every_system_of_the_run(task_run: Path) -> None:
    plan = estimate(of_task(task_run / "task.yaml"))
    judged = facts_of(task_run / "out").judged
    assert judged is not None
    answered = {s.system for s in judged.systems if s.scores and s.kind not in ("constant", "classic")}
    assert "self_icl" in answered and answered == set(plan.costs.answer) == set(plan.costs.alone)
    assert plan.costs.raw_input > 0 and plan.costs.example > 0 and 0 <= plan.costs.survive <= 1
    assert all(seconds > 0 for name, seconds in plan.stages.items() if name != "selection")
    assert plan.seconds == pytest.approx(sum(plan.stages.values()))


def test_a_scenario_of_unlike_tasks_is_measured_for_each_kind(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels are scored for one task, and another has unseen wordings: neither is measured with the other alone."""
    folder = make_scenario(tmp_path, tiny_model)
    (folder / "sort.yaml").write_text(
        "name: sort\ninstruction: Name the team.\nlabels: [billing, delivery]\n"
        "examples: [{input: I was charged twice, output: billing}, {input: it is late, output: delivery}]\n"
        "train: train.jsonl\n"
    )
    make_labelled(folder, 20)
    overrides = ["tasks.sort.rows=12", "evaluation.baselines=[few_shot, label_scoring]", "evaluation.limit=4"]
    assert run_cli(["plan", str(folder), *overrides, "--json"]) == 0
    made = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(made["costs"]["answer"]) == {
        "few_shot",
        "label_scoring",
        "label_scoring_calibrated",
        "specialist_unseen",
        "specialist_written",
        "specialist_constrained",
        "specialist",
    }
    assert made["counts"]["test_rows"] == 3 * 4
    assert made["seconds"] == pytest.approx(sum(made["stages"].values()))


def test_a_budget_is_kept_for_the_next_time(tiny_model: Path, tmp_path: Path) -> None:
    scenario = of_task(make_task(tmp_path, tiny_model), "synthesis.inputs=100000")
    budget = 0.6 * estimate(scenario, COSTS).seconds
    fitted = fit_to_budget(scenario, budget, tmp_path, COSTS)
    assert fitted.alone and 40_000 <= fitted.tasks["tiny"].synthesis.inputs <= 60_000
    assert estimate(fitted, COSTS).seconds <= 0.86 * budget
    assert fit_to_budget(scenario, budget, tmp_path) == fitted, "from the run folder, not measured again"
    with pytest.raises(UserError, match="does not fit"):
        fit_to_budget(scenario, 0.01, tmp_path, COSTS)
    assert fit_to_budget(scenario, 10**9, tmp_path, COSTS) == scenario


def test_a_scenario_fits_a_budget_by_what_it_writes_trains_on_and_tests(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "mend.yaml").write_text(
        "name: mend\ninstruction: Mend it.\nexamples: [{input: a b, output: a c}]\ntrain: mend.jsonl\n"
    )
    write_rows(tmp_path / "mend.jsonl", ({"input": f"row {i} is", "output": f"row {i} was"} for i in range(2000)))
    (tmp_path / "sum.yaml").write_text("name: sum\ninstruction: Sum it.\nexamples: [{input: a b, output: a c}]\n")
    (tmp_path / "mixture.yaml").write_text(
        f"name: mine\nmodel: {tiny_model}\nsynthetic: 400\ntasks: {{mend: , sum: }}\n"
    )
    scenario = load_scenario(tmp_path / "mixture.yaml", ["evaluation.baselines=[few_shot]"])
    whole = estimate(scenario, COSTS)
    assert whole.counts == {"inputs": 400, "pairs": 1600 + 200, "test_rows": 400}
    fitted = fit_to_budget(scenario, 0.8 * whole.seconds, tmp_path, COSTS)
    assert 150 < fitted.settings.to_write("sum", labelled=False) < 350 and fitted.settings.evaluation.limit is None
    assert fitted.settings.rows is not None and 800 < fitted.settings.rows < 1500
    assert estimate(fitted, COSTS).seconds <= 0.7 * whole.seconds
    little = fit_to_budget(scenario, 0.2 * whole.seconds, tmp_path / "other", COSTS)
    assert all(task.evaluation.limit == 50 for task in little.tasks.values())
    assert estimate(little, COSTS).seconds <= 0.2 * whole.seconds
    with pytest.raises(UserError, match="does not fit"):
        fit_to_budget(scenario, 0.01 * whole.seconds, tmp_path, COSTS)


def test_workers_share_what_is_written_and_answered_by_whole_shards(tiny_model: Path, tmp_path: Path) -> None:
    path = make_task(tmp_path, tiny_model)
    write_rows(tmp_path / "test.jsonl", ({"input": f"case {i}", "output": "billing"} for i in range(640)))
    timed = ["synthesis.inputs=640", "evaluation.timed_rows=0", "evaluation.baselines=[few_shot]"]
    one, four, many = (estimate(of_task(path, *timed, f"launch.workers={n}"), COSTS) for n in (1, 4, 1000))
    assert (one.stages["synthesis"] - COSTS.load) / (four.stages["synthesis"] - COSTS.load) == pytest.approx(10 / 3)
    assert many.stages["synthesis"] == pytest.approx(COSTS.load + 64 * COSTS.raw_input)
    assert one.stages["training"] == four.stages["training"], "in one process"
    assert one.stages["answers"] > four.stages["answers"] > many.stages["answers"] > COSTS.load
    assert (one.workers, four.workers) == (1, 4)


def test_a_pool_is_planned_for(tiny_model: Path, tmp_path: Path) -> None:
    path = make_task(tmp_path, tiny_model, LOW_DATA)
    make_pool(tmp_path)
    baselines = "evaluation.baselines=[few_shot]"
    plan = estimate(of_task(path, baselines))
    assert plan.costs.pool_row > 0 and plan.costs.raw_input == 0
    assert plan.stages["synthesis"] == 0 and plan.stages["selection"] == pytest.approx(61 * plan.costs.pool_row)
    assert plan.counts["pairs"] == 6 and plan.stages["training"] > 0
    one = estimate(of_task(path, baselines, "selection.controls=[random]"), plan.costs)
    assert one.stages["answers"] < plan.stages["answers"], "a control is one more model that answers"


def test_the_plan_is_printed(
    task_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("metier.runs.calibrate.measure", lambda *args, **more: COSTS)
    assert run_cli(["plan", str(task_run / "task.yaml")]) == 0
    told = capsys.readouterr().out
    assert "48 inputs, about 24 training pairs, 10 test rows" in told and "answers" in told and "together" in told
    assert "workers" not in told
    assert run_cli(["plan", str(task_run / "task.yaml"), "--launch", "ray:8"]) == 0
    assert "8 workers write and answer" in capsys.readouterr().out
