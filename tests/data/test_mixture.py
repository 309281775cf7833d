from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.core.errors import UserError
from metier.core.records import Example
from metier.data.likeness import folded
from metier.data.mixture import GENERIC, Kept, Mixed, MixedRow, MixPlan, Part, mix
from metier.data.packing import packing
from metier.data.sizes import sizes, split_by_source
from metier.data.wordings import in_wordings


def part(name: str, given: Sequence[Example], wordings: Sequence[str] = (), **more: Any) -> Part:
    return Part(name, (f"Do {name}.", *wordings), tuple(given), **more)


def row(task: str, tokens: int) -> MixedRow:
    return MixedRow(task, "labelled", "Do it.", "a", "b", tokens)


def pairs(name: str, several: int, start: int = 0) -> tuple[Example, ...]:
    return tuple(
        Example(f"{name} number {i} goes to place {i * 7}", f"{name} {i} done") for i in range(start, start + several)
    )


def lengths(examples: Sequence[Example]) -> list[int]:
    return [len(e.input.split()) + len(e.output.split()) for e in examples]


def mixed_of(*parts: Part, tests: Kept | None = None, generic: Sequence[Example] = (), **plan: Any) -> Mixed:
    return mix(parts, MixPlan(**{"seed": 0} | plan), tests or Kept(), lengths, generic)


def counted(rows: Sequence[MixedRow]) -> dict[str, int]:
    return dict(Counter(row.task for row in rows))


@given(
    available=st.lists(st.integers(1, 2000), min_size=1, max_size=8),
    temperature=st.floats(0.3, 50),
    total=st.integers(8, 5000),
)
def test_sizes_add_up_and_nobody_gives_what_it_has_not(available: list[int], temperature: float, total: int) -> None:
    wanted = min(total, sum(available))
    try:
        found = sizes(available, ratios=None, temperature=temperature, total=total)
    except UserError as error:
        assert "too few" in error.message
        return
    assert sum(found) == wanted
    assert all(1 <= n <= most for n, most in zip(found, available, strict=True))
    order = sorted(range(len(available)), key=lambda i: available[i])
    assert all(found[a] <= found[b] + 1 for a, b in itertools.pairwise(order))


def test_temperature_one_is_in_proportion_and_a_high_one_even() -> None:
    assert sizes([1000, 100, 100], ratios=None, temperature=1, total=120) == [100, 10, 10]
    assert sizes([1000, 100, 100], ratios=None, temperature=1e9, total=120) == [40, 40, 40]
    assert sizes([1000, 10, 100], ratios=None, temperature=1e9, total=120) == [55, 10, 55]
    assert sizes([5, 6], ratios=None, temperature=1, total=None) == [5, 6]


def test_ratios_are_kept_and_the_scarcest_task_sets_the_size() -> None:
    assert sizes([1000, 30], ratios=[0.7, 0.3], temperature=1, total=None) == [70, 30]
    assert sizes([1000, 30], ratios=[0.7, 0.3], temperature=1, total=50) == [35, 15]


@pytest.mark.parametrize("ratios", [[0.5, 0.4], [0.9, 0.2], [1.0, 0.0]])
def test_ratios_that_do_not_add_up_are_told(ratios: list[float]) -> None:
    with pytest.raises(UserError, match="add up to 1"):
        sizes([10, 10], ratios=ratios, temperature=1, total=None)


def test_one_ratio_for_two_tasks_is_told() -> None:
    with pytest.raises(UserError, match="task two: it has no ratio"):
        mixed_of(part("one", pairs("one", 5), ratio=0.5), part("two", pairs("two", 5)))


def test_a_task_without_data_is_named() -> None:
    with pytest.raises(UserError, match="task two: it has no training data") as found:
        mixed_of(part("one", pairs("one", 5)), part("two", ()))
    assert "synthetic" in str(found.value.hint)


