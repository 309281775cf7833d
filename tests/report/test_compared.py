from __future__ import annotations

import io
import json
from pathlib import Path

from rich.console import Console

from metier.core.records import Interval
from metier.evaluation.compare_runs import Differing, Pairing, RunLine, RunsCompared
from metier.report.compared import compared_json, compared_sentences, compared_tables, write_compared


def line(name: str, pairs: int, after: float) -> RunLine:
    gain = Interval(after - 50, after - 55, after - 45)
    return RunLine(name, "<b>t</b>", "m", "sari", 150, pairs, "prompted, few-shot", 50.0, after, gain, 0.02, "better")


DIFFERING = Differing("<script>alert(1)</script>", "right", "one", "two", 0.0, 100.0)
COMPARED = RunsCompared(
    lines=(line("small", 100, 60.0), line("large", 400, 70.0)),
    pairings=(Pairing("small", "large", 150, Interval(10, 5, 15), 0.01, 30, 100, 20, (DIFFERING,)),),
    wins=2,
    ties=0,
    losses=0,
    mean=Interval(15, 10, 20),
    mean_tasks=2,
    notes=("A note.",),
)


def test_the_tables_say_that_p_is_corrected() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    for table in compared_tables(COMPARED):
        console.print(table)
    text = console.export_text()
    assert text.count("p (corrected)") == 2 and "+10.0 [+5.0, +15.0]" in text and "0.020" in text


def test_the_sentences_count_what_was_shown() -> None:
    said = compared_sentences(COMPARED)
    assert said[0] == (
        "Of 2 runs, 2 are significantly better than every system without the specialist, 0 are significantly worse "
        "than the best of them, and 0 are not shown to be either."
    )
    assert "+15.0 [+10.0, +20.0]" in said[1] and said[2] == "A note."


def test_the_json_holds_lines_and_sentences() -> None:
    told = json.loads(json.dumps(compared_json(COMPARED)))
    assert told["lines"][1]["after"] == 70.0 and told["sentences"][-1] == "A note."


def test_the_page_escapes_and_draws_score_by_size(tmp_path: Path) -> None:
    write_compared(COMPARED, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page and "<b>t" not in page and "&lt;script&gt;" in page
    assert page.count("<svg") == 2 and "score by training pairs" in page
