from __future__ import annotations

import pytest

from metier.core.records import Example
from metier.core.storage import seed_of
from metier.engines.prompts import PromptFormat
from metier.synthesis.backward import input_prompt, write_pairs
from tests.scripted import ByteTokenizer, ScriptedEngine, Shards, last_question, make_brief

PROMPTS = PromptFormat(ByteTokenizer())
ASK = "Write a new input to which the right answer is: "
ONE_MORE = "Write one more answer of the kind this task calls for, about something else."


def test_every_label_is_asked_for_equally_often_and_each_request_as_the_settings_say() -> None:
    engine = ScriptedEngine(lambda request, sample: f"{last_question(request.prompt.text)[len(ASK) :]} case {sample}")
    brief = make_brief(inputs=10, input_max_tokens=50, input_temperature=0.9, input_top_k=5)
    told: list[tuple[int, int]] = []
    written = write_pairs(brief, engine, PROMPTS, Shards(), lambda done, tokens: told.append((done, tokens)))
    assert [(c.id, c.input, c.output, c.asked_label) for c in written] == [
        (f"r0.{place}.{sample}", f"{label} case {sample}", label, label)
        for place, label in enumerate(["billing", "delivery"])
        for sample in range(5)
    ]
    assert [last_question(r.prompt.text) for r in engine.generated] == [f"{ASK}billing", f"{ASK}delivery"]
    longest = 2 * len("I was charged twice")
    assert {(r.samples, r.max_tokens, r.temperature, r.top_k, r.max_chars, r.stop) for r in engine.generated} == {
        (5, 50, 0.9, 5, longest, ("\n",))
    }
    assert [r.seed for r in engine.generated] == [seed_of(7, "backward-inputs", 0, place) for place in range(2)]
    assert told == [(10, engine.stats.generated_tokens)]


def test_the_examples_are_shown_backwards_after_what_is_wanted_once() -> None:
    shown = input_prompt(make_brief(), PROMPTS, "billing", 0)
    context = "We are collecting examples for this task: Name the team.\n\n"
    turns = {
        f"{ASK}billing\n<|assistant|>I was charged twice\n",
        f"{ASK}delivery\n<|assistant|>the parcel is late\n",
    }
    head, _, rest = shown.text.partition(context)
    assert head == "<|user|>"
    assert {*rest.split("<|user|>")[:2]} == turns
    assert shown.text.endswith(f"<|user|>{ASK}billing\n<|assistant|>")
    assert shown.text[: shown.shared].endswith(ASK)


def test_inputs_can_be_asked_for_whatever_their_label() -> None:
    engine = ScriptedEngine(lambda request, sample: f"case {sample}")
    written = write_pairs(make_brief(inputs=4, pseudo_labels=False), engine, PROMPTS, Shards())
    assert [(c.output, c.asked_label) for c in written] == [("", None)] * 4
    assert {last_question(r.prompt.text) for r in engine.generated} == {"Write a new input."}
    assert all(ASK not in r.prompt.text and "I was charged twice" in r.prompt.text for r in engine.generated)


def test_a_plain_prompt_shows_the_same_without_a_template() -> None:
    prompts = PromptFormat(ByteTokenizer(chat=False))
    text = input_prompt(make_brief(examples=(Example("I was charged twice", "billing"),)), prompts, "delivery", 0).text
    context = "We are collecting examples for this task: Name the team."
    assert text == f"{context}\n\n{ASK}billing\nI was charged twice\n\n{ASK}delivery\n"


def test_examples_come_in_another_order_in_another_group_of_prompts_at_most_eight_of_them() -> None:
    many = tuple(Example(f"case {i}", "billing") for i in range(12))
    prompts = [input_prompt(make_brief(examples=many), PROMPTS, "billing", number).text for number in range(4)]
    assert len(set(prompts)) == 4
    assert {text.count("case ") for text in prompts} == {8}
    assert prompts[0] == input_prompt(make_brief(examples=many), PROMPTS, "billing", 0).text


