"""Engines run a model: they generate text and score continuations."""

from metier.engines.base import Engine, EngineStats, Generation, GenerationRequest, Scores, ScoringRequest
from metier.engines.prompts import Prompt

__all__ = ["Engine", "EngineStats", "Generation", "GenerationRequest", "Prompt", "Scores", "ScoringRequest"]
