"""What both kinds of study have in common: no tuning, the rows, the steps, and the record of an outcome."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from metier.cli import run_cli
from metier.core import storage
from metier.core.codec import decode, encode
from metier.core.progress import Reporter
from metier.core.run_folder import open_run
from metier.evaluation import variants
from metier.evaluation.variants import BASE, Outcome
from metier.steps.gather import gather
from metier.studies.study import Variant, measure_variant
from metier.tasks.read_scenario import load_scenario
from metier.tasks.read_task import load_task
from metier.tasks.scenario import Scenario, of_one
from tests.runs.made import facts_of, make_labelled, steps


def no_tuning(scenario: Scenario, out: Path) -> variants.Variant:
    """Measure the base model as a study does, in a run's folder."""
    variant = Variant(BASE, scenario, (scenario.settings.seed,), trains=False)
    with open_run(out) as run:
        return measure_variant(variant, gather(scenario), run, Reporter(quiet=True))


def newly_asked(before: set[str], out: Path) -> list[dict[str, Any]]:
    """Return what models were newly asked: the inputs of those steps."""
    new = [step for step in steps(out) - before if "asked-" in step]
    return [json.loads((out / step / "manifest.json").read_text())["inputs"] for step in new]


def test_no_tuning_of_a_scenario_is_the_prompt_with_the_examples(scenario_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(scenario_run / "out", out)
    before = steps(out)
    measured = no_tuning(load_scenario(scenario_run / "mixture.yaml"), out)
    assert newly_asked(before, out) == [], "few-shot prompting has asked it all"
    for name in ("mend", "shorten"):
        facts = facts_of(out / "tasks" / name)
        assert facts.judged is not None
        few_shot = next(s for s in facts.judged.systems if s.system == "few_shot")
        assert measured.scores[name][0].corpus == pytest.approx(few_shot.scores[facts.metric])


@pytest.mark.parametrize("answer_by", ["likelihood", "writing"])
def test_no_tuning_of_a_task_file_shows_the_examples_too(task_run: Path, tmp_path: Path, answer_by: str) -> None:
    out = tmp_path / "out"
    shutil.copytree(task_run / "out", out)
    before = steps(out)
    no_tuning(of_one(load_task(task_run / "task.yaml", [f"evaluation.answer_by={answer_by}"])), out)
    assert newly_asked(before, out) == [], "prompts with the examples were asked before, in the run"
    (answered,) = [step for step in steps(out) - before if step.startswith("answers-specialist")]
    inputs = json.loads((out / answered / "manifest.json").read_text())["inputs"]
    assert len(inputs["material"]["examples"]) == 2 and inputs["material"]["weights"] == {}


@pytest.mark.parametrize("limit", [4, 3])
def test_a_limit_draws_the_rows_of_a_run_with_that_limit(task_run: Path, limit: int) -> None:
    task = load_task(task_run / "task.yaml", [f"evaluation.limit={limit}"])
    drawn = gather(of_one(task))["tiny"].tested
    assert len(drawn) == limit
    for seed in (0, 1):
        seeded = of_one(task).changed(seed=seed)
        assert (gather(seeded)["tiny"].tested == drawn) == (seed == 0)


def rows_of(folder: Path) -> Sequence[str]:
    """Return the test rows that the specialist answered."""
    found = [json.loads(p.read_text())["inputs"]["rows"] for p in folder.glob("answers-specialist-*/manifest.json")]
    (rows,) = {tuple(rows) for rows in found}
    return rows


def test_both_studies_test_the_rows_of_a_run_and_tell_of_them_alike(task_run: Path, tmp_path: Path) -> None:
    """A task's study with two seeds, a scenario's of the same task, and a run, all with --limit 4."""
    limited = ["--limit", "4", "--quiet", "--out"]
    settings = ["training.epochs=1", "evaluation.baselines=[few_shot]", "evaluation.timed_rows=0"]
    folder = tmp_path / "s"
    folder.mkdir()
    text = (task_run / "task.yaml").read_text()
    kept = [
        line for line in text.splitlines() if not line.startswith(("engine:", "training:", "evaluation:", "model:"))
    ]
    (folder / "tiny.yaml").write_text("\n".join([*kept, "train: train.jsonl"]))
    shutil.copy(task_run / "test.jsonl", folder)
    make_labelled(folder)
    shared = [line for line in text.splitlines() if line.startswith(("engine:", "training:", "evaluation:", "model:"))]
    (folder / "mixture.yaml").write_text("\n".join(["name: s", "tasks: {tiny: {synthetic: 0}}", *shared]))
    (folder / "task.yaml").write_text("\n".join([*kept, *shared, "train: train.jsonl", "train_use: instead"]))

    task, outs = str(folder / "task.yaml"), {name: tmp_path / name for name in ("run", "rows", "tasks")}
    assert run_cli(["run", task, *settings, *limited, str(outs["run"])]) == 0
    assert run_cli(["study", task, *settings, "--share", "0.5", "--seeds", "2", *limited, str(outs["rows"])]) == 0
    assert run_cli(["study", str(folder), *settings, "--of", "tuning", *limited, str(outs["tasks"])]) == 0
    ran = rows_of(outs["run"])
    assert len(ran) == 4
    assert rows_of(outs["rows"]) == ran and rows_of(outs["tasks"] / "tasks" / "tiny") == ran

    records = [storage.read_json(outs["rows"] / "study.json"), storage.read_json(outs["tasks"] / "study-tuning.json")]
    for record in records:
        assert [encode(decode(Outcome, one)) for one in record] == record
        assert all(set(one) == {field.name for field in dataclasses.fields(Outcome)} for one in record)
    base = [next(one for one in record if one["name"] == BASE) for record in records]
    assert base[0]["by_seed"] == base[1]["by_seed"], "the same base, asked in the same way, on the same rows"


def test_a_study_in_a_runs_folder_trains_nothing_that_the_run_has(scenario_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(scenario_run / "out", out)
    before = steps(out)
    command = ["study", str(scenario_run), "--of", "tuning", "--out", str(out), "--quiet"]
    assert run_cli(command) == 0
    made = sorted(step.rpartition("-")[0] for step in steps(out) - before)
    # LoRA and the base are the run's; only the full model was trained and asked.
    assert [name for name in made if "training" in name or "mixture" in name] == ["training"]
    assert sum(name.endswith("/asked") for name in made) == 2
