"""What cards and pages of real runs say: of each recipe, and of a scenario whose pairs are all synthetic."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from metier.cli import run_cli
from metier.report.scenario_card import write_scenario_card
from tests.runs.made import (
    FEW,
    LOW_DATA,
    cost,
    facts_of,
    make_labelled,
    make_pool,
    make_task,
    mixed,
    read_rows,
    scenario_of_run,
    steps,
)

WROTE = "The base model wrote"
MISTAKES = "Some of its training data was written by its base model"


def card_of(run: Path, step: str = "training") -> str:
    (path,) = run.glob(f"{step}-??????????/adapter/README.md")
    return path.read_text()


def tags_of(card: str) -> list[str]:
    tags: list[str] = yaml.safe_load(card.split("---\n")[1])["tags"]
    return tags


def page_of(run: Path) -> str:
    return (run / "report.html").read_text()


# --- pairs that the model wrote


def test_a_run_of_the_backward_recipe_says_that_the_base_model_wrote_its_pairs(task_run: Path) -> None:
    facts, card, page = facts_of(task_run / "out"), card_of(task_run / "out"), page_of(task_run / "out")
    written = facts.data.pairs_by_origin["synthetic"]
    assert facts.recipe == "backward" and facts.data.synthesis_funnel[0].kept >= 48
    assert "synthetic-data" in tags_of(card) and "backward" in tags_of(card)
    for told in (card, page):
        assert f"{written} synthetic pair" in told and "2 hand-written examples" in told and WROTE in told
        assert "chosen from a pool" not in told
    assert MISTAKES in card


@pytest.fixture(scope="module")
def voted_run(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the self-guide recipe on free text, with a vote that random answers can win."""
    folder = tmp_path_factory.mktemp("self-guide")
    task = make_task(folder, tiny_model, "recipe: self-guide\n")
    out = folder / "out"
    settings = [f"synthesis.{said}" for said in ("agreement=0.01", "input_max_tokens=96", "output_max_tokens=48")]
    settings += ["labels=null", "synthesis.input_length_filter=false", "synthesis.output_length_filter=false"]
    settings += ["prompt.specialist_demonstrations=false", "training.method=lora", "training.learning_rate=1e-4"]
    assert run_cli(["run", str(task), *settings, *FEW, "--out", str(out), "--quiet"]) == 0
    return out


def test_a_run_of_the_self_guide_recipe_says_so_too(voted_run: Path) -> None:
    facts, card, page = facts_of(voted_run), card_of(voted_run), page_of(voted_run)
    assert facts.recipe == "self-guide" and facts.data.synthetic > 0
    assert {"synthetic-data", "self-guide"} <= set(tags_of(card))
    for told in (card, page):
        assert "synthetic pair" in told and WROTE in told and "chosen from a pool" not in told
    assert MISTAKES in card


# --- rows from a pool


