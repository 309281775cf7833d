"""Writes the report: one HTML file that stands alone. Knows nothing of how a fact came to be.

All that a model or a data file said is untrusted text: the template escapes everything, what is no character
is replaced, and the page's own policy forbids scripts and requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from markupsafe import Markup

from metier.core import storage
from metier.core.records import Interval, LossPoint
from metier.evaluation.better import SPECIALIST
from metier.evaluation.records import ByLabel
from metier.report import svg, words
from metier.report.facts import BeforeAfter, Judged, RunFacts
from metier.report.made import FunnelStep, Training
from metier.report.sentences import (
    advice,
    answering_sentence,
    caveats,
    data_sentences,
    good_enough_sentence,
    held_out_sentence,
    product_notes,
    product_sentence,
    split_sentences,
    verdict_sentence,
)
from metier.systems.registry import SYSTEMS
from metier.tasks.settings import SynthesisSettings
from metier.tasks.used import settings_of_vote, settings_used

_LOSS_POINTS = 240  # drawn and listed; a longer curve is thinned
# Settings that only some engines have, and which.
_ENGINES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **dict.fromkeys(("url", "served_model", "api", "key_env", "timeout", "retries"), ("openai",)),
        "concurrency": ("openai", "llamacpp"),
        "gguf": ("llamacpp",),
        **dict.fromkeys(("memory_share", "tensor_parallel"), ("vllm",)),
    }
)
_RIGHT_OR_WRONG = ("exact_match", "label_match")


def write_report(facts: RunFacts, path: Path) -> None:
    """Write the page, whole or not at all.

    Args:
        facts: What to say.
        path: The HTML file.

    Raises:
        UserError: The folder may not be written to.
        MetierError: The disk is full, or the write failed otherwise.
    """
    storage.write_text(path, render(facts))


def render(facts: RunFacts) -> str:
    """Return the page as text."""
    curve, every = _thinned(facts.training.loss)
    judged = facts.judged
    return page(
        "template.html.j2",
        facts=facts,
        judged=judged,
        specialist=SPECIALIST,
        ships=product_sentence(facts),
        ships_notes=product_notes(facts),
        good_enough=good_enough_sentence(facts),
        verdict=verdict_sentence(facts),
        advice=advice(facts),
        answering=answering_sentence(facts),
        split=split_sentences(judged.split) if judged and judged.split else (),
        caveats=caveats(facts),
        data_sentences=data_sentences(facts.data),
        held_out=held_out_sentence(facts),
        interval_text=words.interval_text,
        mark=_mark,
        changes=_changes(judged.sample if judged else ()),
        right_or_wrong=facts.metric in _RIGHT_OR_WRONG,
        figures=_Figures(facts, curve),
        prices=_prices(facts),
        curve=curve,
        curve_every=every,
        agreement=_agreement(facts),
        settings=_used(facts),
    )


def page(template: str, **values: object) -> str:
    """Return a template of this folder filled in; everything is escaped but what is markup already."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("metier.report", "."),
        autoescape=True,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        number=words.number,
        points=words.points,
        duration=words.duration,
        size=words.size,
        shorten=words.shorten,
        metric=words.metric_title,
        words=_spaced,
        brief=words.brief,
        rate=words.rate,
        p=words.p_value,
        funnel=_funnel_figure,
        amount=words.count,
    )
    return environment.get_template(template).render(**values)


def gains_figure(title: str, rows: Sequence[tuple[str, Interval]]) -> Markup:
    """Return a dot plot of differences with their intervals, around zero."""
    drawn = [
        svg.Dot(
            label,
            words.interval_text(gain),
            gain.value,
            gain.low,
            gain.high,
            tone="good" if gain.low > 0 else "bad" if gain.high < 0 else "plain",
        )
        for label, gain in rows
    ]
    domain = (min(0.0, *(g.low for _, g in rows)), max(0.0, *(g.high for _, g in rows))) if rows else (0.0, 1.0)
    return svg.dots(title, drawn, domain, zero=True)


def _printable(value: object) -> object:
    return words.clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _spaced(key: str) -> str:
    return key.replace("_", " ")


class _Figures:
    """The figures of a page, drawn when the template asks for them."""

    def __init__(self, facts: RunFacts, curve: Sequence[LossPoint]) -> None:
        self._facts, self._curve = facts, curve

    def scores(self, judged: Judged) -> Markup:
        """Return the score of every system."""
        metric = self._facts.metric
        rows = [
            svg.Dot(s.title, words.number(s.scores[metric]), s.scores[metric], tone=self._tone(s.system))
            for s in judged.systems
            if metric in s.scores
        ]
        return svg.dots(f"Score of each system: {words.metric_title(metric)}, 0 to 100", rows, (0, 100))

    def gains(self, judged: Judged) -> Markup:
        """Return the specialist's gain over every system."""
        rows = [(f"over {s.title}", s.gain) for s in judged.systems if s.gain is not None]
        return gains_figure("The specialist's gain over each system, with its 95% interval", rows)

    def labels(self) -> Markup:
        """Return training pairs by label."""
        counts = self._facts.data.label_counts
        rows = [svg.Bar(words.shorten(words.clean(label), 40), f"{n:,}", n) for label, n in counts.items()]
        return svg.bars("Training pairs by label", rows)

    def loss(self) -> Markup:
        """Return the loss by optimiser step."""
        curve = self._curve
        train = svg.Line("training", [(p.step, p.train) for p in curve], "plain")
        held_out = [(p.step, p.holdout) for p in curve if p.holdout is not None]
        holdout = svg.Line("held out", held_out, "accent", dots=True)
        mark = _kept_step(self._facts.training)
        return svg.lines("Loss by optimiser step", (train, holdout), x_label="optimiser step", mark=mark)

    def reliability(self, by_label: ByLabel) -> Markup:
        """Return the share of right answers by confidence."""
        points = [(b.confidence, b.accuracy) for b in by_label.reliability]
        measured = svg.Line("specialist", points, "accent", dots=True)
        diagonal = svg.Line("right as often as it is confident", [(0.0, 0.0), (1.0, 1.0)], "plain")
        return svg.lines("Share of right answers by confidence", (diagonal, measured), x_label="confidence")

    def _tone(self, system: str) -> str:
        if system == SPECIALIST:
            return "good" if self._facts.better else "accent"
        return "plain"


