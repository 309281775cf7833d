"""A study of which rows are trained on: its variants, and a real one of a pool and of labelled rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.cli import run_cli
from metier.core import storage
from metier.core.codec import decode
from metier.evaluation.variants import Outcome
from metier.studies.of_rows import RowsPlan, variants_of
from metier.tasks.read_task import load_task
from tests.runs.made import LOW_DATA, make_labelled, make_pool, make_task, read_rows, steps, write_rows

QUICK = ("training.epochs=1", "evaluation.timed_rows=0", "--quiet")


def outcomes(path: Path) -> list[Outcome]:
    return [decode(Outcome, one) for one in storage.read_json(path)]


def test_the_variants_of_a_pool(tiny_model: Path, tmp_path: Path) -> None:
    task = load_task(make_task(tmp_path, tiny_model, LOW_DATA))
    variants = variants_of(task, RowsPlan(("k_center",), (0.2, 0.1), 2))
    assert [v.name for v in variants] == [
        "no tuning",
        "random, 10%",
        "k_center, 10%",
        "random, 20%",
        "k_center, 20%",
        "all that count as the task's",
        "the whole pool",
    ]
    assert variants[0].seeds == (0,) and all(v.seeds == (0, 1) for v in variants[1:])
    assert [v.trains for v in variants] == [False, *[True] * 6]
    related = {"related": "all that count as the task's"}
    assert variants[2].over == {"random": "random, 10%", **related} and variants[1].over == related
    assert [v.control for v in variants[-2:]] == ["related", "pool"]


def test_a_study_of_a_pool_makes_everything_once_and_goes_on(tiny_model: Path, tmp_path: Path) -> None:
    task = make_task(tmp_path, tiny_model, LOW_DATA.replace("random, related, pool", "random, related"))
    make_pool(tmp_path)
    out = tmp_path / "out"
    more = ["--share", "0.1", "--strategy", "k_center", "--seeds", "2", "--out", str(out)]
    assert run_cli(["study", str(task), *QUICK, *more, "--html", str(tmp_path / "s.html")]) == 0
    found = outcomes(out / "study.json")
    assert [o.name for o in found] == ["no tuning", "random, 10%", "k_center, 10%", "all that count as the task's"]
    assert all(set(o.by_seed["tiny"]) == {"0", "1"} for o in found[1:]) and set(found[0].by_seed["tiny"]) == {"0"}
    assert [o.facts.get("rows") for o in found] == [None, 6.0, 6.0, 20.0]
    assert "no tuning" in (tmp_path / "s.html").read_text()
    made = {step: (out / step / "manifest.json").stat().st_mtime_ns for step in steps(out)}
    assert sum(step.startswith("training-") for step in made) == 6, "3 variants by 2 seeds"
    more[1], more[5] = "0.2", "1"
    assert run_cli(["study", str(task), *QUICK, *more, "--share", "0.1"]) == 0
    assert {step: (out / step / "manifest.json").stat().st_mtime_ns for step in made} == made
    assert sum(step.startswith("training-") for step in steps(out)) == 8, "2 more variants of one seed"


def test_a_study_of_labelled_rows_says_how_many_do_and_in_how_many_wordings(tiny_model: Path, tmp_path: Path) -> None:
    task = make_task(tmp_path, tiny_model, "wordings: [Say which team, Team please.]\ntrain: train.jsonl\n")
    make_labelled(tmp_path)
    labelled, tested = read_rows(tmp_path / "train.jsonl"), read_rows(tmp_path / "test.jsonl")
    write_rows(tmp_path / "train.jsonl", [*labelled, *tested])
    more = ["--share", "0.5", "--seeds", "1", "--wordings", "3", "--wordings", "1", "--out", str(tmp_path / "out")]
    assert run_cli(["study", str(task), *QUICK, *more]) == 0
    found = {o.name: o for o in outcomes(tmp_path / "out" / "study.json")}
    assert list(found) == [
        "no tuning",
        "random, 50%, 1 wording",
        "random, 50%, 3 wordings",
        "k_center, 50%, 1 wording",
        "k_center, 50%, 3 wordings",
    ]
    assert "one wording" in found["k_center, 50%, 3 wordings"].over
    assert "one wording" not in found["k_center, 50%, 1 wording"].over
    chosen = {len(read_rows(path)) for path in (tmp_path / "out").glob("selection-*/selected.jsonl")}
    tests = {row["input"] for row in tested}
    asked = {}
    for path in (tmp_path / "out").glob("mixture-*/rows.jsonl"):
        rows = [row for row in read_rows(path) if row["origin"] == "labelled"]
        assert not {row["input"] for row in rows} & tests, "no test row is trained on"
        asked[path.parent.name] = {row["instruction"] for row in rows}
    assert chosen == {6}, "half of 12: no budget is spent on test rows"
    assert {o.facts.get("rows") for o in found.values()} == {None, 8.0}, "and two examples"
    assert len(asked) == 4
    assert sorted(len(wordings) for wordings in asked.values())[:2] == [1, 1]
    assert set().union(*asked.values()) == {"Name the team.", "Say which team", "Team please."}


@pytest.mark.parametrize(
    ("extra", "arguments", "told"),
    [
        ("", [], "nothing to select from"),
        ("train: train.jsonl\n", ["--wordings", "4"], "4 wordings, but the task has 1"),
        (LOW_DATA, ["--wordings", "1"], "a pool's rows have their own instructions"),
        (LOW_DATA, ["--strategy", "best"], "'best' is not known"),
        (LOW_DATA, ["--share", "1.5"], "--share: must be above 0 and at most 1"),
        (LOW_DATA, ["test=null"], "the task has no test file"),
        (LOW_DATA, ["--of", "data"], "--of: 'data' is not known for a task"),
    ],
)
def test_a_study_of_rows_says_what_it_lacks(
    tiny_model: Path,
    tmp_path: Path,
    extra: str,
    arguments: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    task = make_task(tmp_path, tiny_model, extra)
    make_labelled(tmp_path)
    make_pool(tmp_path)
    assert run_cli(["study", str(task), *arguments, "--out", str(tmp_path / "out"), "--quiet"]) == 2
    assert told in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*-*")), "nothing was made"
