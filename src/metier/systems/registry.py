"""Every System, in the order in which tables show them: a line each, and nothing else in the code knows their names.

A new System is a file in this folder and a line here. Its file is imported when it is first learnt.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from metier.core.records import SystemKind
from metier.systems.base import Learned, Material, Tools, Tuned

Fits = Literal["any task", "labels", "free text", "rewriting", "correction", "unseen wordings", "two parts"]
SPECIALIST, UNSEEN = "specialist", "specialist_unseen"


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One System.

    Attributes:
        key: Short and unique.
        title: Its name for people.
        kind: What kind of System it is.
        family: The name it goes by among ``evaluation.baselines``; None: it is always there.
        fits: The tasks it is for.
        uses: The parts of the material that it sees.
        module: Its file in this folder.
        options: What else its ``learn`` is given.
        tuned: Which tuned model it sees.
        needs: A part of the material without which there is no point in it.
        ships: Whether a run may end with it without being told to.
    """

    key: str
    title: str
    kind: SystemKind
    family: str | None
    fits: Fits
    uses: frozenset[str]
    module: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tuned: Tuned | None = None
    needs: str | None = None
    ships: bool = True

    def seen(self, material: Material) -> Material:
        """Return the part of the material that the System sees."""
        return material.only(self.uses, self.tuned)

    def has_what_it_needs(self, material: Material) -> bool:
        """Whether there is what it learns from, or the model it is."""
        if self.tuned is not None and self.tuned not in material.weights:
            return False
        return self.needs is None or bool(getattr(material, self.needs))

    def learn(self, material: Material, tools: Tools) -> Learned:
        """Learn from the part of the material that the System sees.

        Raises:
            MetierError: It cannot be had here, or there is too little to learn from; the message says why.
        """
        options = dict(self.options) | ({"tuned": self.tuned} if self.tuned else {})
        module = importlib.import_module(f"metier.systems.{self.module}")
        learned: Learned = module.learn(self.seen(material), tools, **options)
        return learned


def _classic(family: str, title: str, module: str, more: frozenset[str] = frozenset()) -> list[Entry]:
    """Return a System that learns from pairs with labels, once for each source of them."""
    return [
        Entry(
            f"{family}_{'train' if source == 'labelled' else source}",
            f"{title} on {'train' if source == 'labelled' else source}",
            "classic",
            family,
            "labels",
            frozenset({source}) | more,
            module,
            {"source": source},
            needs=source,
        )
        for source in ("examples", "labelled", "synthetic")
    ]


_ENCODER = frozenset({"encoder", "encoder_name"})
_PROMPT = frozenset({"asked", "examples"})
_TUNED = _PROMPT | {"keeps_examples"}
_AS_ASKED = _TUNED | {"answer_by", "label_prior", "synthetic"}

_ENTRIES = (
    Entry(
        "majority", "majority class", "constant", None, "labels", frozenset({"test_answers"}), "constant",
        ships=False,
    ),
    Entry("copied_input", "copied input", "constant", None, "free text", frozenset(), "copied", ships=False),
    Entry(
        "zero_shot", "prompted, zero-shot", "prompted", "zero_shot", "any task", _PROMPT, "written",
        {"shows_examples": False},
    ),
    Entry("few_shot", "prompted, few-shot", "prompted", "few_shot", "any task", _PROMPT, "written"),
    Entry("few_shot_best", "few-shot, best of 3", "prompted", "few_shot_best", "any task", _PROMPT, "best_prompt"),
    Entry(
        "sampled_majority", "few-shot, vote of 10", "prompted", "sampled_majority", "any task", _PROMPT | {"sampling"},
        "voted",
    ),
    Entry(
        "self_icl", "synthetic pairs in prompt", "prompted", "self_icl", "any task",
        _PROMPT | {"synthetic", "demonstration_tokens"}, "self_icl",
    ),
    Entry(
        "label_scoring", "label scoring, few-shot", "prompted", "label_scoring", "labels", _PROMPT, "scored",
        {"reading": "mean"},
    ),
    Entry(
        "label_scoring_calibrated", "label scoring, calibrated", "prompted", "label_scoring", "labels", _PROMPT,
        "scored",
    ),
    Entry(
        "tuned_on_examples", "tuned on examples alone", "tuned", "tuned_on_examples", "any task", _AS_ASKED, "tuned",
        tuned="examples",
    ),
    Entry(
        "trained_random", "tuned on as many at random", "tuned", None, "any task", _AS_ASKED, "tuned",
        tuned="random",
    ),
    Entry("trained_related", "tuned on all related", "tuned", None, "any task", _AS_ASKED, "tuned", tuned="related"),
    Entry("trained_pool", "tuned on the whole pool", "tuned", None, "any task", _AS_ASKED, "tuned", tuned="pool"),
    *_classic("tfidf", "TF-IDF", "tfidf"),
    *_classic("encoder", "encoder", "encoder", _ENCODER),
    Entry(
        "encoder_all", "encoder on all pairs", "classic", "encoder", "labels",
        _ENCODER | {"examples", "labelled", "synthetic"}, "encoder", {"source": "all"}, needs="more_than_examples",
    ),
    Entry(
        "encoder_pair", "encoder on both parts", "classic", "encoder", "two parts",
        _ENCODER | {"examples", "labelled", "synthetic"}, "encoder_pair", {"source": "all"}, needs="more_than_examples",
    ),
    Entry("harper", "Harper (rules)", "classic", "harper", "correction", frozenset(), "harper"),
    Entry(
        "replacements", "replacements learnt from train", "classic", "replacements", "rewriting",
        frozenset({"labelled"}), "replacements",
    ),
    Entry(
        UNSEEN, "specialist, unseen wordings", "specialist", None, "unseen wordings",
        _AS_ASKED | {"unseen_wordings"}, "unseen_wordings", tuned="task", ships=False,
    ),
    Entry(
        "specialist_written", "specialist, writing", "specialist", None, "labels", _TUNED, "written", tuned="task",
        ships=False,
    ),
    Entry(
        "specialist_constrained", "specialist, writing only labels", "specialist", None, "labels", _TUNED, "scored",
        {"reading": "total"}, tuned="task", ships=False,
    ),
    Entry(
        "specialist_guarded", "specialist, or unchanged", "specialist", None, "rewriting",
        _TUNED | {"held_out", "metric"}, "guarded", tuned="task", needs="held_out",
    ),
    Entry(SPECIALIST, "specialist", "specialist", None, "any task", _AS_ASKED, "tuned", tuned="task"),
)  # fmt: skip
SYSTEMS: Mapping[str, Entry] = MappingProxyType({entry.key: entry for entry in _ENTRIES})


def shows_written(entry: Entry) -> bool:
    """Whether a prompt shows the pairs that the model wrote: there is no such System where it writes none."""
    return entry.kind == "prompted" and "synthetic" in entry.uses
