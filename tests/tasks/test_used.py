from __future__ import annotations

import dataclasses
from typing import Any, Literal

import pytest

from metier.core.progress import Reporter
from metier.engines.base import GenerationRequest
from metier.engines.prompts import PromptFormat
from metier.synthesis.outputs import vote_rule
from metier.synthesis.write import synthesize
from metier.tasks.settings import SynthesisSettings
from metier.tasks.used import settings_of_vote, settings_used
from tests.scripted import ByteTokenizer, ScriptedEngine, Shards, make_brief

READ: set[str] = set()


class Watched(SynthesisSettings):
    """Settings that say which of them were read."""

    def __getattribute__(self, name: str) -> Any:
        READ.add(name)
        return super().__getattribute__(name)


def test_of_text_that_is_damaged_too() -> None:
    engine = ScriptedEngine(lambda request, sample: f"it lie {sample}", lambda prompt, text: -float(len(text)))
    settings = Watched(method="damage", inputs=2)
    brief = dataclasses.replace(make_brief(None), settings=settings, unlabelled=("it lies there", "it lies"))
    READ.clear()
    synthesize(brief, engine, PromptFormat(ByteTokenizer()), Shards(), Reporter(quiet=True).track)
    assert READ & set(SynthesisSettings.model_fields) == settings_used("damage", labels=False) - {"min_pairs"}


@pytest.mark.parametrize("method", ["backward", "self-guide"])
@pytest.mark.parametrize("labels", [("billing", "delivery"), None])
def test_the_settings_said_to_be_used_are_those_that_are_read(
    method: Literal["backward", "self-guide"], labels: tuple[str, ...] | None
) -> None:
    def answer(request: GenerationRequest, sample: int) -> str:
        if request.prompt.text.endswith('[input]="') or "new input to which" in request.prompt.text:
            return f"call {request.seed % 100_000:05d} {sample}x late"  # as long as the examples
        return f"team {request.seed % 100:02d}" if labels is None else labels[request.seed % 2]

    engine = ScriptedEngine(answer, lambda prompt, text: -float(len(text)))
    brief = dataclasses.replace(make_brief(labels), settings=Watched(method=method, inputs=20))
    READ.clear()
    synthesize(brief, engine, PromptFormat(ByteTokenizer()), Shards(), Reporter(quiet=True).track)
    said = settings_used(method, labels=labels is not None)
    assert READ & set(SynthesisSettings.model_fields) == said - {"min_pairs"}  # which the step asks for
    READ.clear()
    vote_rule(brief, PromptFormat(ByteTokenizer()), agreement=0.0, keep=10)
    read = READ & set(SynthesisSettings.model_fields)
    assert read == settings_of_vote(labels=labels is not None) - {"output_temperature", "output_top_k"}
