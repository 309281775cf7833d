from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from metier.core.records import Interval, SystemScore
from metier.report.facts import RunFacts
from metier.report.made import Data, FunnelStep
from metier.report.sentences import advice, caveats, data_sentences, held_out_sentence, verdict_sentence

from .conftest import Make, unclear


def changed(facts: RunFacts, key: str, **more: Any) -> tuple[SystemScore, ...]:
    """Return the result table with one system's row changed."""
    assert facts.judged is not None
    return tuple(dataclasses.replace(s, **more) if s.system == key else s for s in facts.judged.systems)


def test_the_verdict_is_one_sentence_with_interval_and_rows(make: Make) -> None:
    assert verdict_sentence(make()) == (
        "Better: +12.3 points exact match over the best system without it (prompted, few-shot), "
        "95% interval +6.1 to +18.4, on 150 rows."
    )
    assert verdict_sentence(make(claims=7)).endswith("on 150 rows, p-values corrected for 7 tasks.")


def test_a_verdict_that_is_not_better_says_to_keep_the_base(make: Make) -> None:
    worse = make(gain=Interval(-5.0, -9.0, -1.0), verdict="worse", rows=1)
    assert verdict_sentence(make(**unclear())).startswith("Not shown to be better: +2.1 points")
    assert verdict_sentence(worse).startswith("Worse: -5.0 points")
    assert "on 1 row." in verdict_sentence(worse)
    for facts in (make(**unclear()), worse):
        assert verdict_sentence(facts).endswith("Keep the base model.")


def test_the_advice_is_about_the_system_that_was_not_beaten(make: Make) -> None:
    assert advice(make(**unclear(baseline="majority"))) == (
        "Do not use a model for this yet: the majority class needs none."
    )
    copied = changed(make(), "majority", system="copied_input")
    assert advice(make(**unclear(baseline="copied_input", systems=copied))).startswith("Leave the text as it is")
    tuned = changed(make(), "zero_shot", kind="tuned", title="tuned on examples alone")
    facts = make(**unclear(baseline="zero_shot", systems=tuned))
    assert advice(facts) == "Use this instead: tuned on examples alone."


def test_without_a_verdict_the_sentence_says_why(make: Make, untested: RunFacts) -> None:
    assert "there is no test set. Keep the base model." in verdict_sentence(untested)
    one_row = make(rows=1, baseline=None, gain=None, p_value=None, verdict=None)
    assert "too small for an interval" in verdict_sentence(one_row)


def test_a_system_that_is_not_beaten_qualifies_a_better(make: Make) -> None:
    weak = changed(make(), "majority", gain=Interval(3.0, -0.5, 7.0), kind="classic", title="Harper")
    notes = caveats(make(systems=weak))
    assert notes[0] == "It is not shown to be better than: Harper (+3.0 [-0.5, +7.0])."
    assert notes[1].startswith("With 150 rows like these, a true gain of 8.8 points is detected four times in five")
    assert len(caveats(make())) == 1


def test_an_interval_above_zero_that_is_not_enough_is_explained(make: Make) -> None:
    weak = changed(make(), "zero_shot", p_value=0.08)
    facts = make(systems=weak, p_value=0.08, verdict="not shown to be better")
    assert caveats(facts)[0].endswith("and it is not for: prompted, zero-shot (p = 0.080, uncorrected).")
    among = make(p_value=0.06, claims=30, verdict="not shown to be better")
    assert caveats(among)[0] == (
        "Alone it would count as better; corrected for 30 tasks, its largest p-value is 0.060."
    )


def test_an_unknown_or_unbounded_detectable_gain_is_not_spoken_of(make: Make, untested: RunFacts) -> None:
    assert caveats(make(detectable=None)) == ()
    assert caveats(make(detectable=float("inf"))) == ()
    assert caveats(untested) == ()


def test_leaked_rows_are_told_with_the_gain_without_them(make: Make) -> None:
    (note,) = caveats(make(detectable=None, leaked_rows=1, clean_gain=Interval(12.0, 5.9, 18.0)))
    assert note.startswith("1 test row is nearly the same as something") and note.endswith("+12.0 [+5.9, +18.0].")


SYNTHESIS = (FunnelStep("written", 480), FunnelStep("noise", 208, {"noise": 272}))
SELECTION = (FunnelStep("rows to choose from", 50_000), FunnelStep("the task's part", 600), FunnelStep("chosen", 300))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            Data({"example": 3, "synthetic": 208}, synthesis_funnel=SYNTHESIS),
            "It was trained on 211 pairs: 3 hand-written examples and 208 synthetic pairs. The base model wrote 480 "
            "pairs for this task, from the instruction and a few examples; 208 passed the filters.",
        ),
        (
            Data({"pool": 300}, selection_funnel=SELECTION),
            "It was trained on 300 rows chosen from a pool. The pool has 50,000 rows, 600 of which count as the "
            "task's; 300 were chosen.",
        ),
        (
            Data({"labelled": 20, "synthetic": 0}, selection_funnel=(FunnelStep("rows", 90), FunnelStep("chosen", 20))),
            "It was trained on 20 labelled rows. 20 rows were chosen from 90.",
        ),
        (Data({"labelled": 1}), "It was trained on 1 labelled row."),
        # A scenario's task has its pairs from the mixture, so it has no funnel of its own.
        (Data({"synthetic": 5}), "It was trained on 5 synthetic pairs."),
        (Data({}), "It was trained on 0 pairs."),
    ],
)
def test_where_the_data_came_from(data: Data, said: str) -> None:
    assert " ".join(data_sentences(data)) == said


def test_scores_on_held_out_pairs_are_no_result(make: Make, untested: RunFacts) -> None:
    said = held_out_sentence(make())
    assert said == (
        "On 25 pairs held out from the training data the specialist scores 96.0 exact match. This is not a result: the "
        "model wrote those answers itself. On the test rows it scores 68.7, a difference of -27.3 points."
    )
    chosen = held_out_sentence(make(pairs_by_origin={"pool": 300}))
    assert "wrote those answers" not in chosen and "from where the training data is from" in chosen
    mixed = held_out_sentence(make(pairs_by_origin={"labelled": 9, "synthetic": 9}))
    assert "the model wrote some of those answers itself" in mixed
    assert "test rows" not in held_out_sentence(untested)
    assert held_out_sentence(make(held_out_scores={})) == ""
