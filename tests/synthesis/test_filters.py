from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.core.records import Candidate, Example
from metier.synthesis import filters

DEMOS = (
    Example(input="I was charged twice.", output="billing"),
    Example(input="Thank you for the parcel, but it is empty.", output="delivery"),
)
PHRASES = filters.noise_phrases(DEMOS, classification=True)


@pytest.mark.parametrize("text", ["", "  \n", "...", "- — -"])
def test_empty_is_dropped_with_its_reason(text: str) -> None:
    assert filters.empty(text) == "nothing but white space or punctuation"


def test_text_in_any_script_is_not_empty() -> None:
    assert all(filters.empty(text) is None for text in ("a", "1", "é", "漢", "привет", "مرحبا"))


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("Sure, my parcel is late", "sure,"),
        ("Here\u2019s one: my parcel is late", "here's"),
        ("Input: my parcel is late", "input:"),
        ("My parcel\n\nis late", "\n\n"),
        ("a \\_ b", "\\_"),
        ("It is late, therefore delivery", "therefore"),
    ],
)
def test_noise_is_dropped_with_the_phrase(text: str, phrase: str) -> None:
    assert filters.noise(text, PHRASES) == f"holds {phrase!r}"


@pytest.mark.parametrize(
    "text",
    ["Where is my parcel?", "There is no invoice.", "There are two.", "There's one.", "under pressure, it broke"],
)
def test_a_phrase_inside_a_word_is_not_noise(text: str) -> None:
    assert filters.noise(text, PHRASES) is None


@pytest.mark.parametrize("shown", ["here's mine", "Here\u2019s mine"])
def test_a_demonstrations_phrase_counts_in_either_apostrophe(shown: str) -> None:
    phrases = filters.noise_phrases([Example(input=shown, output="billing")], classification=True)
    assert filters.noise("Here's another", phrases) is filters.noise("Here\u2019s another", phrases) is None


def test_a_demonstrations_longer_word_does_not_excuse_a_phrase() -> None:
    phrases = filters.noise_phrases([Example(input="Where is it?", output="delivery")], classification=True)
    assert filters.noise("Here is a new one", phrases) == "holds 'here is'"


def test_what_the_demonstrations_say_is_not_noise() -> None:
    assert "thank you for" not in PHRASES
    assert "thank you for" in filters.noise_phrases(DEMOS[:1], classification=True)


def test_reasoning_words_are_noise_in_classification_only() -> None:
    assert filters.noise("therefore", filters.noise_phrases(DEMOS, classification=False)) is None


def test_length_limits_are_half_the_shortest_and_twice_the_longest() -> None:
    assert filters.length_limits([]) is None
    limits = filters.length_limits(["a" * 10, "a" * 20, "a" * 30])
    assert limits is not None and limits == (5, 60)
    assert [filters.length("a" * size, limits) for size in (4, 5, 60, 61)] == [
        "4 characters, outside 5 to 60", None, None, "61 characters, outside 5 to 60",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("Of course! My parcel is late", "Of course!"),
        ("My inputs are late", "input"),
        ("[output] billing", "output"),
        ("My parcel\n\nis late", "\n\n"),
        ("a \\_\\_ b", "\\_\\_"),
        ("Therefore delivery", "Therefore"),
    ],
)
def test_published_noise_is_dropped_as_it_is_written(text: str, phrase: str) -> None:
    phrases = filters.published_noise_phrases(DEMOS, classification=True)
    assert filters.published_noise(text, phrases) == f"holds {phrase!r}"
    assert filters.published_noise(text.upper().replace("\n\n", "").replace("\\_\\_", ""), phrases) is None


def test_published_noise_is_narrow_and_leaves_out_what_the_demonstrations_say() -> None:
    phrases = filters.published_noise_phrases([Example("the input is late", "billing")], classification=False)
    assert len(filters.published_noise_phrases(DEMOS, classification=True)) == 14 + 4 + 3
    texts = ("Sure, my parcel is late", "Here is one", "As an AI", "an input", "therefore")
    assert [filters.published_noise(text, phrases) for text in texts] == [None] * 5
    assert filters.published_noise("an output", phrases) == "holds 'output'"