def test_many_inputs_are_written_in_several_shards_and_none_is_asked_for_twice() -> None:
    brief = make_brief(inputs=200)
    engine = ScriptedEngine(lambda request, sample: "case")
    shards = Shards()
    written = write_pairs(brief, engine, PROMPTS, shards)
    assert len(written) == 13 * 2 * 8  # 100 a label in prompts of 8 samples each
    assert list(shards.kept) == [f"inputs-{n:05d}" for n in range(4)]
    assert len({c.id for c in written}) == len(written)
    assert len({r.seed for r in engine.generated}) == len(engine.generated) == 26
    resumed = ScriptedEngine()
    assert write_pairs(brief, resumed, PROMPTS, shards) == written
    assert resumed.generated == []


def test_an_input_that_is_cut_off_is_dropped_and_a_lists_dash_is_taken_off() -> None:
    engine = ScriptedEngine({f"{ASK}billing": ["x" * 21], f"{ASK}delivery": ["- my parcel\n"]})
    cut, whole = write_pairs(make_brief(inputs=2, input_max_tokens=20), engine, PROMPTS, Shards())
    assert (cut.dropped_by, cut.input) == ("cut_off", "x" * 20)
    assert cut.reason == "longer than input_max_tokens, or than the length filter allows"
    assert (whole.kept, whole.input) == (True, "my parcel")


def test_an_input_has_no_more_lines_than_the_longest_example() -> None:
    two = (Example("Premise: a dog\nHypothesis: an animal", "billing"), Example("one line", "delivery"))
    text = "Premise: a cat\nHypothesis: a car\n\nThe right answer is no, since a cat is not a car, and a car no cat"
    engine = ScriptedEngine({f"{ASK}billing": [text], f"{ASK}delivery": ["Premise: a cat\nHypothesis: x"]})
    brief = make_brief(examples=two, inputs=2, input_max_tokens=80)
    longer, whole = write_pairs(brief, engine, PROMPTS, Shards())
    assert engine.generated[0].stop == ()
    assert (longer.kept, longer.input) == (True, "Premise: a cat\nHypothesis: a car")  # cut off after its end
    assert (whole.kept, whole.input) == (True, "Premise: a cat\nHypothesis: x")


def test_free_text_has_answers_written_first_and_one_input_for_each_that_is_new_and_whole() -> None:
    answers = ["she goes home", "They were late", "...", "he has a dog", "he has  a DOG", "x" * 31, "it is", " we are "]
    examples = (Example("they was late", "they were late"), Example("she go", "she goes"))
    engine = ScriptedEngine(
        lambda request, sample: (
            answers[sample]
            if last_question(request.prompt.text) == ONE_MORE
            else f"wrong {last_question(request.prompt.text)[len(ASK) :]}"
        )
    )
    brief = make_brief(labels=None, examples=examples, inputs=8, output_max_tokens=30)
    shards = Shards()
    written = write_pairs(brief, engine, PROMPTS, shards)
    new = ["she goes home", "he has a dog", "it is", "we are"]
    assert [(c.output, c.input) for c in written] == [(text, f"wrong {text}") for text in new]
    assert list(shards.kept) == ["answers", "inputs-00000"]
    first, *rest = engine.generated
    assert (first.samples, first.max_tokens, first.seed) == (8, 30, seed_of(7, "backward-answers", 0))
    assert "<|assistant|>they were late\n" in first.prompt.text and "they was late" not in first.prompt.text
    assert [r.samples for r in rest] == [1] * 4


@pytest.mark.parametrize(("inputs", "prompts"), [(1, 1), (8, 1), (9, 2)])
def test_enough_answers_are_asked_for(inputs: int, prompts: int) -> None:
    engine = ScriptedEngine(lambda request, sample: "")
    assert write_pairs(make_brief(labels=None, inputs=inputs), engine, PROMPTS, Shards()) == []
    assert len(engine.generated) == prompts
