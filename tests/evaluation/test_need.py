from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from metier.core.records import Interval, SystemAnswers, SystemKind, SystemScore
from metier.evaluation.need import PromptTokens, api_cost_per_million, weigh
from metier.evaluation.records import Need
from metier.tasks.settings import PriceSettings

TEXTS = ("",) * 100
FEW_SHOT = PromptTokens(500, 10)

# By system: kind, seconds of all rows, latencies, learning, bytes.
TOOK: dict[str, tuple[SystemKind, float | None, tuple[float, ...], float, int]] = {
    "majority": ("constant", None, (), 0.0, 0),
    "zero_shot": ("prompted", 4.0, (0.1,) * 10, 0.0, 270_000_000),
    "few_shot": ("prompted", 20.0, (0.4,) * 10, 0.0, 270_000_000),
    "tfidf_synthetic": ("classic", 0.01, (0.0002,) * 10, 100.0, 10_000),
    "encoder_train": ("classic", 0.5, (0.01,) * 10, 3.0, 90_000_000),
    "specialist_unseen": ("specialist", 5.0, (), 300.0, 271_000_000),
    "specialist": ("specialist", 5.0, (0.2,) * 9 + (1.0,), 300.0, 271_000_000),
}


def weighed(
    scores: Mapping[str, float], prices: PriceSettings | None = None, tokens: PromptTokens | None = None
) -> Need:
    gain = Interval(2, -3, 7)
    table, answers = [], []
    for name, score in scores.items():
        kind, seconds, latencies, learning, size = TOOK[name]
        own = None if kind == "specialist" else gain
        table.append(SystemScore(name, name, {"exact_match": score}, own, kind=kind))
        answers.append(SystemAnswers(name, name, kind, TEXTS, None, learning, seconds, latencies, size))
    table.append(SystemScore("harper", "harper", {}, note="not installed", kind="classic"))
    return weigh(table, answers, "exact_match", prices=prices or PriceSettings(), few_shot=tokens)


def test_the_table_is_made_from_what_was_measured() -> None:
    found = weighed({"few_shot": 60, "specialist": 80}, PriceSettings(machine_hour=3.6))
    ours = found.rows[-1]
    assert [row.system for row in found.rows] == ["few_shot", "specialist"]  # what could not be had has no row
    assert ours.rows_per_second == pytest.approx(20)
    assert ours.p50 == pytest.approx(0.2) and ours.p95 == pytest.approx(np.quantile([0.2] * 9 + [1.0], 0.95))
    assert ours.cost_per_million == pytest.approx(1_000_000 / 20 / 3600 * 3.6)
    assert (ours.learning_seconds, ours.size_bytes) == (300, 271_000_000)
    assert weighed({"few_shot": 60}).rows[0].cost_per_million is None


def test_a_prompt_that_answers_wrongly_is_no_alternative_however_fast() -> None:
    """A prompt that scores 19 is faster than the specialist that scores 97; that does not make tuning useless."""
    said = " ".join(weighed({"majority": 14, "zero_shot": 19, "specialist": 97}).words)
    assert "pays back" not in said and "no slower" not in said
    assert said == (
        "No other system comes within 2 points of the specialist (97.0), so there is nothing cheaper to use in its "
        "place. No prompt is good enough to be used instead: the best of them, zero_shot, scores 19.0."
    )


def test_a_prompt_that_is_good_enough_and_no_slower_is_told() -> None:
    said = weighed({"zero_shot": 96, "specialist": 97}).words
    assert said[0] == (
        "zero_shot (96.0) scores within 2 points of the best system (specialist, 97.0), and nothing as good is cheaper "
        "to run (100 ms a row): use it."
    )
    assert "tuning never pays back in time" in said[1]


def test_the_rows_after_which_tuning_pays_back() -> None:
    found = weighed({"few_shot": 96, "specialist": 97})
    # 300 s of tuning; 0.2 s a row prompted, 0.05 s tuned
    assert "Compared with few_shot (96.0) on this machine, it pays back in time after 2,000 rows." in found.words[1]
    assert found.cheapest == "specialist"
    assert found.words[0].startswith("2 systems score within 2 points of the best (specialist, 97.0); the specialist")


@pytest.mark.parametrize(
    ("scores", "cheapest"),
    [
        ({"majority": 96, "tfidf_synthetic": 97, "specialist": 97}, "majority"),  # a constant costs nothing
        ({"tfidf_synthetic": 95, "encoder_train": 96, "specialist": 97}, "tfidf_synthetic"),
        ({"tfidf_synthetic": 94.9, "encoder_train": 96, "specialist": 97}, "encoder_train"),  # more than 2 points lost
        ({"encoder_train": 99.5, "specialist": 97}, "encoder_train"),
        ({"specialist_unseen": 99.5, "specialist": 97}, "specialist"),  # the tuned model asked otherwise is no product
    ],
)
def test_the_cheapest_that_is_good_enough(scores: dict[str, float], cheapest: str) -> None:
    assert weighed(scores).cheapest == cheapest


def test_latency_decides_before_bytes_and_one_that_was_not_measured_is_not_taken_for_short() -> None:
    def found(*more: tuple[str, tuple[float, ...], int]) -> str | None:
        table = [SystemScore(name, name, {"m": 90.0}, kind="classic") for name, _, _ in more]
        answers = [
            SystemAnswers(name, name, "classic", TEXTS, latencies=alone, size_bytes=size) for name, alone, size in more
        ]
        return weigh(table, answers, "m", prices=PriceSettings()).cheapest

    assert found(("quick", (0.1,), 900), ("small", (0.2,), 1)) == "quick"
    assert found(("large", (0.1,), 900), ("small", (0.1,), 1)) == "small"
    assert found(("unknown", (), 1), ("slow", (9.0,), 900)) == "slow"


def test_what_beats_the_specialist_is_named_with_the_specialists_score() -> None:
    said = weighed({"tfidf_synthetic": 90, "specialist": 60}).words[0]
    assert said == (
        "tfidf_synthetic (90.0) is the best system, and no other comes near it (0.2 ms a row): use it. "
        "The specialist scores 60.0."
    )
    assert "no model is needed" in weighed({"majority": 97, "specialist": 97}).words[0]


def test_an_api_is_reckoned_with_at_the_users_prices_alone() -> None:
    assert api_cost_per_million(FEW_SHOT, PriceSettings()) is None
    prices = PriceSettings(machine_hour=0.36, api_input_million=0.5, api_output_million=1.5)
    assert api_cost_per_million(FEW_SHOT, prices) == pytest.approx(500 * 0.5 + 10 * 1.5)
    told = " ".join(weighed({"specialist": 80}, prices, FEW_SHOT).words)
    # tuning 300 s at 0.36 an hour is 0.03; a row costs 265e-6 there and 5e-6 here
    assert "265.00 USD" in told and f"after {0.03 / 260e-6:,.0f} rows" in told
    dear = PriceSettings(machine_hour=360, api_input_million=0.5, api_output_million=1.5)
    assert "the API is cheaper at any volume" in " ".join(weighed({"specialist": 80}, dear, FEW_SHOT).words)


def test_without_scores_nothing_is_said() -> None:
    assert weighed({}) == Need()
