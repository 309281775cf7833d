"""A tuned model, answering as the task asks of tuned models: with labels by their likelihood, else by writing."""

from __future__ import annotations

from metier.systems import scored, written
from metier.systems.base import Learned, Material, Tools, Tuned


def learn(material: Material, tools: Tools, *, tuned: Tuned) -> Learned:
    """Return a tuned model; where there is none of that name, the base model, asked in the same way.

    Args:
        material: The labels and the tuned model.
        tools: Opens the model.
        tuned: Which tuned model.
    """
    if material.labels and material.answer_by == "likelihood":
        reading: scored.Reading = "mean" if material.label_prior == "none" else "prior"
        return scored.learn(material, tools, tuned=tuned, reading=reading)
    return written.learn(material, tools, tuned=tuned)
