"""Two of the examples, run small with the real model: they end with a product that answers as it was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

import metier
from metier.cli import run_cli
from tests.runs.made import facts_of, read_rows

pytestmark = pytest.mark.model
EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = (
    "synthesis.inputs=8", "synthesis.input_max_tokens=48", "synthesis.min_pairs=1", "training.epochs=1",
    "training.holdout_share=0", "training.demonstrations=false", "evaluation.limit=8", "evaluation.max_tokens=4",
    "evaluation.resamples=200", "evaluation.timed_rows=1",
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("newspaper-sections", "evaluation.baselines=[label_scoring,tfidf]"),  # and the run chooses
        ("ticket-routing", "ship=specialist"),
    ],
)
def test_an_example_ends_with_a_product_that_answers_its_test_rows_as_evaluation_did(
    smollm2: Path, tmp_path: Path, name: str, more: str
) -> None:
    few = () if "baselines" in more else ("evaluation.baselines=[label_scoring]",)
    out = tmp_path / "run"
    assert run_cli(["run", str(EXAMPLES / name / "task.yaml"), *SMALL, more, *few, "--out", str(out), "--quiet"]) == 0
    product = facts_of(out).product
    assert product is not None and product.measured is not None and product.measured.rows == 8
    (step,) = out.glob("evaluation-??????????")
    judged = [row for row in read_rows(step / "predictions.jsonl") if row["system"] == product.system]
    assert {row["prediction"] for row in judged} <= set(product.labels or ())
    answers = tmp_path / "answers.jsonl"
    assert run_cli(["predict", str(out), str(step / "rows.jsonl"), "-o", str(answers), "--quiet"]) == 0
    assert [row["prediction"] for row in read_rows(answers)] == [row["prediction"] for row in judged]
    assert metier.load(out)([row["input"] for row in judged]) == [row["prediction"] for row in judged]