def test_a_task_whose_rows_change_nothing_says_so_where_none_may_be_left_so() -> None:
    same = tuple(Example(f"right {i}", f"right {i}") for i in range(5))
    with pytest.raises(UserError, match="each of its 5 rows is the input as it was, and at most 30%") as found:
        mixed_of(part("one", same, unchanged=0.3))
    assert "changes something" in str(found.value.hint)
    assert len(mixed_of(part("one", same)).rows) == 5


def test_a_task_whose_data_are_all_in_the_test_says_so() -> None:
    own = pairs("one", 3)
    with pytest.raises(UserError, match="3 in a test"):
        mixed_of(part("one", own), tests=Kept(tuple(pair.input for pair in own)))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), tested=st.sets(st.integers(0, 29), max_size=25))
def test_no_row_of_a_test_is_trained_on_by_any_task(seed: int, tested: set[int]) -> None:
    one, two = pairs("one", 30), pairs("two", 30)
    tests = Kept(tuple(one[i].input.upper() for i in tested), tuple(two[i].output for i in tested))
    mixed = mixed_of(part("one", one), part("two", two), tests=tests, seed=seed)
    held_out = {folded(text) for text in (*tests.inputs, *tests.texts)}
    for made in mixed.rows:
        assert folded(made.input) not in held_out and folded(made.output) not in held_out
    kept, left_out = len(mixed.rows), sum(sum(made.dropped.values()) for made in mixed.make_up.values())
    assert kept + left_out == 60 and left_out == 2 * len(tested)


def test_a_tests_inputs_keep_out_no_answers_and_its_texts_keep_out_both() -> None:
    own = (Example("a", "b"), Example("b", "c"), Example("d", "e"))

    def kept(tests: Kept) -> set[str]:
        return {made.input for made in mixed_of(part("one", own), tests=tests).rows}

    assert kept(Kept(inputs=("b",))) == {"a", "d"}
    assert kept(Kept(texts=("b",))) == {"d"}


def test_examples_are_never_left_out_and_come_first() -> None:
    examples = pairs("shown", 3)
    tests = Kept(tuple(e.input for e in examples), tuple(e.output for e in examples))
    mixed = mixed_of(part("one", (*pairs("one", 5), examples[0]), examples=examples, rows=2), tests=tests)
    assert [made.example.input for made in mixed.rows[:3]] == [e.input for e in examples]
    assert [made.origin for made in mixed.rows] == ["example"] * 3 + ["labelled"] * 2
    assert mixed.make_up["one"].dropped == {"in a test": 1}, "the labelled row that is an example, and a test row too"


def test_a_row_says_where_it_is_from() -> None:
    mixed = mixed_of(part("one", pairs("pool", 3), origin="pool", written=pairs("written", 2)))
    origins = {made.input.split()[0]: made.origin for made in mixed.rows}
    assert origins == {"pool": "pool", "written": "synthetic"}
    assert mixed.of("one") == mixed.rows and mixed.of("two") == ()
    assert mixed.tokens == sum(made.tokens for made in mixed.rows) == sum(lengths(pairs("pool", 5)))


def test_what_is_nearly_a_test_input_is_left_out() -> None:
    long = "the old bridge over the river was closed to all cars in the spring of last year"
    own = part("one", (Example(long, "x"), *pairs("one", 3)))
    mixed = mixed_of(own, tests=Kept((f"{long} again",)))
    assert mixed.make_up["one"].dropped == {"nearly in a test": 1} and len(mixed.rows) == 3
    assert len(mixed_of(own, tests=Kept((f"{long} again",), similarity=0.99)).rows) == 4


def test_what_two_tasks_have_is_trained_on_once() -> None:
    shared = pairs("shared", 4)
    mixed = mixed_of(part("one", (*shared, *pairs("one", 2))), part("two", (*shared, *pairs("two", 2))))
    assert counted(mixed.rows) == {"one": 6, "two": 2} and mixed.make_up["two"].dropped == {"twice": 4}


