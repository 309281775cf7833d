"""Every system that an evaluation may compare: its key, its name for people, and what kind it is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from metier.core.records import SystemKind

SPECIALIST = "specialist"
SPECIALIST_SCORING = "specialist_scoring"
SPECIALIST_UNSEEN = "specialist_unseen"
SPECIALIST_SCORING_CALIBRATED = "specialist_scoring_calibrated"

_SYSTEMS: tuple[tuple[str, str, SystemKind], ...] = (
    ("majority", "majority class", "constant"),
    ("copied_input", "copied input", "constant"),
    ("zero_shot", "prompted, zero-shot", "prompted"),
    ("few_shot", "prompted, few-shot", "prompted"),
    ("few_shot_best", "few-shot, best of 3", "prompted"),
    ("sampled_majority", "few-shot, vote of 10", "prompted"),
    ("self_icl", "synthetic pairs in prompt", "prompted"),
    ("label_scoring", "label scoring, few-shot", "prompted"),
    ("label_scoring_calibrated", "label scoring, calibrated", "prompted"),
    ("tuned_on_examples", "tuned on examples alone", "tuned"),
    ("trained_random", "tuned on as many at random", "tuned"),
    ("trained_related", "tuned on all related", "tuned"),
    ("trained_pool", "tuned on the whole pool", "tuned"),
    ("tfidf_examples", "TF-IDF on examples", "classic"),
    ("tfidf_train", "TF-IDF on train", "classic"),
    ("tfidf_synthetic", "TF-IDF on synthetic", "classic"),
    ("encoder_examples", "encoder on examples", "classic"),
    ("encoder_train", "encoder on train", "classic"),
    ("encoder_synthetic", "encoder on synthetic", "classic"),
    ("harper", "Harper (rules)", "classic"),
    ("replacements", "replacements learnt from train", "classic"),
    (SPECIALIST_UNSEEN, "specialist, unseen wordings", "specialist"),
    (SPECIALIST_SCORING, "specialist, label scoring", "specialist"),
    (SPECIALIST_SCORING_CALIBRATED, "specialist, calibrated", "specialist"),
    (SPECIALIST, "specialist", "specialist"),
)

TITLES: Mapping[str, str] = MappingProxyType({key: title for key, title, _ in _SYSTEMS})
KINDS: Mapping[str, SystemKind] = MappingProxyType({key: kind for key, _, kind in _SYSTEMS})
ORDER: tuple[str, ...] = tuple(key for key, _, _ in _SYSTEMS)