def test_published_length_limits_hold_for_any_number_of_lengths_that_differ() -> None:
    assert filters.published_length_limits(["a" * 10, "a" * 20]) == (5, 24)
    assert filters.published_length_limits(["a" * 10, "a" * 20, "a" * 30]) == (3, 35)
    assert filters.published_length_limits(["aa"]) is None
    assert filters.published_length_limits(["aa", "bb", "cc"]) is None


def test_exact_duplicates_do_not_depend_on_case_and_spaces() -> None:
    seen = filters.SeenTexts()
    assert seen.check("My parcel is late") is None
    assert seen.check("my  parcel is LATE ") == "the same as an earlier one"
    assert seen.check("my parcel is late!") is None


def test_near_duplicates_are_dropped_and_others_are_not() -> None:
    seen = filters.SeenTexts(near=0.6)
    assert seen.check("the parcel that I ordered on Monday has still not come to my house") is None
    reason = seen.check("the parcel that I ordered on Monday has still not come to my flat")
    assert reason is not None
    assert "like an earlier one" in reason
    assert seen.check("my password does not work since the last update of the app") is None


@settings(deadline=None)  # the first example imports a library
@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=9).map(" ".join), max_size=15))
def test_no_text_is_dropped_by_a_hashs_error(texts: list[str]) -> None:
    def grams(text: str) -> set[tuple[str, ...]]:
        words = text.split()
        return {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}

    seen = filters.SeenTexts(near=0.5)
    kept: list[str] = []
    for text in texts:
        if seen.check(text) is None:
            kept.append(text)
        else:
            assert any(len(grams(text) & grams(k)) >= 0.5 * len(grams(text) | grams(k)) for k in kept)


@given(st.lists(st.text(alphabet="abc ", min_size=1), max_size=30))
def test_of_equal_texts_exactly_one_is_kept(texts: list[str]) -> None:
    seen = filters.SeenTexts()
    kept = [text for text in texts if seen.check(text) is None]
    keys = [" ".join(t.lower().split()) for t in texts]
    assert Counter(" ".join(t.lower().split()) for t in kept) == Counter(set(keys))


def test_the_vote_takes_the_most_frequent_then_the_shortest_then_the_first() -> None:
    assert filters.majority_vote(["a", "b", "b"], 0.3) == ("b", 2 / 3)
    assert filters.majority_vote(["long", "xy", "long", "xy"], 0.3) == ("xy", 0.5)
    assert filters.majority_vote(["xy", "ab"], 0.3) == ("xy", 0.5)
    assert filters.majority_vote(["a", "b", "c", "d"], 0.3) == (None, 0.25)
    with pytest.raises(ValueError, match="no answers"):
        filters.majority_vote([], 0.3)


@given(st.lists(st.text(max_size=3), min_size=1, max_size=20), st.floats(0, 1))
def test_the_winner_has_its_share(answers: list[str], agreement: float) -> None:
    winner, share = filters.majority_vote(answers, agreement)
    assert share == max(Counter(answers).values()) / len(answers)
    assert (winner is not None) == (share >= agreement)
    if winner is not None:
        assert answers.count(winner) / len(answers) == share


@given(st.lists(st.sampled_from("abc"), max_size=40), st.integers(0, 9))
def test_balanced_classes_are_as_large_as_the_rarest(labels: list[str], seed: int) -> None:
    kept = filters.balance(labels, seed)
    counts = Counter(labels[i] for i in kept)
    assert kept == sorted(set(kept)) == filters.balance(labels, seed)
    assert set(counts) == set(labels)
    assert all(count == min(Counter(labels).values()) for count in counts.values())


def test_a_dropped_candidate_stays_as_it_is() -> None:
    dropped = filters.drop(Candidate("r0.0", "x"), "noise", "why")
    assert filters.apply(dropped, [("empty", filters.empty)], "") is dropped
    kept = filters.apply(Candidate("r0.0", "x"), [("empty", filters.empty)], "x")
    assert kept.kept
    assert filters.apply(kept, [("empty", filters.empty)], " ").dropped_by == "empty"
