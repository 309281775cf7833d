"""Real text damaged by a scripted model: what is asked, which damages are kept and why, and what stays as it is."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from metier.core.progress import Reporter
from metier.core.records import Candidate, Example
from metier.engines.base import GenerationRequest
from metier.engines.prompts import PromptFormat
from metier.synthesis.brief import Brief
from metier.synthesis.damage import SAMPLES, repairable, with_unchanged, write_damaged
from metier.synthesis.write import synthesize
from tests.scripted import ByteTokenizer, ScriptedEngine, Shards, last_question, make_brief

PROMPTS = PromptFormat(ByteTokenizer())
ASK = "Write a new input to which the right answer is: "
EXAMPLES = (
    Example("He go home now.", "He goes home now."),
    Example("This is right as it is.", "This is right as it is."),
    Example("They was late again today.", "They were late again today."),
)
CLEAN = "She has two old cats."


def brief_of(*texts: str, **settings: Any) -> Brief:
    return dataclasses.replace(make_brief(None, EXAMPLES, method="damage", **settings), unlabelled=texts)


def damages(texts: Mapping[str, Sequence[str]], brief: Brief | None = None, **engine: Any) -> list[Candidate]:
    scripted = ScriptedEngine({f"{ASK}{clean}": made for clean, made in texts.items()}, **engine)
    return write_damaged(brief or brief_of(*texts), scripted, PROMPTS, Shards())


def test_the_model_is_shown_what_changes_backwards_and_asked_for_an_input_to_each_text() -> None:
    engine = ScriptedEngine(lambda request, sample: "She have two old cats.")
    write_damaged(brief_of(CLEAN, "It is late now."), engine, PROMPTS, Shards())
    first, second = engine.generated
    assert last_question(first.prompt.text) == f"{ASK}{CLEAN}" and first.samples == SAMPLES
    assert f"{ASK}He goes home now.\n<|assistant|>He go home now." in first.prompt.text
    assert "right as it is" not in first.prompt.text, "an example that changes nothing teaches to copy"
    assert first.seed != second.seed and first.max_chars == 2 * len(CLEAN)
    assert "\n" in first.stop, "every example is one line"


@pytest.mark.parametrize(
    ("text", "dropped_by"),
    [
        ("She have two old cats.", None),
        ("", "empty"),
        ("She  has two old cats.", "unchanged"),
        ("Something else was said here.", "edits"),
        ("Sure, she have two old cats.", "noise"),
        (f"She have two old cats. {'And more. ' * 9}", "cut_off"),
    ],
)
def test_what_is_no_damage_is_dropped_with_its_reason(text: str, dropped_by: str | None) -> None:
    found = damages({CLEAN: [text, *[""] * 7]})[0]
    assert (found.output, found.asked_label, found.dropped_by) == (CLEAN, CLEAN, dropped_by)
    assert (found.reason is None) == (dropped_by is None)


def test_how_much_may_be_changed_is_as_the_examples_have_it_generously() -> None:
    long = " ".join(f"word{i}" for i in range(40))
    little = long.replace("word7", "other")
    told = damages({long: [little, *[""] * 7], CLEAN: ["She have three cat now, old."] * 8})
    assert [told[0].dropped_by, told[8].dropped_by] == ["edits", "edits"]
    assert told[0].reason == "3% of the words are changed, outside 5% to 25%"


def test_the_same_damage_twice_is_dropped_and_others_of_one_text_are_not() -> None:
    made = ["She have two old cats.", "She have two old cats.", "She has two old cat.", "she has two old cats."]
    found = damages({CLEAN: [*made, *[""] * 4]})
    assert [c.dropped_by for c in found[:4]] == [None, "duplicate", None, None]


def likely(repairs: Mapping[str, float]) -> Any:
    """Return a score: a text's repair is as likely as it says, and every damage -10 for all of its bytes."""

    def score(prompt: str, continuation: str) -> float:
        asked = last_question(prompt)
        return (len(continuation.encode()) + 1) * repairs.get(asked, -1.0)

    return score


def pair(name: str, text: str, clean: str = CLEAN) -> Candidate:
    return Candidate(name, text, output=clean, asked_label=clean)