def test_rows_count_labelled_pairs_and_written_ones_come_on_top() -> None:
    mixed = mixed_of(part("one", pairs("one", 50), written=pairs("written", 7), rows=10))
    written = [made for made in mixed.rows if made.input.startswith("written")]
    assert len(mixed.rows) == 17 and len(written) == 7


def test_more_rows_are_the_same_rows_and_more() -> None:
    def inputs(several: int) -> set[str]:
        return {made.input for made in mixed_of(part("one", pairs("one", 50), rows=several), seed=3).rows}

    assert inputs(5) < inputs(20) < inputs(50)


def several(name: str, rows: int, answers: int = 3) -> tuple[Example, ...]:
    """Return rows with several answers each."""
    return tuple(Example(p.input, f"{p.output} 0", tuple(f"{p.output} {k}" for k in range(1, answers)))
                 for p in pairs(name, rows))  # fmt: skip


def test_every_answer_of_a_row_is_trained_on_as_a_pair() -> None:
    twice = Example("one number 99 goes to place 693", "done", ("done", "over"))
    made = mixed_of(part("one", (*several("one", 5), twice))).rows
    assert len(made) == 5 * 3 + 2
    assert {(row.input, row.output) for row in made} == {
        (row.input, answer) for row in (*several("one", 5), twice) for answer in row.references
    }


