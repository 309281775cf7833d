from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from metier.commands.options import scenario_of
from metier.core.records import Interval, SystemScore
from metier.evaluation.records import Split
from metier.report.facts import RunFacts
from metier.report.made import Data, FunnelStep
from metier.report.sentences import (
    advice,
    answering_sentence,
    caveats,
    data_sentences,
    held_out_sentence,
    scenario_notes,
    split_sentences,
    trial_notes,
    verdict_sentence,
)
from metier.report.words import interval_text

from .conftest import Make, advising, unclear, with_settings


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


def test_a_verdict_says_what_was_shown_and_not_what_to_use(make: Make, untested: RunFacts) -> None:
    worse = make(gain=Interval(-5.0, -9.0, -1.0), verdict="worse", rows=1)
    assert verdict_sentence(make(**unclear())).startswith("Not shown to be better: +2.1 points")
    assert verdict_sentence(worse).startswith("Worse: -5.0 points")
    assert verdict_sentence(worse).endswith("on 1 row.")
    for facts in (make(), make(**unclear()), worse, untested):
        assert "Use " not in verdict_sentence(facts) and "Keep " not in verdict_sentence(facts)


def test_without_a_verdict_the_sentence_says_why(make: Make, untested: RunFacts) -> None:
    assert verdict_sentence(untested).endswith("cannot be known: there is no test set.")
    one_row = make(rows=1, baseline=None, gain=None, p_value=None, verdict=None)
    assert "too small for an interval" in verdict_sentence(one_row)


@pytest.mark.parametrize(
    ("system", "changes", "said"),
    [
        ("majority", {}, "Do not use a model for this yet: the majority class is good enough and needs none."),
        ("few_shot", {}, "Keep the base model (prompted, few-shot), the cheapest system that is good enough."),
        (
            "zero_shot",
            {"kind": "classic", "title": "encoder on train"},
            "Use this instead: encoder on train, the cheapest system that is good enough.",
        ),
        ("specialist", {}, "Use the specialist: no cheaper system is good enough."),
    ],
)
def test_the_advice_is_what_was_found_about_the_need(
    make: Make, system: str, changes: dict[str, Any], said: str
) -> None:
    """The system to beat is another one throughout: the verdict is about that, the advice about what to use."""
    facts = advising(make(systems=changed(make(), system, **changes)), system)
    assert facts.judged is not None and facts.judged.baseline == "few_shot"
    assert advice(facts) == said
    assert facts.recommended == (system == "specialist")


def test_the_advice_without_numbers_or_without_a_better_specialist(make: Make, untested: RunFacts) -> None:
    assert advice(untested) == "Keep the base model until test rows show that something else is better."
    assert advice(make(**unclear())) == (
        "Nothing cheaper than the specialist is good enough, but that it is better was not shown."
    )
    assert not make(**unclear()).recommended and not untested.recommended
    copied = advising(make(systems=changed(make(), "majority", system="copied_input")), "copied_input")
    assert advice(copied) == "Leave the text as it is: that is good enough."


def test_a_smoke_run_and_rows_left_out_are_told_first(make: Make, untested: RunFacts) -> None:
    assert trial_notes(make()) == ()
    limited = make(rows=8, drawn_from=1500)
    assert caveats(limited)[0] == (
        "Only 8 of the 1,500 test rows were used, drawn by the seed (--limit, or evaluation.limit)."
    )
    for facts in (limited, untested):
        tried = smoke(facts)
        assert tried.is_smoke and "its scores mean nothing" in caveats(tried)[0]
        assert not with_settings(tried, "evaluation", limit=100).is_smoke
        assert not with_settings(tried, "training", epochs=3).is_smoke


def smoke(facts: RunFacts) -> RunFacts:
    """Return the facts with the settings that --smoke makes."""
    for section, changes in (
        ("training", {"epochs": 1, "holdout_share": 0}),
        ("evaluation", {"limit": 8, "max_tokens": 24, "timed_rows": 2}),
    ):
        facts = with_settings(facts, section, **changes)
    return facts


