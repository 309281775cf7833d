from __future__ import annotations

import re
from typing import Any

import pytest

from metier.core.records import Example
from metier.core.storage import seed_of
from metier.engines.base import GenerationRequest
from metier.engines.prompts import PromptFormat
from metier.synthesis.brief import Brief
from metier.synthesis.inputs import read_input, write_inputs
from tests.scripted import ByteTokenizer, ScriptedEngine, Shards, make_brief

PROMPTS = PromptFormat(ByteTokenizer())
# 10, 20 and 30 characters: the length filter takes 3 to 35.
THREE = tuple(Example(letter * size, "billing") for letter, size in (("a", 10), ("b", 20), ("c", 30)))


def guided(labels: tuple[str, ...] | None = ("billing", "delivery"), **settings: Any) -> Brief:
    """Return a brief of the method with no length filter, unless one is asked for."""
    return make_brief(labels, **{"method": "self-guide", "input_length_filter": False, **settings})


def numbered() -> ScriptedEngine:
    """Return an engine that numbers what it writes."""
    engine = ScriptedEngine(lambda request, sample: f"case {len(engine.generated)}")
    return engine


def shown(request: GenerationRequest) -> tuple[list[str], list[str]]:
    """Return the inputs of high and of lower quality that a prompt shows."""
    _, high, low = re.split(r"^Here are \[input\] of .*$", request.prompt.text, flags=re.MULTILINE)
    first, second = (re.findall(r'^\[input\]="(.*?)"\n\n', part, re.MULTILINE | re.DOTALL) for part in (high, low))
    return first, second


