"""The guard on small cases: what is weighed, which rule is chosen, and what is answered by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.core import storage
from metier.core.codec import CodecError
from metier.core.errors import NotEnoughData
from metier.core.records import Example
from metier.core.step import Artifact
from metier.evaluation.measure import Measure, score_main
from metier.systems import guarded
from metier.systems.asker_file import WEIGHTS
from metier.systems.guarded import LEAST_ROWS, Guarded, Proposal, Rule, choose
from tests.systems.scripted import Opened, Scripted, input_of, make_asked, make_material, make_tools

SURE, UNSURE = "the cat sat on the mat", "the dog lay on the rug"
ROWS = tuple(
    Example(f"{SURE} {i}", f"the cat was on the mat {i}") if i % 2 else Example(f"{UNSURE} {i}", f"{UNSURE} {i}")
    for i in range(40)
)


def rewritten(text: str) -> str:
    return text.replace("sat", "was").replace("lay", "stood")


def engine(**changes: Any) -> Scripted:
    """Return a model that rewrites every sentence, and is sure only of those about cats."""

    def likely(prompt: str, continuation: str) -> float:
        copied = continuation.strip() == input_of(prompt)
        return len(continuation.encode()) * (-1.0 if copied else -0.5 if "cat" in continuation else -0.9)

    return Scripted(**{"write": lambda prompt, sample: f" {rewritten(input_of(prompt))}", "likely": likely} | changes)


def learn(folder: Path, model: Scripted | None = None, opened: Opened | None = None, **changes: Any) -> Guarded:
    material = make_material(
        folder,
        **{
            "labels": None,
            "asked": make_asked(folder, max_tokens=100),
            "weights": {"task": Artifact("tuned", folder)},
            "held_out": ROWS,
            "metric": "sari",
        }
        | changes,
    )
    learned = guarded.learn(material, make_tools(folder, model or engine(), opened=opened), tuned="task")
    assert isinstance(learned, Guarded)
    return learned


def test_what_is_sure_is_rewritten_and_the_rest_stays(tmp_path: Path) -> None:
    learned = learn(tmp_path)
    assert learned.answer([f"{SURE} 99", f"{UNSURE} 99"]).texts == ("the cat was on the mat 99", f"{UNSURE} 99")
    assert learned.rule.least_gain is not None


def test_it_is_the_tuned_model_that_writes_and_weighs(tmp_path: Path) -> None:
    opened, model = Opened(), engine()
    learn(tmp_path, model, opened)
    assert opened == ["tuned"]
    assert len(model.generated) == len(model.scored) == len(ROWS)
    assert all(
        request.continuations == (f" {rewritten(row.input)}", f" {row.input}")
        for request, row in zip(model.scored, ROWS, strict=True)
    )


def test_space_around_an_input_is_not_weighed(tmp_path: Path) -> None:
    model = engine()
    learned = learn(tmp_path, model)
    model.scored.clear()
    learned.answer([f" {SURE} 99 "])
    assert model.scored[0].continuations == (f" {rewritten(SURE)} 99", f" {SURE} 99")


def test_with_too_few_rows_there_is_no_guard(tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData, match=f"{LEAST_ROWS - 1} labelled rows were not trained on, .* at least"):
        learn(tmp_path, held_out=ROWS[: LEAST_ROWS - 1])
    learn(tmp_path, held_out=ROWS[:LEAST_ROWS])


@pytest.mark.parametrize("text", ["", "  ", " {}", "on and on " * 40], ids=["empty", "blank", "copied", "cut off"])
def test_what_cannot_be_taken_is_not_weighed(tmp_path: Path, text: str) -> None:
    model = engine(write=lambda prompt, sample: text.format(input_of(prompt)))
    learned = learn(tmp_path, model)
    assert model.scored == [] and learned.rule == Rule(None, None)
    assert learned.answer([f"{SURE} 0"]).texts == (f"{SURE} 0",)


def test_an_input_that_does_not_fit_has_no_answer(tmp_path: Path) -> None:
    found = learn(tmp_path).answer([f"{UNSURE} 1", "x" * 5000])
    assert found.texts == (f"{UNSURE} 1", "") and found.unasked == 1


def test_an_input_longer_than_an_answer_stays(tmp_path: Path) -> None:
    long = f"{SURE} and " * 30
    model = engine(context_length=1000, write=lambda prompt, sample: " short")
    learned = learn(tmp_path, model)
    model.scored.clear()
    found = learned.answer([long])
    assert model.scored == [], "beside its prompt there is no room for the input once more"
    assert found.texts == (long,) and found.unasked == 0


def proposals(rows: Sequence[Example], gain: Callable[[int], float], text: Callable[[str], str]) -> list[Proposal]:
    return [Proposal(text(row.input), gain(i), 0.1 + i / 100) for i, row in enumerate(rows)]


def test_where_every_rewriting_is_right_all_are_taken_and_where_none_is_none() -> None:
    right = tuple(Example(f"{SURE} {i}", rewritten(f"{SURE} {i}")) for i in range(40))
    wrong = tuple(Example(f"{SURE} {i}", f"{SURE} {i}") for i in range(40))
    found = proposals(right, lambda i: i / 10, rewritten)
    measure = Measure("gleu")
    assert all(choose(right, found, measure).takes(proposal) for proposal in found)
    assert not any(choose(wrong, found, measure).takes(proposal) for proposal in found)


def test_long_edits_are_left_out_where_they_are_what_is_wrong() -> None:
    rows = tuple(
        Example(f"{SURE} {i}", rewritten(f"{SURE} {i}") if i < 20 else f"{SURE} {i}") for i in range(40)
    )  # fmt: skip
    found = proposals(rows, lambda i: float(i % 7), rewritten)  # gains say nothing
    rule = choose(rows, found, Measure("gleu"))
    assert [rule.takes(proposal) for proposal in found] == [True] * 20 + [False] * 20


def test_of_equal_rules_the_one_that_changes_least_is_taken() -> None:
    rows = tuple(Example(f"{SURE} {i}", f"something else {i}") for i in range(40))
    found = proposals(rows, lambda i: float(i), lambda text: text.replace("sat", "stood"))
    rule = choose(rows, found, Measure("edit_f05"))  # nothing is right, whatever is changed
    assert not any(rule.takes(proposal) for proposal in found)


def test_where_nothing_was_rewritten_nothing_is_chosen() -> None:
    assert choose(ROWS, [None] * len(ROWS), Measure("sari")) == Rule(None, None)


@settings(max_examples=15, deadline=None)
@given(st.data(), st.sampled_from(["sari", "gleu", "edit_f05", "ibleu"]))
def test_no_rule_that_was_to_choose_from_scores_higher(data: st.DataObject, metric: str) -> None:
    drawn = st.tuples(st.booleans(), st.floats(-2, 2), st.floats(0.05, 1))
    told = data.draw(st.lists(drawn, min_size=len(ROWS), max_size=len(ROWS)))
    found = [
        Proposal(rewritten(row.input), gain, edited) if there else None
        for row, (there, gain, edited) in zip(ROWS, told, strict=True)
    ]

    def score(rule: Rule) -> float:
        texts = [p.text if p and rule.takes(p) else row.input for row, p in zip(ROWS, found, strict=True)]
        scored = score_main(Measure(metric), ROWS, texts)
        return float(scored.combine(scored.stats.sum(axis=0)))

    best = score(choose(ROWS, found, Measure(metric)))
    assert best >= max(score(Rule(None, None)), score(Rule(None, 0.0))) - 1e-5


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"least_gain": "much", "most_edited": null}', '{"least_gain": 1}', "\x00", "guard"]
)
def test_a_rule_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    learned = learn(tmp_path / "learning")
    product = tmp_path / "product"
    (product / WEIGHTS).mkdir(parents=True)
    learned.save(product)
    tools = make_tools(tmp_path / "fresh", engine())
    again = guarded.load(product, tools)
    assert isinstance(again, Guarded) and again.rule == learned.rule
    (product / "guard.json").write_text(text)
    with pytest.raises((CodecError, storage.Unreadable)):
        guarded.load(product, tools)