def test_the_settings_that_tell_a_smoke_run_are_those_of_the_command(make: Make) -> None:
    task = scenario_of(Path("examples/newspaper-sections/task.yaml"), None, smoke=True)
    several = scenario_of(Path("writing"), None, smoke=True)
    for one in (*task.tasks.values(), *several.tasks.values()):
        assert dataclasses.replace(make(), settings=one.model_dump(mode="json")).is_smoke, one.name
    usual = scenario_of(Path("examples/newspaper-sections/task.yaml"), None, limit=8)
    assert not dataclasses.replace(make(), settings=usual.tasks["newspaper-sections"].model_dump(mode="json")).is_smoke


def test_of_several_tasks_a_note_that_is_for_all_is_told_once(make: Make) -> None:
    one, other = smoke(make(name="a")), smoke(make(name="b", rows=4, drawn_from=90))
    shared, own = scenario_notes([one, other])
    assert "--smoke" in shared and own.startswith("b: only 4 of the 90 test rows were used")
    assert scenario_notes([make(), make()]) == () == scenario_notes([])


@pytest.mark.parametrize(
    ("settings", "pairs", "said"),
    [
        ({}, {"labelled": 9}, "its mean after inputs that say nothing is taken off"),
        (
            {"label_prior": "synthetic"},
            {"synthetic": 9},
            "its mean after the inputs of its synthetic pairs is taken off",
        ),
        ({"label_prior": "synthetic"}, {"labelled": 9}, "its mean after inputs that say nothing is taken off"),
        ({"label_prior": "none"}, {"synthetic": 9}, "the label whose tokens are likeliest on average"),
        ({"answer_by": "writing"}, {"synthetic": 9}, "The specialist writes its answer"),
    ],
)
def test_how_the_specialist_answers_is_told(
    make: Make, settings: dict[str, Any], pairs: dict[str, int], said: str
) -> None:
    assert said in answering_sentence(with_settings(make(pairs_by_origin=pairs), "evaluation", **settings))


def test_free_text_is_written_whatever_the_settings_say_of_labels(make: Make) -> None:
    assert "writes its answer" in answering_sentence(make(labels=None))


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (Interval(8.0, 3.0, 12.0), "is larger where both models write instead. The specialist also learnt the form"),
        (Interval(-37.5, -75.0, -12.5), "is smaller where both models write instead. Tuning did more for finding"),
        (Interval(-3.0, -9.0, 2.0), "is smaller where both models write instead. The interval includes zero"),
        (Interval(3.0, -2.0, 9.0), "is larger where both models write instead. The interval includes zero"),
    ],
)
def test_what_the_format_adds_or_takes_is_said_by_its_sign(form: Interval, said: str) -> None:
    (ability, first), (name, second) = split_sentences(Split(Interval(5.0, 1.0, 9.0), form))
    assert (ability, name) == ("Ability", "Format")
    assert second.startswith(interval_text(form)) and said in second
    assert "includes zero" not in first
    assert "no such gain was shown" in split_sentences(Split(Interval(5.0, -1.0, 9.0), form))[0][1]


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
    assert caveats(make(detectable=0.0)) == (), "no gain of 0 points is ever detected"
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
            Data({"synthetic": 208}, synthesis_funnel=SYNTHESIS, real_inputs=80, real_kept=40),
            "It was trained on 208 synthetic pairs. The base model wrote 400 pairs for this task, from the instruction "
            "and a few examples, and answered 80 real inputs; 208 passed the filters, 40 of them with real inputs.",
        ),
        (
            Data({"synthetic": 208}, synthesis_funnel=SYNTHESIS, as_asked=0.604, asked_labels=2),
            "It was trained on 208 synthetic pairs. The base model wrote 480 pairs for this task, from the instruction "
            "and a few examples; 208 passed the filters. Of the inputs that it wrote for a label, 60% were read as "
            "that label (50% would be by chance): the nearer to chance, the less its pairs can teach.",
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
