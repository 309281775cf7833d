"""Studies of how a task's model writes its own data: their variants, and real ones of a tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.cli import run_cli
from metier.core import storage
from metier.core.codec import decode
from metier.core.errors import UserError
from metier.evaluation.variants import Outcome
from metier.studies.of_synthesis import STUDIES, SynthesisPlan
from metier.tasks.read_task import load_task
from tests.runs.made import make_labelled, make_task

PLAN = SynthesisPlan(tuple(STUDIES), 1, (4, 8))


def named(path: Path, study: str, *overrides: str) -> list[str]:
    return [said for said, _ in STUDIES[study](load_task(path, overrides), PLAN)]


def test_a_filter_is_left_out_only_where_it_is_on(tiny_model: Path, tmp_path: Path) -> None:
    task = make_task(tmp_path, tiny_model)
    assert named(task, "filters", "synthesis.noise_filter=true", "synthesis.near_duplicates=0.7") == [
        "without the noise filter",
        "without the length filter",
        "exact duplicates alone",
    ]
    assert named(task, "filters", "recipe=self-guide") == ["without the length filter", "without balance"]


def test_agreement_labels_temperature_and_pairs_vary_what_they_say(tiny_model: Path, tmp_path: Path) -> None:
    task = make_task(tmp_path, tiny_model)
    read, asked = (s.tasks["tiny"].synthesis for _, s in STUDIES["agreement"](load_task(task), PLAN))
    assert (read.keep_share, read.check_pairs, asked.check_pairs) == (1.0, True, False)
    assert named(task, "agreement", "recipe=self-guide") == ["without least agreement"]
    (without,) = (s.tasks["tiny"].synthesis for _, s in STUDIES["asked_labels"](load_task(task), PLAN))
    assert not without.pseudo_labels
    assert named(task, "temperature") == ["temperature 0.6", "temperature 1", "temperature 1.2"]
    assert [s.settings.rows for _, s in STUDIES["pairs"](load_task(task), PLAN)] == [4, 8]


def test_free_text_is_not_asked_for_by_label(tiny_model: Path, tmp_path: Path) -> None:
    task = load_task(make_task(tmp_path, tiny_model), ["labels=null", "synthesis.noise_filter=true"])
    with pytest.raises(UserError, match="not asked for by label"):
        STUDIES["asked_labels"](task, PLAN)


def test_studies_run_side_by_side_and_share_their_steps(tiny_model: Path, tmp_path: Path) -> None:
    task, out = make_task(tmp_path, tiny_model), tmp_path / "out"
    quick = ["training.epochs=1", "synthesis.input_length_filter=false", "--seeds", "1", "--quiet", "--out", str(out)]
    of = ["--of", "agreement", "--of", "asked_labels", "--of", "pairs", "--rows", "4"]
    assert run_cli(["study", str(task), *quick, *of]) == 0
    found = {
        name: [decode(Outcome, one) for one in storage.read_json(out / f"study-{name}.json")]
        for name in ("agreement", "asked_labels", "pairs")
    }
    assert [o.name for o in found["agreement"]] == [
        "as it is", "all pairs, read again", "all pairs, as asked for", "no tuning",
    ]  # fmt: skip
    rows = [o.facts.get("rows") for o in found["agreement"]]
    assert rows[0] is not None and rows[1] is not None and rows[0] < rows[1] == rows[2] and rows[3] is None
    assert [o.facts.get("rows") for o in found["pairs"]][1] == 6.0, "the two examples beside"
    assert all(set(o.over) == {"as it is"} for o in found["pairs"][1:])
    # As it is: written and trained once for all three studies; so are all pairs.
    written = list(out.glob("synthesis-*/manifest.json"))
    assert len(written) == 4
    assert (out / "study-agreement.html").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--of", "weather"], "--of: 'weather' is not known for a task"),
        (["--of", "pairs", "--share", "0.1"], "--of: varies how pairs are written"),
        (["--rows", "4"], "--rows is for --of pairs"),
        (["--of", "pairs", "train=train.jsonl", "train_use=instead"], "the model writes no pairs"),
    ],
)
def test_what_cannot_be_studied_is_said(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    make_labelled(tmp_path)
    assert run_cli(["study", str(make_task(tmp_path, tiny_model)), *options, "--out", str(tmp_path / "out")]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
