from __future__ import annotations

import json

import numpy as np
import pytest

from metier.core.codec import decode, encode
from metier.core.errors import MetierError
from metier.evaluation.scored import Scored, mean_of
from metier.evaluation.variants import BASE, Outcome, Variant, compare_variants, smallest_sufficient


def right(share: float, seed: int, rows: int = 400) -> Scored:
    return mean_of(np.where(np.random.default_rng(seed).random(rows) < share, 100.0, 0.0))


def budget(group: str, share: float, score: float, first: int) -> Variant:
    """Return one cell of a study of selection, of three seeds, compared as such a study compares."""
    name = f"{group}, {100 * share:g}%"
    by_seed = {s: right(score, first + s) for s in (1, 2, 3)}
    over = {"random": f"random, {100 * share:g}%", "related": "all related"}
    return Variant(name, {"nli": by_seed}, {"share": share, "rows": 1000 * share}, group, over)


def of_selection() -> tuple[Outcome, ...]:
    return compare_variants(
        [
            Variant(BASE, {"nli": {0: right(0.3, 0)}}),
            budget("random", 0.01, 0.4, 0),
            budget("k_center", 0.01, 0.6, 10),
            budget("random", 0.1, 0.72, 20),
            budget("k_center", 0.1, 0.75, 30),
            Variant("all related", {"nli": {s: right(0.74, 40 + s) for s in (1, 2, 3)}}),
        ],
        resamples=500,
    )


def test_differences_are_between_means_over_seeds_and_have_their_interval() -> None:
    by_name = {o.name: o for o in of_selection()}
    small, at_random = by_name["k_center, 1%"], by_name["random, 1%"]
    gain, short = small.over["random"], small.over["related"]
    assert gain.rival == "random, 1%" and gain.mean.value == pytest.approx(small.mean.value - at_random.mean.value)
    assert small.mean.value == pytest.approx(np.mean(list(small.by_seed["nli"].values())))
    assert gain.mean.low > 0 > short.mean.high
    assert small.mean.low < small.mean.value < small.mean.high
    assert by_name[BASE].over == {}
    assert list(at_random.over) == ["related"]  # nothing is compared with itself


def test_the_smallest_budget_that_will_do() -> None:
    found = of_selection()
    enough = smallest_sufficient(found, "k_center")
    assert enough is not None and enough.facts["share"] == 0.1
    assert smallest_sufficient(found[:3], "k_center") is None  # 1% is shown to be worse
    assert smallest_sufficient(found, "nearest") is None


def test_variants_are_compared_on_the_tasks_both_have() -> None:
    found = compare_variants(
        [
            Variant("all", {"one": {0: right(0.8, 1)}, "two": {0: right(0.5, 2)}}, {"rows": 10.0}),
            Variant("less", {"one": {0: right(0.3, 3)}, "two": {0: right(0.5, 2)}}),
            Variant("one alone", {"one": {0: right(0.8, 1)}}),
            Variant("another", {"three": {0: right(0.8, 1)}}),
        ],
        against="all",
    )
    first, less, alone, another = found
    assert first.over == {} and first.facts == {"rows": 10.0}
    gains = less.over["all"]
    assert gains.by_task["one"].high < 0
    assert gains.by_task["two"].low == gains.by_task["two"].high == 0  # the same answers, so no difference in any draw
    assert gains.mean.value == pytest.approx(gains.by_task["one"].value / 2)
    assert list(alone.over["all"].by_task) == ["one"]
    assert another.over == {}
    assert first.mean.value == pytest.approx(np.mean([one.value for one in first.by_task.values()]))
    assert first.mean.low < first.mean.value < first.mean.high


def test_seeds_that_differ_widen_the_interval() -> None:
    alike = {s: right(0.5, 1) for s in (1, 2, 3)}
    apart = {1: right(0.2, 1), 2: right(0.5, 1), 3: right(0.8, 1)}
    one, other = compare_variants([Variant("alike", {"t": alike}), Variant("apart", {"t": apart})])
    assert other.mean.high - other.mean.low > 3 * (one.mean.high - one.mean.low)
    (single,) = compare_variants([Variant("one seed", {"t": {1: right(0.5, 1)}})])
    assert single.mean == one.mean  # the same rows are drawn, and equal seeds add nothing


def test_a_corpus_score_that_is_more_than_its_sums_is_kept() -> None:
    plain = right(0.5, 1)
    moved = Scored(plain.rows, plain.stats, plain.combine, plain.corpus + 3)
    one, other = compare_variants([Variant("plain", {"t": {0: plain}}), Variant("moved", {"t": {0: moved}})])
    assert other.mean.value == pytest.approx(one.mean.value + 3)
    assert other.mean.low == pytest.approx(one.mean.low + 3)


def test_outcomes_go_to_json_and_back() -> None:
    found = of_selection()
    assert decode(tuple[Outcome, ...], json.loads(json.dumps(encode(found)))) == found


@pytest.mark.parametrize(
    ("variants", "told"),
    [
        (
            [Variant("a", {"t": {0: right(0.5, 1)}}), Variant("b", {"t": {0: right(0.5, 1, rows=9)}})],
            "not the same rows",
        ),
        ([Variant("a", {"t": {0: right(0.5, 1)}}, over={"random": "nobody"})], "'nobody' is not a variant"),
        ([Variant("a", {})], "a: it was not scored"),
    ],
)
def test_what_cannot_be_compared_is_refused(variants: list[Variant], told: str) -> None:
    with pytest.raises(MetierError, match=told):
        compare_variants(variants)
