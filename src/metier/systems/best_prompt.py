"""The base model under the best of three prompts, chosen by the examples alone, as a user would have to.

The rendering is taken that makes the examples' own answers likeliest, each under the others (leave one out).
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import get_args

from metier.core.records import Example
from metier.core.step import Artifact, Work
from metier.engines.base import ScoringRequest
from metier.engines.shards import logprob_per_token
from metier.systems.asker import Asker, open_asker
from metier.systems.base import Asked, Learned, Material, Tools
from metier.systems.renderings import Rendering
from metier.systems.written import Writer


def learn(material: Material, tools: Tools) -> Learned:
    """Return the base model under the rendering that suits the examples best; with a single example, the usual one."""
    asker = open_asker(material, tools)
    if len(asker.shown) < 2 or material.asked is None:
        return Writer(asker)
    choice = tools.keep(_Inputs(material.asked, asker.weights, asker.shown), partial(_choose, asker))
    return Writer(dataclasses.replace(asker, rendering=choice.rendering))


@dataclasses.dataclass(frozen=True, slots=True)
class _Inputs:
    asked: Asked
    weights: Artifact | None
    shown: tuple[Example, ...]
    how: str = "choose a rendering"


@dataclasses.dataclass(frozen=True, slots=True)
class _Choice:
    rendering: Rendering


def _choose(asker: Asker, inputs: _Inputs, work: Work) -> _Choice:
    likely = {}
    for rendering in get_args(Rendering):
        asked = []
        for i, left_out in enumerate(inputs.shown):
            others = tuple(shown for k, shown in enumerate(inputs.shown) if k != i)
            under = dataclasses.replace(asker, rendering=rendering, shown=others)
            asked.append(ScoringRequest(under.prompt(left_out.input), (asker.prompts.answer(left_out.output),)))
        found = work.shard(f"rendering-{rendering.replace(' ', '-')}", partial(logprob_per_token, asked, asker.engine))
        likely[rendering] = sum(found) / len(found)
    return _Choice(max(likely, key=lambda rendering: likely[rendering]))
