from __future__ import annotations

import json
import subprocess
import sys

from rich.console import Console

from metier.report.facts import RunFacts
from metier.report.sentences import advice, caveats
from metier.report.table import result_json, result_table

from .conftest import Make, advising


def _printed(facts: RunFacts) -> list[str]:
    console = Console(width=110, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        console.print(result_table(facts))
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_the_table_shows_a_system_a_row_with_its_gain(make: Make) -> None:
    lines = _printed(make())
    assert lines[0] == "ticket-routing: 150 test rows"
    assert "prompted, few-shot 56.4 +12.3 [+6.1, +18.4] 0.002 43 s" in lines
    assert lines[1].endswith("p (uncorrected) learning answering")
    assert lines[-1] == "specialist 68.7 4 min 00 s 9.8 s"


def test_without_a_test_the_table_says_so(untested: RunFacts) -> None:
    assert _printed(untested)[0] == "ticket-routing: no test rows"


def test_the_json_holds_verdict_scores_intervals_counts_and_seconds(make: Make) -> None:
    result = json.loads(json.dumps(result_json(make()), allow_nan=False))
    assert result["run"] == "runs/ticket-routing"
    assert result["verdict"] == "better"
    assert result["recommended"] == "specialist"
    assert result["notes"] == list(caveats(make())) and "8.8 points" in result["notes"][0]
    assert result["detectable"] == 8.8
    assert result["gain"] == {"value": 12.3, "low": 6.1, "high": 18.4}
    assert result["systems"]["majority"]["specialist_gain"] == {"value": 39.4, "low": 30.0, "high": 48.7}
    assert result["systems"]["majority"]["p_value_uncorrected"] == 0.001
    assert (result["p_value"], result["p_value_corrected_for"]) == (0.002, 1)
    assert (result["ability"]["value"], result["seeds"]) == (9.0, {"7": 81.3, "8": 79.0})
    assert result["systems"]["specialist"]["scores"]["exact_match"] == 68.7
    assert result["counts"]["test_rows"] == 150
    assert result["counts"]["labels"]["billing"] == 53
    assert result["counts"]["synthesis"]["balance"] == 208
    assert result["counts"]["pairs_by_origin"] == {"example": 4, "synthetic": 208}
    assert result["counts"]["training_pairs"] == 212
    assert result["seconds"]["training"] == 96.0


def test_the_json_recommends_what_was_found_about_the_need(make: Make, untested: RunFacts) -> None:
    for system in ("few_shot", "majority", "specialist"):
        told = result_json(advising(make(), system))
        assert (told["recommended"], told["advice"]) == (system, advice(advising(make(), system)))
    assert result_json(untested)["recommended"] == "base"
    assert result_json(untested)["gain"] is None


def test_reports_need_no_model_library() -> None:
    code = (
        "import sys, metier.report.html, metier.report.card, metier.report.table\n"
        "heavy = {'torch', 'transformers', 'huggingface_hub', 'jinja2', 'rich', 'numpy', 'scipy', 'metier.synthesis',"
        " 'metier.training', 'metier.evaluation.metrics'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
