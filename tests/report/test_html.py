from __future__ import annotations

import dataclasses
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from metier.core.errors import MetierError
from metier.core.records import Candidate, Interval, LossPoint, SystemScore
from metier.report.facts import BeforeAfter, RunFacts
from metier.report.html import render, write_report
from metier.report.made import FunnelStep, RenderedExample
from metier.report.sentences import advice

from .conftest import Make, advising, unclear, with_settings

ATTACK = "</td></table><script>alert(1)</script><img src=x onerror=alert(1)>\"'"
_VOID = {"meta", "link", "br", "img", "input"}


class _Page(HTMLParser):
    """Collects a page's tags, attributes and text, and fails where a tag is not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.sections: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data
        if self._open and self._open[-1] in ("h1", "h2"):
            self.sections.append(data.strip())


def test_the_page_is_well_formed_and_the_verdict_comes_first(make: Make) -> None:
    page = _Page(render(make()))
    assert page.sections == [
        "Better: +12.3 points exact match over the best system without it (prompted, few-shot), "
        "95% interval +6.1 to +18.4, on 150 rows.",
        "The task",
        "Scores",
        "Is it needed?",
        "What the gain is made of",
        "Label by label",
        "Worst errors",
        "Before and after",
        "The training data",
        "Training",
        "Cost",
        "Settings",
    ]
    assert "Not recommended" not in page.text


def test_what_the_evaluation_found_is_told_with_its_numbers(make: Make) -> None:
    text = _Page(render(make(leaked_rows=2, clean_gain=Interval(12.0, 5.9, 18.0)))).text
    for told in (
        "No other system comes within 2 points of the specialist (81.3).",
        "cheapest that is good enough",
        "p (uncorrected)",
        "410 ms",
        "0.4 ms",
        "9,000",
        "10 kB",
        "USD a million rows",
        "+9.0 [+3.0, +15.0] points of exact match",
        "Answering",
        "The specialist answers with the likeliest label",
        "81.3 (seed 7), 79.0 (seed 8)",
        "This is not a result: the model wrote those answers itself.",
        "expected calibration error 0.070",
        "2 test rows are nearly the same as something the model was trained on",
        "<b>Where is my parcel?",
        "1 row where the specialist lost most against prompted, few-shot",
        "20 of 150 test rows, drawn at random",
    ):
        assert told in text, told


def test_a_small_test_set_and_a_label_never_answered_are_told(make: Make) -> None:
    facts = make(**unclear(rows_needed=900))
    assert "too small to show the gain that was found: with about 900 rows" in _Page(render(facts)).text
    assert facts.judged is not None and facts.judged.by_label is not None
    labels = facts.judged.by_label.labels
    never = dataclasses.replace(
        facts.judged.by_label, labels=(dataclasses.replace(labels[0], predicted=0), *labels[1:])
    )
    assert "Never answered: billing." in _Page(render(make(by_label=never))).text


def test_a_label_without_test_rows_is_not_said_to_be_never_answered(make: Make) -> None:
    facts = make()
    assert facts.judged is not None and facts.judged.by_label is not None
    first, *others = facts.judged.by_label.labels
    without = dataclasses.replace(first, rows=0, predicted=0, precision=0.0, recall=0.0, f1=0.0)
    text = _Page(render(make(by_label=dataclasses.replace(facts.judged.by_label, labels=(without, *others))))).text
    assert "No test rows: billing, so nothing is known about it." in text and "Never answered" not in text
    assert re.search(r"billing\s*0\s*0\s*no test rows", text), "no precision, recall or F1 of 0"


def test_all_rows_are_not_said_to_be_drawn_at_random(make: Make) -> None:
    facts = make()
    assert facts.judged is not None
    assert "All 20 test rows. Before:" in " ".join(_Page(render(make(rows=20))).text.split())
    one = make(rows=1, sample=facts.judged.sample[:1])
    assert "The only test row. Before:" in " ".join(_Page(render(one)).text.split())


def test_what_a_kept_answer_scored_is_named_by_what_it_is(make: Make) -> None:
    pair = Candidate("r0.0", "an input", "an answer", "an answer", share=2.5)
    for method in ("backward", "damage"):
        free = with_settings(make(labels=None, candidates=(pair,)), "synthesis", method=method)
        assert "gain 2.50 nats a token" in _Page(render(free)).text
    voted = with_settings(
        make(labels=None, candidates=(dataclasses.replace(pair, share=0.4),)), "synthesis", method="self-guide"
    )
    assert "agreement 40%" in _Page(render(voted)).text and "nats a token" not in _Page(render(make())).text


def test_confidence_is_shown_where_the_specialist_has_some(make: Make) -> None:
    facts = make()
    assert facts.judged is not None and facts.judged.by_label is not None
    assert "Confidence is the probability that the specialist gives" in _Page(render(facts)).text
    silent = dataclasses.replace(facts.judged.by_label, reliability=(), calibration_error=None)
    text = _Page(render(make(by_label=silent))).text
    assert "onfidence" not in text and "Right answer (rows)" in text


def test_the_page_says_where_the_data_is_from(make: Make) -> None:
    funnel = (FunnelStep("rows to choose from", 50_000), FunnelStep("the task's part", 600), FunnelStep("chosen", 300))
    facts = make(pairs_by_origin={"pool": 300}, synthesis_funnel=(), selection_funnel=funnel, candidates=())
    text = _Page(render(facts)).text
    assert "The pool has 50,000 rows, 600 of which count as the task's; 300 were chosen." in text
    assert "wrote" not in text and "ynthetic pairs left" not in text


def test_a_verdict_among_several_tasks_says_what_was_corrected(make: Make) -> None:
    text = " ".join(_Page(render(make(p_value=0.014, claims=7))).text.split())
    assert "corrected for the 7 tasks that were judged together (Holm), which makes it 0.014" in text
    assert "judged together" not in _Page(render(make())).text


def test_unless_it_is_better_the_page_says_first_to_keep_the_base(make: Make, untested: RunFacts) -> None:
    worse = make(gain=Interval(-2.1, -3.9, -1.0), verdict="worse")
    for facts in (make(**unclear()), worse, untested):
        text = _Page(render(facts)).text
        assert text.index(advice(facts)) < text.index("The task")
    # A specialist that is not what to use is not recommended, better or not.
    for facts in (untested, advising(make(), "few_shot"), advising(make(**unclear()), "few_shot")):
        assert f"Not recommended. {advice(facts)}" in _Page(render(facts)).text


def test_without_a_test_it_says_what_cannot_be_known_and_shows_no_scores(untested: RunFacts) -> None:
    page = _Page(render(untested))
    assert "What cannot:" in page.text
    assert "Scores" not in page.sections
    assert "Before and after" not in page.sections


def test_a_test_too_small_for_an_interval_still_shows_its_scores(make: Make) -> None:
    facts = make(rows=1, baseline=None, gain=None, p_value=None, verdict=None)
    page = _Page(render(facts))
    assert {"Scores", "What this run can say"} <= set(page.sections)
    assert "too small for an interval" in page.sections[0]


def test_the_page_asks_for_nothing_outside_itself_and_runs_nothing(make: Make) -> None:
    text = render(make())
    page = _Page(text)
    assert not {"script", "img", "iframe", "object", "form", "base"} & set(page.tags)
    links = [value for name, value in page.attributes if name in ("href", "src", "action", "srcset", "poster")]
    assert links == []
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_what_a_model_or_a_file_says_is_never_markup(make: Make) -> None:
    facts = make(
        instruction=ATTACK,
        labels=(ATTACK, "b"),
        label_counts={ATTACK: 3},
        source=ATTACK,
        run_folder=ATTACK,
        warnings=(ATTACK,),
        sample=(BeforeAfter(ATTACK, ATTACK, ATTACK, ATTACK, 0.0, 100.0),),
        synthesis_funnel=(FunnelStep(ATTACK, 3, {ATTACK: 1}),),
        selection_funnel=(FunnelStep(ATTACK, 3),),
        candidates=(Candidate(ATTACK, ATTACK, ATTACK, ATTACK, ATTACK, ATTACK),),
        rendered_example=RenderedExample(ATTACK, ATTACK),
        settings={ATTACK: ATTACK, "nested": {ATTACK: [ATTACK]}},
    )
    page = _Page(render(facts))
    assert not {"script", "img"} & set(page.tags)
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert page.text.count("<script>alert(1)</script>") > 15


def test_text_that_is_no_text_does_not_spoil_the_file(make: Make, tmp_path: Path) -> None:
    odd = "a\x00b\ud800c\x1b[31md\u202ee"
    path = tmp_path / "report.html"
    write_report(make(instruction=odd, sample=(BeforeAfter(odd, odd, odd, odd, 0.0, 0.0),)), path)
    text = path.read_bytes().decode("utf-8")
    assert "a\ufffdb\ufffdc\ufffd[31md\u202ee" in text
    assert 'class="task" dir="auto"' in text  # a change of writing direction ends with its element


def test_a_very_long_text_is_cut(make: Make) -> None:
    facts = make(sample=(BeforeAfter("x" * 1_000_000, "a", "b", "c", 0.0, 0.0),))
    text = render(facts)
    assert len(text) < 200_000
    assert "(998,500 more characters)" in text


def test_every_figure_has_a_name_and_its_numbers_beside_it(make: Make) -> None:
    text = render(make())
    assert len(re.findall(r'<svg class="figure" role="img"[^>]*><title>[^<]+</title>', text)) == 6
    for number in ("56.4", "+12.3 [+6.1, +18.4]", "exact 30, near 16", "138", "0.5"):
        assert number in _Page(text).text


def test_the_changes_of_the_sample_are_counted(make: Make) -> None:
    rows = (
        BeforeAfter("a", "x", "y", "x", 0.0, 100.0),
        BeforeAfter("b", "x", "x", "y", 100.0, 0.0),
        BeforeAfter("c", "x", "x", "x", 100.0, 100.0),
        BeforeAfter("d", "x", "y", "x", 0.0, 100.0),
    )
    text = _Page(render(make(sample=rows))).text
    assert "Of these 4, 2 improved, 1 got worse, 1 scored the same" in " ".join(text.split())
    assert text.count("✓ right") == 5


def test_a_graded_metric_shows_its_numbers_and_not_right_or_wrong(make: Make) -> None:
    rows = (BeforeAfter("a", "x y", "x", "x y", 66.7, 100.0),)
    text = _Page(render(make(metrics=("rouge_l", "exact_match"), sample=rows, worst=()))).text
    assert "66.7" in text
    assert "✓ right" not in text and "✗ wrong" not in text


@pytest.mark.parametrize("threads", [2, None])
def test_that_scores_depend_on_the_threads_is_told_with_their_number(make: Make, threads: int | None) -> None:
    facts = make()
    facts = dataclasses.replace(facts, machine=dataclasses.replace(facts.machine, threads=threads))
    text = " ".join(_Page(render(facts)).text.split())
    assert "With another number of threads, the same seed may give scores that differ" in text
    assert ("2 cores, 2 threads, 16.0 GB" in text) == (threads == 2)


def test_a_long_loss_curve_is_thinned_but_keeps_every_holdout_point(make: Make) -> None:
    loss = tuple(LossPoint(s, s / 1000, 1.0, 0.123456 if s == 4321 else None) for s in range(1, 10_001))
    text = render(make(loss=loss, chosen_epoch=4))
    assert len(text) < 300_000
    assert "0.1235" in text
    assert "one step in 42, and all with a hold-out loss" in text


def test_a_diverged_loss_is_still_reported(make: Make) -> None:
    loss = (LossPoint(1, 0.5, float("nan")), LossPoint(2, 1.0, float("inf"), float("nan")))
    assert "nan" in _Page(render(make(loss=loss))).text


def test_settings_are_listed_flat(make: Make) -> None:
    text = _Page(render(make())).text
    for part in ("training.epochs", "training.gradient_checkpointing", "not set"):
        assert part in text
    assert "shown elsewhere" not in text


def test_settings_are_those_of_what_was_used(make: Make) -> None:
    settings = {
        "test": "/home/somebody/rows/test.jsonl",
        "selection": {"strategy": "k_center"},
        "synthesis": {"method": "backward", "keep_share": 0.5, "output_temperature": 0.2, "agreement": 0.3},
        "engine": {"kind": "transformers", "url": "http://localhost:8000/v1", "gguf": None, "dtype": "auto"},
        "prices": {"currency": "USD", "machine_hour": None},
        "evaluation": {"baselines": ["few_shot", "harper"], "timed_rows": 16},
    }
    text = " ".join(_Page(render(make(settings=settings))).text.split())
    written = ("synthesis.methodbackward", "synthesis.keep_share0.5")
    for part in (*written, "testtest.jsonl", "engine.dtypeauto", "evaluation.timed_rows16"):
        assert part in text
    other = ("synthesis.output_temperature", "synthesis.agreement", "engine.gguf")
    for part in (*other, "/home/somebody", "selection.", "engine.url", "prices.", "evaluation.baselines"):
        assert part not in text
    assert "systems that answeredmajority, zero_shot, few_shot, label_scoring, specialist" in text
    guided = with_settings(make(settings=settings), "synthesis", method="self-guide")
    text = _Page(render(guided)).text
    assert "synthesis.agreement" in text and "synthesis.keep_share" not in text
    voted = make(settings=settings)
    assert voted.judged is not None
    more = (*voted.judged.systems, SystemScore("sampled_majority", "vote", {"exact_match": 1.0}))
    voted = dataclasses.replace(voted, judged=dataclasses.replace(voted.judged, systems=more))
    text = _Page(render(voted)).text
    assert "synthesis.output_temperature" in text and "synthesis.agreement" not in text
    chosen = (FunnelStep("rows to choose from", 50_000), FunnelStep("chosen", 300))
    pool = make(settings=settings, pairs_by_origin={"pool": 300}, synthesis_funnel=(), selection_funnel=chosen)
    text = _Page(render(pool)).text
    assert "selection.strategy" in text and "synthesis.method" not in text
    served = make(settings={"engine": {"kind": "openai", "url": "http://x/v1"}, "prices": {"machine_hour": 2.0}})
    assert "engine.url" in _Page(render(served)).text and "prices.machine_hour" in _Page(render(served)).text


def test_a_folder_that_cannot_be_written_is_an_error_with_a_hint(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MetierError, match=r"report\.html"):
        write_report(make(), tmp_path / "file" / "report.html")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