def test_a_damage_is_kept_where_its_repair_is_likelier_and_of_a_text_the_surest_alone() -> None:
    given = [pair("a", "She have."), pair("b", "She had."), pair("c", "She haves."), pair("d", "Its late.", "It is.")]
    scores = {"She have.": -0.5, "She had.": -1.5, "She haves.": -0.2, "Its late.": -0.9}
    engine = ScriptedEngine(score=likely(scores))
    found = repairable(brief_of(CLEAN, "It is."), engine, PROMPTS, given, Shards())
    assert [c.dropped_by for c in found] == ["quota", "no_repair", None, None]
    assert [c.share for c in found] == [pytest.approx(s) for s in (0.5, -0.5, 0.8, 0.1)]
    assert found[1].reason == "from it to the text is no likelier than back (-0.50 nats a token)"
    assert {(last_question(r.prompt.text), r.continuations[0]) for r in engine.scored} >= {
        ("She have.", CLEAN), (CLEAN, "She have."),
    }  # fmt: skip


def test_of_damages_that_are_equally_sure_the_first_stays() -> None:
    given = [pair("a", "She have."), pair("b", "She haves.")]
    engine = ScriptedEngine(score=likely({"She have.": -0.5, "She haves.": -0.5}))
    assert [c.kept for c in repairable(brief_of(CLEAN), engine, PROMPTS, given, Shards())] == [True, False]


def test_what_does_not_fit_the_context_is_dropped_unread() -> None:
    engine = ScriptedEngine(score=likely({}), context_length=400)
    long = "x" * 300
    found = repairable(brief_of(long), engine, PROMPTS, [pair("a", "y", long)], Shards())
    assert [c.dropped_by for c in found] == ["too_long"] and engine.scored == []


@pytest.mark.parametrize(("share", "several"), [(0.25, 2), (0.5, 6), (0.0, 0)])
def test_some_texts_stay_as_they_are_those_without_a_damage_first(share: float, several: int) -> None:
    texts = tuple(f"text {i}" for i in range(12))
    kept = [pair(str(i), f"txt {i}", text) for i, text in enumerate(texts[:6])]
    same = with_unchanged(brief_of(*texts, unchanged=share), kept)[6:]
    assert len(same) == several and all(c.kept and c.input == c.output for c in same)
    assert {c.output for c in same} <= set(texts[6:])


def test_real_text_is_damaged_filtered_repaired_and_mixed_with_text_that_stays() -> None:
    texts = tuple(f"The cat number {i} sleeps on the mat." for i in range(20))

    def answer(request: GenerationRequest, sample: int) -> str:
        clean = last_question(request.prompt.text).removeprefix(ASK)
        damaged = (clean.replace("sleeps", "sleep"), clean, "...", clean.replace("the mat", "mat"))
        return damaged[sample] if sample < len(damaged) else ""

    engine = ScriptedEngine(answer, lambda prompt, text: 0.0 if "sleeps on the mat" in text else -50.0)
    brief, shards = brief_of(*texts, inputs=12), Shards()
    found = synthesize(brief, engine, PROMPTS, shards, Reporter(quiet=True).track)
    assert Counter(c.dropped_by for c in found) == {None: 16, "unchanged": 12, "empty": 60, "quota": 12}
    assert all("sleeps on the mat" not in c.input for c in found if c.kept and c.asked_label)
    assert sum(c.input == c.output for c in found if c.kept) == 4
    assert {c.output for c in found} <= set(texts[:12]), "as many texts as inputs says"
    assert synthesize(brief, ScriptedEngine(), PROMPTS, shards, Reporter(quiet=True).track) == found


def test_repairs_are_not_asked_for_where_pairs_are_not_checked() -> None:
    engine = ScriptedEngine(lambda request, sample: ("She have two old cats.", *[""] * 7)[sample])
    found = synthesize(brief_of(CLEAN, check_pairs=False), engine, PROMPTS, Shards(), Reporter(quiet=True).track)
    assert engine.scored == [] and [c.input for c in found if c.kept] == ["She have two old cats."]