def test_rows_with_several_answers_give_no_more_pairs_than_rows_allow_and_every_row_one_first() -> None:
    own = several("one", 20)
    for rows, inputs in ((10, 10), (20, 20), (30, 20), (1000, 20)):
        made = mixed_of(part("one", own, rows=rows)).rows
        assert len(made) == min(rows, 60) and len({row.input for row in made}) == inputs
        assert max(Counter(row.input for row in made).values()) <= -(-rows // 20)


def test_of_several_tasks_one_with_many_answers_takes_no_more_than_its_rows() -> None:
    made = mixed_of(part("one", several("one", 20, answers=10)), part("two", pairs("two", 20))).rows
    assert counted(made) == {"one": 20, "two": 20}
    assert len({row.input for row in made}) == 40
    assert len({row.output[-1] for row in made if row.task == "one"}) > 3, "not all the first ones"


def test_which_answers_are_taken_is_drawn_by_the_seed() -> None:
    def drawn(seed: int) -> set[tuple[str, str]]:
        return {(r.input, r.output) for r in mixed_of(part("one", several("one", 20), rows=20), seed=seed).rows}

    assert drawn(1) == drawn(1) != drawn(2)


def test_a_row_is_kept_out_whole_where_one_of_its_answers_is_in_a_test() -> None:
    own = several("one", 4)
    mixed = mixed_of(part("one", own), tests=Kept(texts=(own[2].others[1],)))
    assert {row.input for row in mixed.rows} == {own[i].input for i in (0, 1, 3)}
    assert mixed.make_up["one"].dropped == {"in a test": 1}


@pytest.mark.parametrize(("share", "kept"), [(1.0, 40), (0.5, 20), (0.0, 0)])
def test_unchanged_rows_are_held_to_their_share(share: float, kept: int) -> None:
    same = tuple(Example(f"right as it is {i}", f"right as  it is {i}") for i in range(40))
    rows = mixed_of(part("one", (*same, *pairs("one", 20)), unchanged=share)).rows
    assert sum(made.input.startswith("right") for made in rows) == kept
    assert len(rows) == kept + 20


def test_every_row_says_what_is_asked_and_wordings_are_dealt_evenly() -> None:
    several = part("one", pairs("one", 40), ["First.", "Second.", "Third."])
    mixed = mixed_of(several, part("two", pairs("two", 5)))
    asked = Counter(made.example.instruction for made in mixed.of("one"))
    assert asked == {"First.": 10, "Second.": 10, "Third.": 10, "Do one.": 10}
    assert {made.instruction for made in mixed.of("two")} == {"Do two."}
    one = mixed.make_up["one"]
    assert (one.rows, one.wordings, one.tokens) == (40, 4, sum(made.tokens for made in mixed.of("one")))


def test_a_pair_keeps_an_instruction_of_its_own() -> None:
    own = Example("a", "b", instruction="Mine.")
    asked = in_wordings(["Do one.", "Other."], [own, Example("c", "d")], 0, "one")
    assert asked[0] == own and asked[1].instruction in ("Do one.", "Other.")


def test_generic_rows_have_their_share() -> None:
    generic = [Example(f"question {i}", f"answer {i}", instruction="") for i in range(100)]
    mixed = mixed_of(part("one", pairs("one", 30)), generic=generic, generic_share=0.25)
    assert counted(mixed.rows) == {"one": 30, GENERIC: 10}
    assert {made.origin for made in mixed.of(GENERIC)} == {"generic"} and mixed.make_up[GENERIC].rows == 10


@settings(max_examples=30, deadline=None)
@given(budget=st.integers(20, 700))
def test_a_token_budget_is_kept_to(budget: int) -> None:
    mixed = mixed_of(part("one", pairs("one", 50)), tokens=budget)
    assert mixed.tokens <= budget
    left_out = mixed.make_up["one"].dropped.get("over the token budget", 0)
    assert len(mixed.rows) + left_out == 50


def test_a_token_budget_leaves_no_example_out() -> None:
    examples = pairs("shown", 3)
    for seed in range(5):
        own = part("one", pairs("one", 50), examples=examples)
        mixed = mixed_of(own, seed=seed, tokens=sum(lengths(examples)) + 25)
        assert [made.input for made in mixed.rows if made.origin == "example"] == [e.input for e in examples]
        assert len(mixed.rows) == 5, "two rows of eleven tokens fit beside them"


def test_a_token_budget_for_no_row_is_told() -> None:
    with pytest.raises(UserError, match="too few for a single row"):
        mixed_of(part("one", pairs("one", 5)), tokens=1)


def test_the_same_seed_draws_the_same_mixture_and_another_another() -> None:
    def drawn(seed: int) -> tuple[MixedRow, ...]:
        return mixed_of(part("one", pairs("one", 50), ["Other."], rows=20), seed=seed).rows

    assert drawn(1) == drawn(1) != drawn(2)


@given(counts=st.lists(st.integers(1, 100), min_size=1, max_size=60))
def test_packing_fits_all_rows_into_as_few_sequences_as_can_be_had_nearly(counts: list[int]) -> None:
    rows = [row("one", n) for n in counts]
    packed = packing(rows, length=100, batch_size=4)
    assert packed.tokens == sum(counts) and packed.longest == max(counts)
    least = -(-sum(counts) // 100)
    # First fit, longest first, needs at most 11/9 of the best and 6/9 (Dósa 2007); the best is at least the sum.
    assert least <= packed.sequences <= len(counts)
    assert 0 <= packed.padding < 1


def test_packing_of_known_rows() -> None:
    rows = [row("one", n) for n in (60, 50, 40, 50, 200)]
    packed = packing(rows, length=100, batch_size=2)
    assert (packed.rows, packed.sequences) == (4, 2)  # the one of 200 tokens is not trained on
    assert packed.padding == pytest.approx(1 - 200 / (2 * 60 + 2 * 50))


@given(several=st.integers(2, 60), share=st.floats(0.05, 0.95), seed=st.integers(0, 99))
def test_a_source_is_on_one_side_of_the_split(several: int, share: float, seed: int) -> None:
    found = [Example(f"Source {i // 3}" if i % 2 else f"source  {i // 3}", f"answer {i}") for i in range(several)]
    train, test = split_by_source(found, share, seed)
    assert not {folded(p.input) for p in train} & {folded(p.input) for p in test}
    assert sorted(p.output for p in (*train, *test)) == sorted(p.output for p in found)
