"""A language model to export whose base is a tiny random model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from metier.core.records import Example
from metier.exporting.source import LanguageModel
from metier.models.locate import resolve_model
from metier.steps.slot import Running
from metier.tasks.settings import EngineSettings, LaunchSettings

SHOWN = (Example("I was charged twice", "billing"), Example(" the parcel is late ", "delivery"))


def make_source(base: Path, **changes: Any) -> LanguageModel:
    """Return a few-shot prompt of a base model."""
    source = LanguageModel(
        task="routing",
        instruction='Name the "team" {{ now }}.',
        labels=("billing", "delivery"),
        title="prompted, few-shot",
        scored=False,
        base=resolve_model(str(base)),
        how=Running(str(base), EngineSettings(dtype="float32", device="cpu"), LaunchSettings(), "auto"),
        weights=None,
        shown=SHOWN,
        rendering="usual",
        max_tokens=6,
        tested=None,
    )
    return dataclasses.replace(source, **changes)