def _funnel_figure(funnel: Sequence[FunnelStep], title: str) -> Markup:
    rows = []
    for step in funnel:
        lost = sum(step.dropped.values())
        text = f"{step.kept:,} left" + (f", {lost:,} dropped" if lost else "")
        rows.append(svg.Bar(_spaced(step.stage), text, step.kept, lost))
    return svg.bars(title, rows)


def _prices(facts: RunFacts) -> str | None:
    """Return the currency where what a system costs is known."""
    if facts.judged is None or all(row.cost_per_million is None for row in facts.judged.need.rows):
        return None
    prices = facts.settings.get("prices")
    return str(prices.get("currency", "")) if isinstance(prices, Mapping) else ""


def _kept_step(training: Training) -> tuple[float, str] | None:
    """Return the last step of the epoch whose weights were kept."""
    if training.chosen_epoch is None:
        return None
    steps = [p.step for p in training.loss if p.epoch <= training.chosen_epoch + 1e-6]
    return (steps[-1], f"epoch {training.chosen_epoch} kept") if steps else None


def _thinned(loss: Sequence[LossPoint]) -> tuple[list[LossPoint], int]:
    """Return every n-th point, and all with a hold-out loss, so that about `_LOSS_POINTS` are left; and n."""
    every = -(-len(loss) // _LOSS_POINTS) or 1
    last = len(loss) - 1
    return [p for i, p in enumerate(loss) if i % every == 0 or i == last or p.holdout is not None], every


def _mark(metric: str, score: float) -> str:
    """Return a row's score in words: right or wrong where a metric knows nothing between."""
    if metric in _RIGHT_OR_WRONG and score in (0.0, 100.0):
        return "✓ right" if score else "✗ wrong"
    return words.number(score)


def _changes(rows: Sequence[BeforeAfter]) -> dict[str, int]:
    better = sum(row.score_after > row.score_before for row in rows)
    worse = sum(row.score_after < row.score_before for row in rows)
    return {"better": better, "worse": worse, "same": len(rows) - better - worse}


def _agreement(facts: RunFacts) -> str:
    """Return what the number beside a pair that was kept means; a free-text answer has one only by votes or by gain."""
    method = facts.setting("synthesis", "method")
    return "gain" if method == "damage" or (facts.labels is None and method == "backward") else "share"


def _used(facts: RunFacts) -> list[tuple[str, str]]:
    """Return the settings that the run made use of, with the systems that answered in place of those asked for."""
    unused = {"evaluation.baselines"}
    unused |= {f"engine.{key}" for key, kinds in _ENGINES.items() if facts.setting("engine", "kind") not in kinds}
    unused |= {f"synthesis.{key}" for key in SynthesisSettings.model_fields if key not in _synthesis_used(facts)}
    sections = set()
    if not facts.data.selection_funnel:
        sections.add("selection")
    if all(facts.setting("prices", key) is None for key in ("machine_hour", "api_input_million", "api_output_million")):
        sections.add("prices")
    rows = [row for row in _flat(facts.settings) if row[0] not in unused and row[0].partition(".")[0] not in sections]
    answered = [s.system for s in facts.judged.systems if s.scores] if facts.judged else []
    return [*rows, ("systems that answered", ", ".join(answered))] if answered else rows


def _synthesis_used(facts: RunFacts) -> frozenset[str]:
    """Return the synthesis settings that pairs were written with, and those that a System sampled its answers with."""
    used: frozenset[str] = frozenset()
    labels = facts.labels is not None
    if facts.data.synthesis_funnel or facts.data.synthetic:
        used |= settings_used(str(facts.setting("synthesis", "method")), labels=labels)
        used |= {"unlabelled_rows"} if facts.settings.get("unlabelled") else frozenset()
    answered = [s.system for s in facts.judged.systems if s.scores] if facts.judged else []
    if any("sampling" in SYSTEMS[key].uses for key in answered if key in SYSTEMS):
        used |= settings_of_vote(labels=labels)
    return used


def _flat(settings: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as (dotted key, value) rows; examples and instruction are shown elsewhere."""
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}.")
        elif prefix or key not in ("examples", "instruction"):
            rows.append((f"{prefix}{key}", _plain(value)))
    return rows


def _plain(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    # Where a file lies is of no use to whom the page is given.
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else str(value)
