from __future__ import annotations

import dataclasses

from metier.core.records import Candidate
from metier.engines.prompts import PromptFormat
from metier.synthesis.real import real_inputs
from tests.scripted import ByteTokenizer, ScriptedEngine, Shards, last_question, make_brief

PROMPTS = PromptFormat(ByteTokenizer())


def test_with_labels_real_inputs_are_candidates_that_nothing_was_asked_for() -> None:
    brief = dataclasses.replace(make_brief(), unlabelled=("my box", "a fee"))
    engine = ScriptedEngine()
    assert real_inputs(brief, engine, PROMPTS, Shards()) == [
        Candidate("real.0", "my box"), Candidate("real.1", "a fee"),
    ]  # fmt: skip
    assert engine.generated == []


def test_in_free_text_the_model_answers_them_and_what_is_no_whole_answer_is_dropped() -> None:
    texts = ("good", "endless", "nothing", "x" * 3000)
    said = {"good": " fine ", "endless": "y" * 50, "nothing": "..."}
    brief = dataclasses.replace(make_brief(labels=None, output_max_tokens=20), unlabelled=texts)
    shards = Shards()
    engine = ScriptedEngine(lambda request, sample: said[last_question(request.prompt.text)], context_length=1000)
    found = real_inputs(brief, engine, PROMPTS, shards)
    assert [(c.id, c.output, c.dropped_by) for c in found] == [
        ("real.0", "fine", None),
        ("real.1", "y" * 20, "cut_off"),
        ("real.2", "...", "no_answer"),
        ("real.3", "", "too_long"),
    ]
    assert all(request.temperature == 0 for request in engine.generated)
    assert real_inputs(brief, ScriptedEngine(context_length=1000), PROMPTS, shards) == found


def test_without_them_nothing_is_asked() -> None:
    assert real_inputs(make_brief(labels=None), ScriptedEngine(), PROMPTS, Shards()) == []