def test_inputs_are_written_in_rounds_and_the_last_one_is_shorter() -> None:
    engine, shards = numbered(), Shards()
    told: list[tuple[int, int]] = []
    brief = guided(inputs=7, prompts_per_round=3, input_max_tokens=40, input_temperature=0.8, input_top_k=9)
    written = write_inputs(brief, engine, PROMPTS, shards, lambda done, tokens: told.append((done, tokens)))
    assert [(c.id, c.input) for c in written] == [(f"r{i // 3}.{i % 3}", f"case {i + 1}") for i in range(7)]
    assert [(name, len(made)) for name, made in shards.kept.items()] == [
        ("inputs-00000", 3),
        ("inputs-00001", 3),
        ("inputs-00002", 1),
    ]
    assert [done for done, _ in told] == [3, 6, 7]
    assert told[-1][1] == engine.stats.generated_tokens
    assert {(r.samples, r.max_tokens, r.temperature, r.top_k) for r in engine.generated} == {(1, 40, 0.8, 9)}
    assert [r.seed for r in engine.generated] == [seed_of(7, "inputs-sampling", i // 3, i % 3) for i in range(7)]


def test_a_prompt_is_a_pattern_to_continue_without_a_chat_template() -> None:
    engine = numbered()
    write_inputs(guided(inputs=1, pseudo_labels=False), engine, PROMPTS, Shards())
    (request,) = engine.generated
    text = request.prompt.text
    assert "<|" not in text and text.endswith('\n\n[input]="')
    assert text[: request.prompt.shared].count("[instruction]\n\nName the team.\n") == 1
    high, low = shown(request)
    assert sorted(high) == ["I was charged twice", "the parcel is late"] and low == []
    assert "\n\nN/A\n" in text and "billing" not in text
    assert request.stop == ("\n\n",)


def test_later_rounds_are_shown_inputs_that_the_filters_kept_and_the_first_none() -> None:
    texts = ["a box", "", "z" * 90, "mind the input", "A box", "a parcel", "no box", "Absolutely! A box"]
    engine = ScriptedEngine(lambda request, sample: texts[(len(engine.generated) - 1) % 8])
    brief = guided(examples=THREE, inputs=80, prompts_per_round=8, input_length_filter=True)
    written = write_inputs(brief, engine, PROMPTS, Shards())
    first, later = engine.generated[:8], engine.generated[8:]
    assert all(shown(r)[1] == [] for r in first)
    assert {text for r in later for text in shown(r)[1]} == {"a box", "a parcel", "no box"}
    assert all(shown(r)[1] for r in later)
    assert [c.dropped_by for c in written[:8]] == [None, "empty", "length", "noise", "duplicate", None, None, "noise"]
    assert {c.dropped_by for c in written[8:]} == {"empty", "length", "noise", "duplicate"}


@pytest.mark.parametrize("most", [0, 2])
def test_no_more_earlier_inputs_are_shown_than_allowed(most: int) -> None:
    engine = numbered()
    write_inputs(guided(inputs=40, prompts_per_round=4, earlier_inputs=most), engine, PROMPTS, Shards())
    assert {len(shown(r)[1]) for r in engine.generated[4:]} == ({0} if most == 0 else {1, 2})


def test_a_label_is_asked_for_twice_and_kept_on_file_but_is_no_answer() -> None:
    engine = numbered()
    written = write_inputs(guided(inputs=20), engine, PROMPTS, Shards())
    assert {c.asked_label for c in written} == {"billing", "delivery"}
    for c, request in zip(written, engine.generated, strict=True):
        counts = {label: request.prompt.text.count(label) for label in ("billing", "delivery")}
        assert counts == {"billing": 0, "delivery": 0} | {c.asked_label: 2}
    assert {c.output for c in written} == {""}


@pytest.mark.parametrize("brief", [guided(None, inputs=12), guided(pseudo_labels=False, inputs=12)])
def test_no_label_is_asked_for_in_free_text_or_where_that_is_off(brief: Brief) -> None:
    engine = numbered()
    written = write_inputs(brief, engine, PROMPTS, Shards())
    assert all(c.asked_label is None for c in written)
    assert all("right [output]" not in r.prompt.text for r in engine.generated)


@pytest.mark.parametrize(
    ("text", "found", "ended"),
    [
        ("a box\nis late ", "a box\nis late", False),
        ("a box\n \nanother", "a box", True),
        ('a box"', "a box", True),
        ('a box" \n[output]="billing"', "a box", True),
        ('a box.""\n\n[input]="another"', "a box.", True),
        ('"a box', "a box", False),
        ('"a box"', "a box", False),
        ('He said "late"\nand left"\nNow', 'He said "late"\nand left', True),
        ('He said "late""', 'He said "late"', True),
        ('He said "late"', 'He said "late"', False),
        ('"Late," he said.', '"Late," he said.', False),
        ('""', "", True),
    ],
)
def test_an_input_ends_at_its_closing_quote_or_first_blank_line(text: str, found: str, ended: bool) -> None:
    assert read_input(text, blank_lines=False) == (found, ended)


def test_inputs_hold_blank_lines_where_the_examples_do() -> None:
    assert read_input("a box\n\nis late", blank_lines=True) == ("a box\n\nis late", False)
    engine = ScriptedEngine(lambda request, sample: "a box\n\nis late")
    (written,) = write_inputs(guided(examples=(Example("one\n\ntwo", "billing"),), inputs=1), engine, PROMPTS, Shards())
    assert written.kept and written.input == "a box\n\nis late"
    assert engine.generated[0].stop == ("\n\n[input]=",)


def test_what_the_length_filter_would_drop_is_not_written_to_its_end() -> None:
    def longest(brief: Brief) -> set[int | None]:
        engine = numbered()
        write_inputs(brief, engine, PROMPTS, Shards())
        return {r.max_chars for r in engine.generated}

    brief = guided(examples=THREE, inputs=1, input_length_filter=True)
    assert longest(brief) == {35 + 16}
    assert longest(guided(examples=THREE, inputs=2)) == {None}
    (cut,) = write_inputs(brief, ScriptedEngine(lambda request, sample: "z" * 99), PROMPTS, Shards())
    assert (cut.dropped_by, cut.reason) == ("length", "51 characters, outside 3 to 35")


def test_what_is_cut_off_at_the_most_tokens_is_dropped_unless_it_had_come_to_its_end() -> None:
    def verdict(text: str) -> str | None:
        engine = ScriptedEngine(lambda request, sample: text)
        (written,) = write_inputs(guided(inputs=1, input_max_tokens=10), engine, PROMPTS, Shards())
        return written.dropped_by

    assert verdict("a box that never comes") == "cut_off"
    assert verdict('a box"\nand so on') is None


def test_a_context_too_small_shows_fewer_earlier_inputs_and_then_leaves_less_for_the_new_one() -> None:
    def asked(context: int) -> ScriptedEngine:
        engine = ScriptedEngine(lambda request, sample: f"case {len(engine.generated)}", context_length=context)
        write_inputs(guided(None, inputs=40, prompts_per_round=10, input_max_tokens=100), engine, PROMPTS, Shards())
        return engine

    wide = asked(100_000).generated
    frame = len(wide[0].prompt.text)
    narrow = asked(frame + 100 + 50).generated
    assert max(len(shown(r)[1]) for r in wide) > max(len(shown(r)[1]) for r in narrow) >= 1
    assert all(len(r.prompt.text) + r.max_tokens <= frame + 150 and r.max_tokens == 100 for r in narrow)
    assert {(len(r.prompt.text), r.max_tokens) for r in asked(frame + 30).generated} == {(frame, 30)}


def test_rounds_on_file_are_not_asked_for_again() -> None:
    shards, brief = Shards(), guided(inputs=9, prompts_per_round=3)
    written = write_inputs(brief, numbered(), PROMPTS, shards)
    del shards.kept["inputs-00002"]
    resumed = ScriptedEngine(lambda request, sample: f"case {len(resumed.generated) + 6}")
    assert write_inputs(brief, resumed, PROMPTS, shards) == written
    assert len(resumed.generated) == 3
