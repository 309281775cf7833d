from __future__ import annotations

import pytest

from metier.core.records import Candidate, Example
from metier.core.storage import seed_of
from metier.engines.prompts import PromptFormat
from metier.synthesis.brief import Brief
from metier.synthesis.inputs import filter_inputs, raw_candidate, write_inputs
from tests.scripted import ByteTokenizer, ScriptedEngine, Shards, last_question, make_brief

PROMPTS = PromptFormat(ByteTokenizer())
EARLIER = "Earlier inputs, of lower quality:"
WANTED = "The right answer to the new input must be: "
# 10, 20 and 30 characters: the length filter takes 4 to 36.
THREE = tuple(Example(letter * size, "billing") for letter, size in (("a", 10), ("b", 20), ("c", 30)))


def numbered() -> ScriptedEngine:
    """Return an engine that numbers what it writes."""
    engine = ScriptedEngine(lambda request, sample: f"case {len(engine.generated)}")
    return engine


def asked(engine: ScriptedEngine) -> list[str]:
    return [last_question(r.prompt.text) for r in engine.generated]


def test_inputs_are_written_in_rounds_and_the_last_one_is_shorter() -> None:
    engine, shards = numbered(), Shards()
    told: list[tuple[int, int]] = []
    brief = make_brief(inputs=7, prompts_per_round=3, input_max_tokens=40, input_temperature=0.8, input_top_k=9)
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


def test_later_rounds_are_shown_whole_inputs_of_earlier_ones_and_the_first_none() -> None:
    texts = ["kept one", "   ", "y" * 41, "kept two"]
    engine = ScriptedEngine(lambda request, sample: texts[(len(engine.generated) - 1) % 4])
    write_inputs(make_brief(inputs=40, prompts_per_round=4, input_max_tokens=40), engine, PROMPTS, Shards())
    first, later = asked(engine)[:4], asked(engine)[4:]
    assert all(EARLIER not in text for text in first)
    assert all(EARLIER in text for text in later)
    assert {line for text in later for line in text.partition(EARLIER)[2].splitlines() if line.startswith("- ")} == {
        "- kept one",
        "- kept two",
    }


@pytest.mark.parametrize("most", [0, 2])
def test_no_more_earlier_inputs_are_shown_than_allowed(most: int) -> None:
    engine = numbered()
    write_inputs(make_brief(inputs=40, prompts_per_round=4, earlier_inputs=most), engine, PROMPTS, Shards())
    counts = {text.partition(EARLIER)[2].count("- case") for text in asked(engine)[4:]}
    assert counts == ({0} if most == 0 else {1, 2})


def test_a_label_is_asked_for_and_kept_on_file_but_is_no_answer() -> None:
    engine = numbered()
    written = write_inputs(make_brief(inputs=20), engine, PROMPTS, Shards())
    assert {c.asked_label for c in written} == {"billing", "delivery"}
    assert [text.partition(WANTED)[2].partition("\n")[0] for text in asked(engine)] == [c.asked_label for c in written]
    assert {c.output for c in written} == {""}


@pytest.mark.parametrize("brief", [make_brief(None, inputs=12), make_brief(pseudo_labels=False, inputs=12)])
def test_no_label_is_asked_for_in_free_text_or_where_that_is_off(brief: Brief) -> None:
    engine = numbered()
    written = write_inputs(brief, engine, PROMPTS, Shards())
    assert all(c.asked_label is None for c in written)
    assert all(WANTED not in text for text in asked(engine))


def test_a_prompt_shows_instruction_and_good_inputs_but_no_answers() -> None:
    engine = numbered()
    write_inputs(make_brief(inputs=1, pseudo_labels=False), engine, PROMPTS, Shards())
    (text,) = asked(engine)
    head, _, rest = text.partition("Good inputs:\n")
    assert head.endswith("Task: Name the team.\n\n")
    assert sorted(rest.splitlines()) == sorted(["- I was charged twice", "- the parcel is late", "", "New input:"])


def test_what_the_length_filter_would_drop_is_not_written_to_its_end() -> None:
    def longest(brief: Brief) -> set[int | None]:
        engine = numbered()
        write_inputs(brief, engine, PROMPTS, Shards())
        return {r.max_chars for r in engine.generated}

    assert longest(make_brief(examples=THREE, inputs=2)) == {36 + 8}
    assert longest(make_brief(examples=THREE, inputs=2, input_length_filter=False)) == {None}
    engine = ScriptedEngine(lambda request, sample: "z" * 45)
    (cut,) = write_inputs(make_brief(examples=THREE, inputs=1), engine, PROMPTS, Shards())
    assert cut.dropped_by == "cut_off"


def test_rounds_on_file_are_not_asked_for_again() -> None:
    shards, brief = Shards(), make_brief(inputs=9, prompts_per_round=3)
    written = write_inputs(brief, numbered(), PROMPTS, shards)
    del shards.kept["inputs-00002"]
    resumed = ScriptedEngine(lambda request, sample: f"case {len(resumed.generated) + 6}")
    assert write_inputs(brief, resumed, PROMPTS, shards) == written
    assert len(resumed.generated) == 3


def test_every_filter_gives_its_reason_and_the_first_one_that_does_decides() -> None:
    texts = {
        "": ("empty", "nothing but white space or punctuation"),
        "...": ("empty", "nothing but white space or punctuation"),  # too short as well
        "Sure, " + "d" * 90: ("length", "96 characters, outside 4 to 36"),  # noise as well
        "Sure, my box is here": ("noise", "holds 'sure,'"),
        "A" * 10: ("duplicate", "the same as an earlier one"),  # an example's input
        "a box came late": (None, None),
        "A box  came late": ("duplicate", "the same as an earlier one"),
    }
    candidates = [raw_candidate(f"r0.{i}", text, True, None) for i, text in enumerate(texts)]
    candidates.append(raw_candidate("r0.7", "", False, None))
    filtered = filter_inputs(make_brief(examples=THREE), candidates)
    assert [(c.dropped_by, c.reason) for c in filtered[:-1]] == list(texts.values())
    assert [(c.id, c.input) for c in filtered] == [(c.id, c.input) for c in candidates]
    assert filtered[-1].dropped_by == "cut_off"


def test_a_dropped_text_does_not_make_later_ones_duplicates() -> None:
    noisy = Candidate("r0.0", "Sure, my box is here")
    again = Candidate("r0.1", "Sure, my box is here")
    assert [c.dropped_by for c in filter_inputs(make_brief(), [noisy, again])] == ["noise", "noise"]


def test_filters_can_be_turned_off() -> None:
    candidates = [Candidate("r0.0", "Sure, " + "d" * 90)]
    off = make_brief(examples=THREE, input_length_filter=False, noise_filter=False)
    assert filter_inputs(off, candidates) == candidates


def test_near_duplicates_are_dropped_where_a_threshold_is_given() -> None:
    candidates = [
        Candidate("r0.0", "the parcel that I ordered on Monday has not come to my house"),
        Candidate("r0.1", "the parcel that I ordered on Monday has not come to my flat"),
    ]
    assert [c.dropped_by for c in filter_inputs(make_brief(near_duplicates=0.7), candidates)] == [None, "duplicate"]
    assert [c.dropped_by for c in filter_inputs(make_brief(), candidates)] == [None, None]
