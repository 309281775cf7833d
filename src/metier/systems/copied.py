"""The copied input: every input is its own answer. What rewriting has to beat."""

from __future__ import annotations

from metier.systems.base import ByText, Learned, Material, Tools


def learn(material: Material, tools: Tools) -> Learned:
    """Return the System that answers with the input."""
    return ByText(lambda text: text, 0)
