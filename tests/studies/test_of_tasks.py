"""Studies of a scenario: what each way of making its model is worth."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.cli import run_cli
from metier.core import storage
from metier.core.codec import decode
from metier.evaluation.variants import Outcome
from metier.studies.of_tasks import STUDIES, TasksPlan
from metier.tasks.read_scenario import load_scenario
from tests.runs.made import make_scenario, read_rows, steps

OF = ("data", "left_out", "tuning", "sizes", "adapters", "wordings")
FIRST = {
    "data": "scenario data",
    "left_out": "all tasks",
    "tuning": "lora",
    "sizes": "all rows",
    "adapters": "one model",
    "wordings": "many wordings",
}


def outcomes(path: Path) -> list[Outcome]:
    return [decode(Outcome, one) for one in storage.read_json(path)]


def asked(folder: Path, out: Path) -> list[str]:
    few = ["tasks.mend.rows=8", "tasks.shorten.rows=8", f"generic.data={folder / 'generic.jsonl'}", "generic.share=0.5"]
    of = [word for name in OF for word in ("--of", name)]
    return ["study", str(folder), *few, *of, "--rows", "4", "--limit", "2", "--out", str(out), "--quiet"]


@pytest.fixture(scope="module")
def studied(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A scenario's folder, and a folder of all studies of it that need no second model."""
    folder = make_scenario(tmp_path_factory.mktemp("studied") / "s", tiny_model)
    out = folder.parent / "out"
    assert run_cli(asked(folder, out)) == 0
    return folder, out


def test_every_study_compares_with_its_first_variant(studied: tuple[Path, Path]) -> None:
    _, out = studied
    for name in OF:
        first, *others = outcomes(out / f"study-{name}.json")
        assert first.name == FIRST[name] and not first.over and others
        for one in others:
            assert set(one.over) == {first.name} and one.over[first.name].rival == first.name
            assert set(one.by_task) == {"mend", "shorten"}
        assert f"tiny: {name}" in (out / f"study-{name}.html").read_text()


def test_a_study_of_data_varies_what_is_trained_on(studied: tuple[Path, Path]) -> None:
    found = {o.name: o for o in outcomes(studied[1] / "study-data.json")}
    assert list(found) == ["scenario data", "generic data, as many rows", "both, half and half", "no tuning"]
    rows = {name: o.facts.get("rows") for name, o in found.items()}
    assert rows == {
        "scenario data": 16.0,
        "generic data, as many rows": 16.0,
        "both, half and half": 32.0,
        "no tuning": None,
    }


def test_a_task_that_is_left_out_is_tested_and_not_trained_on(studied: tuple[Path, Path]) -> None:
    found = {o.name: o for o in outcomes(studied[1] / "study-left_out.json")}
    assert list(found) == ["all tasks", "without mend", "without shorten", "no tuning"]
    tasks = [{row["task"] for row in read_rows(path)} for path in studied[1].glob("mixture-*/rows.jsonl")]
    assert {"shorten", "generic"} in tasks and {"mend", "generic"} in tasks


def test_unseen_wordings_are_a_variant_of_their_own(studied: tuple[Path, Path]) -> None:
    assert [o.name for o in outcomes(studied[1] / "study-wordings.json")] == [
        "many wordings",
        "one wording",
        "many wordings, asked in unseen ones",
        "one wording, asked in unseen ones",
    ]


def test_studies_share_what_they_train_and_go_on(
    studied: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = studied
    made = {step: (out / step / "manifest.json").stat().st_mtime_ns for step in steps(out)}
    trained = [step for step in made if step.startswith("training")]
    # The scenario as it is (a variant of five studies), without generic data, with it alone; without a task, twice; all
    # weights; all rows, 4 rows; a model a task, twice; tuned on from the one, twice; one wording.
    assert len(trained) == 13
    found = {name: (out / f"study-{name}.json").read_text() for name in OF}
    assert run_cli(asked(folder, out)) == 0
    assert {step: (out / step / "manifest.json").stat().st_mtime_ns for step in steps(out)} == made
    assert {name: (out / f"study-{name}.json").read_text() for name in OF} == found
    told = capsys.readouterr().out
    assert all(f"{name} (compared with: {FIRST[name]})" in told for name in OF)


def test_the_variants_of_studies_that_need_more(tiny_model: Path, tmp_path: Path) -> None:
    scenario = load_scenario(make_scenario(tmp_path, tiny_model) / "mixture.yaml")
    models = STUDIES["models"](scenario, TasksPlan(("models",), models=("other", str(tiny_model))))
    assert [(v.name, v.trains) for v in models] == [
        (str(tiny_model), True),
        (f"{tiny_model}, no tuning", False),
        ("other", True),
        ("other, no tuning", False),
    ]
    assert models[2].scenario.settings.model == "other" and models[2].scenario.tasks["mend"].model == "other"
    labels = {v.name: v for v in STUDIES["labels"](scenario, TasksPlan(("labels",)))}
    assert list(labels) == [
        "50 labels",
        "50 labels and synthetic",
        "50 labels and selected synthetic",
        "all labels",
        "no tuning",
    ]
    entry = labels["50 labels and selected synthetic"].scenario.settings.tasks["mend"]
    assert (entry.rows, entry.synthetic, entry.select_synthetic) == (50, 300, 0.5)
    assert not labels["no tuning"].trains and labels["all labels"].scenario == scenario


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "say what to vary"),
        (["--of", "colour"], "'colour' is not known"),
        (["--of", "data"], "no generic data"),
        (["--of", "models"], "there is one model"),
        (["--of", "left_out", "--task", "mend"], "there is one task"),
        (["--of", "sizes", "--task", "nothing"], "task 'nothing' is not in tiny"),
    ],
)
def test_a_study_of_tasks_says_what_it_lacks(
    scenario_run: Path, tmp_path: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["study", str(scenario_run), *arguments, "--out", str(tmp_path), "--quiet"]) == 2
    assert told in capsys.readouterr().err
    assert steps(tmp_path) == set(), "nothing was made"
