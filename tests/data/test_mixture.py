from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.core.errors import UserError
from metier.core.records import Example
from metier.data.likeness import folded
from metier.data.mixture import GENERIC, MixedRow, Part, make_up, mix, packing, sizes, split_by_source
from metier.data.wordings import in_wordings
from metier.tasks.task import Task


def task(name: str, wordings: Sequence[str] = ()) -> Task:
    return Task.model_validate(
        {
            "name": name,
            "instruction": f"Do {name}.",
            "wordings": list(wordings),
            "examples": [{"input": "a", "output": "b"}],
        }
    )


def pairs(name: str, several: int, start: int = 0) -> tuple[Example, ...]:
    return tuple(
        Example(f"{name} number {i} goes to place {i * 7}", f"{name} {i} done") for i in range(start, start + several)
    )


def lengths(examples: Sequence[Example]) -> list[int]:
    return [len(e.input.split()) + len(e.output.split()) for e in examples]


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
    parts = [Part(task("one"), pairs("one", 5), ratio=0.5), Part(task("two"), pairs("two", 5))]
    with pytest.raises(UserError, match="task two: it has no ratio"):
        mix(parts, tests=(), count_tokens=lengths, seed=0)


def test_a_task_without_data_is_named() -> None:
    with pytest.raises(UserError, match="task two: it has no training data") as found:
        mix([Part(task("one"), pairs("one", 5)), Part(task("two"), ())], tests=(), count_tokens=lengths, seed=0)
    assert "synthetic" in str(found.value.hint)


def test_a_task_whose_data_are_all_in_the_test_says_so() -> None:
    own = pairs("one", 3)
    with pytest.raises(UserError, match="3 in a test"):
        mix([Part(task("one"), own)], tests=own, count_tokens=lengths, seed=0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), tested=st.sets(st.integers(0, 29), max_size=25))
def test_no_row_of_a_test_is_trained_on_by_any_task(seed: int, tested: set[int]) -> None:
    one, two = pairs("one", 30), pairs("two", 30)
    tests = [Example(one[i].input.upper(), "?") for i in tested] + [Example("?", two[i].output) for i in tested]
    mixed = mix([Part(task("one"), one), Part(task("two"), two)], tests=tests, count_tokens=lengths, seed=seed)
    held_out = {folded(t.input) for t in tests} | {folded(t.output) for t in tests}
    for row in mixed.rows:
        assert folded(row.example.input) not in held_out and folded(row.example.output) not in held_out
    kept, left_out = len(mixed.rows), sum(sum(why.values()) for why in mixed.dropped.values())
    assert kept + left_out == 60


def test_what_is_nearly_a_test_input_is_left_out() -> None:
    long = "the old bridge over the river was closed to all cars in the spring of last year"
    part = Part(task("one"), (Example(long, "x"), *pairs("one", 3)))
    mixed = mix([part], tests=[Example(f"{long} again", "y")], count_tokens=lengths, seed=0)
    assert mixed.dropped["one"] == {"nearly in a test": 1} and len(mixed.rows) == 3


def test_what_two_tasks_have_is_trained_on_once() -> None:
    shared = pairs("shared", 4)
    parts = [Part(task("one"), (*shared, *pairs("one", 2))), Part(task("two"), (*shared, *pairs("two", 2)))]
    mixed = mix(parts, tests=(), count_tokens=lengths, seed=0)
    assert counted(mixed.rows) == {"one": 6, "two": 2} and mixed.dropped["two"] == {"twice": 4}


def test_rows_count_labelled_pairs_and_written_ones_come_on_top() -> None:
    part = Part(task("one"), pairs("one", 50), written=pairs("written", 7), rows=10)
    mixed = mix([part], tests=(), count_tokens=lengths, seed=0)
    written = [row for row in mixed.rows if row.example.input.startswith("written")]
    assert len(mixed.rows) == 17 and len(written) == 7


def test_more_rows_are_the_same_rows_and_more() -> None:
    def inputs(several: int) -> set[str]:
        part = Part(task("one"), pairs("one", 50), rows=several)
        return {row.example.input for row in mix([part], tests=(), count_tokens=lengths, seed=3).rows}

    assert inputs(5) < inputs(20) < inputs(50)


