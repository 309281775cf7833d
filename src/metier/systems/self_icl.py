"""Synthetic pairs in the prompt, as many as fit, in place of training on them (after Self-ICL).

Source: Chen et al. 2023 (arXiv 2305.15035); SELF-GUIDE's comparison uses its synthetic data in this way.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from metier.core.errors import MetierError
from metier.core.records import Example
from metier.engines.prompts import fitting_demonstrations
from metier.systems.asker import open_asker
from metier.systems.base import Learned, Material, Tools
from metier.systems.written import Writer


def learn(material: Material, tools: Tools) -> Learned:
    """Return the base model with synthetic pairs beside the examples in its prompt.

    Raises:
        MetierError: There are no synthetic pairs.
    """
    if not material.synthetic:
        raise MetierError("there are no synthetic pairs")
    asker = open_asker(material, tools)
    room = min(material.demonstration_tokens, asker.engine.context_length // 2)
    room -= asker.engine.count_tokens([asker.asked.instruction])[0]
    every = [*material.examples, *_by_turns(material.synthetic)]
    return Writer(dataclasses.replace(asker, shown=fitting_demonstrations(every, asker.engine.count_tokens, room)))


def _by_turns(pairs: Sequence[Example]) -> list[Example]:
    """Return the pairs with their outputs taking turns, so that the first few hold as many labels as there are."""
    by_output: dict[str, list[Example]] = {}
    for pair in pairs:
        by_output.setdefault(pair.output, []).append(pair)
    rounds = itertools.zip_longest(*by_output.values())
    return [pair for turn in rounds for pair in turn if pair is not None]