@pytest.fixture(scope="module")
def chosen_run(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the low-data recipe with a pool and all its controls."""
    folder = tmp_path_factory.mktemp("low-data")
    task = make_task(folder, tiny_model, LOW_DATA)
    make_pool(folder)
    assert run_cli(["run", str(task), *FEW, "--out", str(folder / "out"), "--quiet"]) == 0
    return folder / "out"


def test_a_low_data_run_is_tuned_beside_its_controls(chosen_run: Path) -> None:
    facts = facts_of(chosen_run)
    assert facts.judged is not None
    systems = {s.system for s in facts.judged.systems}
    assert {"trained_random", "trained_related", "trained_pool", "specialist"} <= systems
    assert [step.stage for step in facts.data.selection_funnel] == ["rows to choose from", "the task's part", "chosen"]
    assert facts.data.pairs_by_origin["pool"] == 6
    sizes = {p.parent.name.rpartition("-")[0]: len(read_rows(p)) for p in chosen_run.glob("selection*/selected.jsonl")}
    assert sizes["selection"] == sizes["selection-random"] == 6 and sizes["selection-pool"] == 20
    assert {s.rpartition("-")[0] for s in steps(chosen_run) if s.startswith("training")} == {
        "training",
        "training-random",
        "training-related",
        "training-pool",
    }


def test_the_rows_of_a_pool_say_themselves_what_is_wanted(chosen_run: Path) -> None:
    for path in chosen_run.glob("mixture-*/rows.jsonl"):
        rows = read_rows(path)
        assert all(row["instruction"] == "" for row in rows if row["origin"] == "pool")
        assert all(row["instruction"] == "Name the team." for row in rows if row["origin"] == "example")


def test_a_low_data_run_says_that_its_rows_were_chosen_and_not_that_a_model_wrote_them(chosen_run: Path) -> None:
    card, page = card_of(chosen_run), page_of(chosen_run)
    assert "low-data" in tags_of(card) and "synthetic-data" not in tags_of(card)
    for told in (card, page):
        assert "6 rows chosen from a pool" in told and "The pool has 60 rows" in told and "6 were chosen" in told
        assert WROTE not in told and "synthetic pair" not in told
    assert MISTAKES not in card


def test_labelled_rows_are_not_called_synthetic(tiny_model: Path, tmp_path: Path) -> None:
    task = make_task(tmp_path, tiny_model, "train: train.jsonl\ntrain_use: instead\n")
    make_labelled(tmp_path)
    assert run_cli(["run", str(task), "test=null", *FEW, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    card = card_of(tmp_path / "out")
    assert "synthetic-data" not in tags_of(card) and MISTAKES not in card
    for told in (card, page_of(tmp_path / "out")):
        assert "12 labelled rows" in told and WROTE not in told and "from a pool" not in told


# --- a scenario


@pytest.fixture(scope="module")
def written_scenario(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a scenario of two classification tasks for which the model writes every pair, and one model each."""
    folder = tmp_path_factory.mktemp("written")
    for name in ("teams", "more-teams"):
        said = yaml.safe_load(make_task(folder / name, tiny_model).read_text())
        mixture = {key: said.pop(key) for key in ("model", "engine", "training", "evaluation")}
        said |= {"name": name, "test": f"{name}/test.jsonl", "instruction": f"Name the team, {name}."}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(said))
    mixture |= {"name": "written", "synthetic": 24, "adapters": "each", "tasks": {"teams": {}, "more-teams": {}}}
    (folder / "mixture.yaml").write_text(yaml.safe_dump(mixture))
    settings = ["evaluation.baselines=[few_shot, tfidf]", "training.epochs=1"]
    assert run_cli(["run", str(folder), *settings, "--out", str(folder / "out"), "--quiet"]) == 0
    return folder / "out"


def test_a_scenarios_card_of_a_task_says_that_its_pairs_are_synthetic(written_scenario: Path) -> None:
    for name in ("teams", "more-teams"):
        facts = facts_of(written_scenario / "tasks" / name)
        assert facts.data.synthetic > 0 and set(facts.data.pairs_by_origin) == {"example", "synthetic"}
        card = card_of(written_scenario, f"training-{name}")
        assert "synthetic-data" in tags_of(card) and MISTAKES in card
        for told in (card, page_of(written_scenario / "tasks" / name)):
            assert f"{facts.data.synthetic} synthetic pair" in told and WROTE in told


def test_a_scenarios_writing_time_is_part_of_its_tuning_cost(written_scenario: Path) -> None:
    found = scenario_of_run(written_scenario)
    writing = {name: cost(written_scenario / "tasks" / name, "synthesis") for name in ("teams", "more-teams")}
    training = {name: cost(written_scenario, f"training-{name}") for name in ("teams", "more-teams")}
    assert found.writing_seconds == pytest.approx(sum(writing.values()))
    assert found.learning_seconds == pytest.approx(sum(writing.values()) + sum(training.values()))
    for name, need in found.need.items():
        took = {row.system: row.learning_seconds for row in need.rows}
        assert took["specialist"] >= writing[name] + training[name]
        assert took["few_shot"] < writing[name], "a prompt needs no pair"
        assert took["tfidf_synthetic"] >= writing[name] > took["tfidf_examples"]


def test_one_card_of_several_tasks_has_the_tag_only_if_some_pair_is_synthetic(scenario_run: Path) -> None:
    card = card_of(scenario_run / "out")
    assert "multi-task" in tags_of(card) and "synthetic-data" not in tags_of(card)
    assert WROTE not in card and card.count("16 labelled rows") == 2
    assert {row["origin"] for row in mixed(scenario_run / "out")} == {"labelled"}


def test_one_card_of_several_tasks_says_which_of_them_have_synthetic_pairs(tmp_path: Path, scenario_run: Path) -> None:
    """One task's facts are changed for it, as the tiny model writes no rewriting pairs."""
    mend, shorten = (facts_of(scenario_run / "out" / "tasks" / name) for name in ("mend", "shorten"))
    mend = dataclasses.replace(mend, data=dataclasses.replace(mend.data, pairs_by_origin={"synthetic": 9}))
    path = write_scenario_card(scenario_of_run(scenario_run / "out"), [mend, shorten], tmp_path, "x/y")
    card = path.read_text()
    assert "synthetic-data" in tags_of(card) and "9 synthetic pairs" in card and "16 labelled rows" in card