@pytest.mark.parametrize(("share", "kept"), [(1.0, 40), (0.5, 20), (0.0, 0)])
def test_unchanged_rows_are_held_to_their_share(share: float, kept: int) -> None:
    same = tuple(Example(f"right as it is {i}", f"right as  it is {i}") for i in range(40))
    part = Part(task("one"), (*same, *pairs("one", 20)), unchanged=share)
    rows = mix([part], tests=(), count_tokens=lengths, seed=0).rows
    assert sum(row.example.input.startswith("right") for row in rows) == kept
    assert len(rows) == kept + 20


def test_every_row_says_what_is_asked_and_wordings_are_dealt_evenly() -> None:
    parts = [Part(task("one", ["First.", "Second.", "Third."]), pairs("one", 40)), Part(task("two"), pairs("two", 5))]
    mixed = mix(parts, tests=(), count_tokens=lengths, seed=0)
    asked = Counter(row.example.instruction for row in mixed.rows if row.task == "one")
    assert asked == {"First.": 10, "Second.": 10, "Third.": 10, "Do one.": 10}
    assert {row.example.instruction for row in mixed.rows if row.task == "two"} == {"Do two."}
    assert make_up(mixed)["one"]["wordings"] == 4


def test_a_pair_keeps_an_instruction_of_its_own() -> None:
    own = Example("a", "b", instruction="Mine.")
    asked = in_wordings(task("one", ["Other."]), [own, Example("c", "d")], seed=0)
    assert asked[0] == own and asked[1].instruction in ("Do one.", "Other.")


def test_generic_rows_have_their_share() -> None:
    generic = [Example(f"question {i}", f"answer {i}", instruction="") for i in range(100)]
    mixed = mix(
        [Part(task("one"), pairs("one", 30))],
        tests=(),
        count_tokens=lengths,
        seed=0,
        generic=generic,
        generic_share=0.25,
    )
    assert counted(mixed.rows) == {"one": 30, GENERIC: 10}


@settings(max_examples=30, deadline=None)
@given(budget=st.integers(20, 700))
def test_a_token_budget_is_kept_to(budget: int) -> None:
    mixed = mix([Part(task("one"), pairs("one", 50))], tests=(), count_tokens=lengths, seed=0, tokens=budget)
    assert sum(row.tokens for row in mixed.rows) <= budget
    left_out = mixed.dropped["one"].get("over the token budget", 0)
    assert len(mixed.rows) + left_out == 50


def test_a_token_budget_for_no_row_is_told() -> None:
    with pytest.raises(UserError, match="too few for a single row"):
        mix([Part(task("one"), pairs("one", 5))], tests=(), count_tokens=lengths, seed=0, tokens=1)


def test_the_same_seed_draws_the_same_mixture_and_another_another() -> None:
    def drawn(seed: int) -> list[MixedRow]:
        part = Part(task("one", ["Other."]), pairs("one", 50), rows=20)
        return list(mix([part], tests=(), count_tokens=lengths, seed=seed).rows)

    assert drawn(1) == drawn(1) != drawn(2)


@given(counts=st.lists(st.integers(1, 100), min_size=1, max_size=60))
def test_packing_fits_all_rows_into_as_few_sequences_as_can_be_had_nearly(counts: list[int]) -> None:
    rows = [MixedRow("one", Example("a", "b"), n) for n in counts]
    packed = packing(rows, length=100, batch_size=4)
    assert packed.tokens == sum(counts) and packed.longest == max(counts)
    least = -(-sum(counts) // 100)
    # First fit, longest first, needs at most 11/9 of the best and 6/9 (Dósa 2007); the best is at least the sum.
    assert least <= packed.sequences <= len(counts)
    assert 0 <= packed.padding < 1


def test_packing_of_known_rows() -> None:
    rows = [MixedRow("one", Example("a", "b"), n) for n in (60, 50, 40, 50, 200)]
    packed = packing(rows, length=100, batch_size=2)
    assert (packed.rows, packed.sequences) == (4, 2)  # the one of 200 tokens is not trained on
    assert packed.padding == pytest.approx(1 - 200 / (2 * 60 + 2 * 50))


@given(several=st.integers(2, 60), share=st.floats(0.05, 0.95), seed=st.integers(0, 99))
def test_a_source_is_on_one_side_of_the_split(several: int, share: float, seed: int) -> None:
    found = [Example(f"Source {i // 3}" if i % 2 else f"source  {i // 3}", f"answer {i}") for i in range(several)]
    train, test = split_by_source(found, share, seed)
    assert not {folded(p.input) for p in train} & {folded(p.input) for p in test}
    assert sorted(p.output for p in (*train, *test)) == sorted(p.output for p in found)
