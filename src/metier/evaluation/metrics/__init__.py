"""The metrics by name: whether higher is better, and what each needs. Each family has its own file."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from importlib.metadata import version
from types import MappingProxyType
from typing import Literal

from metier.core.errors import UserError
from metier.evaluation.metrics import (
    bleu,
    char_lcs_f1,
    edits,
    errant,
    exact_match,
    extent,
    gleu,
    label_match,
    macro_f1,
    meaning,
    readability,
    rouge,
    sari,
)
from metier.evaluation.scored import Scored, Texts

Needs = Literal["labels", "sources"]


@dataclasses.dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: Its name in task files.
        score: Scores one system's outputs; rows and corpus, higher is better unless ``judges`` is false.
        needs: What it needs besides outputs and references.
        judges: Whether a higher value is better; a metric without a good direction cannot decide a verdict.
        settings: Settings that implementations differ in, for its signature.
        library: The package that computes it, if any.
    """

    name: str
    score: Callable[[Texts], Scored]
    needs: Needs | None = None
    judges: bool = True
    settings: str = ""
    library: str | None = None

    def signature(self, references: int) -> str:
        """Return its settings and versions in the form of sacreBLEU's signatures.

        Args:
            references: The largest number of references of any row.
        """
        import metier

        parts = [self.name, f"refs:{references}", *([self.settings] if self.settings else [])]
        if self.library:
            parts.append(f"{self.library}:{version(self.library)}")
        return "|".join([*parts, f"metier:{metier.__version__}"])


def get_metric(name: str) -> Metric:
    """Return a metric by its name.

    Raises:
        UserError: There is no metric of that name.
    """
    if name in METRICS:
        return METRICS[name]
    near = difflib.get_close_matches(name, METRICS, n=1)
    raise UserError(
        f"metric: {name!r} is not known",
        hint=f"did you mean {near[0]}?" if near else f"known: {', '.join(METRICS)}",
    )


_STEMMED = "stem:yes"
_13A = "tok:13a"

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric("exact_match", exact_match.score, settings="norm:superni"),
            Metric("label_match", label_match.score, needs="labels"),
            Metric("macro_f1", macro_f1.score, needs="labels"),
            Metric("rouge_1", rouge.rouge_1, settings=_STEMMED, library="rouge-score"),
            Metric("rouge_2", rouge.rouge_2, settings=_STEMMED, library="rouge-score"),
            Metric("rouge_l", rouge.rouge_l, settings=_STEMMED, library="rouge-score"),
            Metric("char_lcs_f1", char_lcs_f1.score),
            Metric("bleu", bleu.bleu, settings=f"case:mixed|{_13A}|smooth:exp", library="sacrebleu"),
            Metric("chrf", bleu.chrf, settings="nc:6|nw:0|beta:2", library="sacrebleu"),
            Metric("sari", sari.score, "sources", settings=f"case:lc|{_13A}", library="sacrebleu"),
            Metric(
                "sari_cased",
                lambda texts: sari.sari(texts, cased=True),
                "sources",
                settings=f"case:mixed|{_13A}",
                library="sacrebleu",
            ),
            Metric("gleu", gleu.score, "sources", settings="tok:spaces|draws:500"),
            Metric("errant", errant.score, "sources", settings="tok:spaces"),
            Metric("edit_f05", edits.edit_f05, "sources", settings=_13A, library="sacrebleu"),
            Metric("edit_match", edits.edit_match, "sources", settings=_13A, library="sacrebleu"),
            Metric("ibleu", bleu.ibleu, "sources", settings=f"alpha:0.8|{_13A}", library="sacrebleu"),
            Metric(
                "self_similarity",
                bleu.self_similarity,
                "sources",
                judges=False,
                settings=_13A,
                library="sacrebleu",
            ),
            Metric("over_editing", edits.over_editing, "sources", judges=False, settings=_13A, library="sacrebleu"),
            Metric("readability", readability.score, judges=False, settings="ari"),
            Metric("meaning", meaning.score, "sources", judges=False, settings="all-minilm-l6-v2"),
            Metric("length_ratio", extent.length_ratio, "sources", judges=False),
            Metric("copied_rate", extent.copied_rate, "sources", judges=False),
        )
    }
)
