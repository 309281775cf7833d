from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from metier.evaluation.scored import Scored, mean_of
from metier.evaluation.variants import BASE, Outcome, Variant, compare_variants
from metier.report.study import study_sentences, study_table, write_study


def right(share: float, seed: int, rows: int = 400) -> Scored:
    return mean_of(np.where(np.random.default_rng(seed).random(rows) < share, 100.0, 0.0))


def cell(
    group: str, share: float, score: float, seeds: Sequence[int] = (1, 2, 3), wordings: int | None = None
) -> Variant:
    """Return one cell of a study of selection: a strategy, a budget, and maybe in how many wordings."""
    told = "" if wordings is None else f", {wordings} wordings"
    over = {"random": f"random, {100 * share:g}%{told}"}
    over |= (
        {"related": "all related"} if wordings is None else {"one wording": f"{group}, {100 * share:g}%, 1 wordings"}
    )
    facts = {"share": share, "rows": 1000 * share} | ({} if wordings is None else {"wordings": float(wordings)})
    return Variant(f"{group}, {100 * share:g}%{told}", {"nli": {s: right(score, s) for s in seeds}}, facts, group, over)


def of_selection() -> tuple[Outcome, ...]:
    return compare_variants(
        [
            Variant(BASE, {"nli": {0: right(0.3, 0)}}),
            cell("random", 0.01, 0.4),
            cell("k_center", 0.01, 0.6, (11, 12, 13)),
            cell("random", 0.1, 0.72, (21, 22, 23)),
            cell("k_center", 0.1, 0.75, (31, 32, 33)),
            Variant("all related", {"nli": {s: right(0.74, s) for s in (41, 42, 43)}}, {"rows": 500.0}),
        ],
        resamples=500,
    )


def of_a_scenario() -> tuple[Outcome, ...]:
    return compare_variants(
        [
            Variant("all", {"a": {0: right(0.6, 1)}, "b": {0: right(0.5, 2)}}, {"rows": 2000.0}),
            Variant("less", {"a": {0: right(0.3, 3)}, "b": {0: right(0.5, 2)}}),
            Variant("more", {"a": {0: right(0.9, 4)}, "b": {0: right(0.5, 2)}}),
        ],
        against="all",
    )


def printed(found: Sequence[Outcome]) -> str:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(study_table(found))
    return console.export_text()


def test_the_smallest_budget_that_will_do_is_named() -> None:
    said = " ".join(study_sentences(of_selection()))
    assert "k_center: 10% (100 rows) is the smallest budget that is not shown to be worse than training on all" in said
    assert "k_center, 1% is better than as many random rows: +" in said
    small = [o for o in of_selection() if o.facts.get("share") != 0.1]
    assert "k_center: every budget is significantly worse than training on all related rows." in study_sentences(small)


def test_without_a_gain_it_is_said() -> None:
    same = [
        Variant("random, 1%", {"t": {0: right(0.5, 1)}}, {"share": 0.01}, "random"),
        Variant("nearest, 1%", {"t": {0: right(0.5, 1)}}, {"share": 0.01}, "nearest", {"random": "random, 1%"}),
    ]
    assert study_sentences(compare_variants(same, resamples=200)) == [
        "No strategy was shown to be better than as many random rows."
    ]
    assert study_sentences(of_a_scenario()) == []


def test_more_wordings_are_set_beside_one_of_the_same_rows() -> None:
    several = compare_variants(
        [
            cell("random", 0.5, 0.4, (1,), 1),
            cell("k_center", 0.5, 0.4, (2,), 1),
            cell("random", 0.5, 0.4, (3,), 9),
            cell("k_center", 0.5, 0.7, (4,), 9),
        ],
        resamples=200,
    )
    said = study_sentences(several)
    assert any(line.startswith("k_center, 50%, 9 wordings: +") and line.endswith("over one wording.") for line in said)
    assert "More wordings were not shown to be better than one." in study_sentences(several[:3])


def test_the_table_of_one_task_has_seeds_and_differences() -> None:
    text = printed(of_selection())
    assert "by seed" in text and "over random" in text and "over related" in text
    assert "share" not in text and "nli" not in text  # the name says the one, and there is one task
    assert study_table(of_selection()).row_count == 6


def test_the_table_of_several_tasks_marks_what_differs_significantly() -> None:
    text = printed(of_a_scenario())
    less, more = (next(line for line in text.splitlines() if line.startswith(name)) for name in ("less", "more"))
    a_less, a_more = (f"{o.by_task['a'].value:.1f}" for o in of_a_scenario()[1:])
    assert f"{a_less}-" in less and f"{a_more}+" in more
    assert "+ and -: significantly above or below all." in " ".join(text.split())
    assert "2,000" in text and "over all" in text and "by seed" not in text


def test_the_page_holds_every_variant_and_a_curve(tmp_path: Path) -> None:
    write_study(of_selection(), "a <task>", tmp_path / "study.html")
    page = (tmp_path / "study.html").read_text()
    assert "a &lt;task&gt;" in page and page.count("<svg") == 2
    assert all(o.name in page for o in of_selection())


def test_the_page_of_several_tasks_has_differences_by_task(tmp_path: Path) -> None:
    write_study(of_a_scenario(), "a study", tmp_path / "study.html")
    page = (tmp_path / "study.html").read_text()
    assert "less: a" in page and "less, mean" in page and "not corrected for the number of variants" in page
