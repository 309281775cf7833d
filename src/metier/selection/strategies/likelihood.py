"""By the student's own likelihood of the answer: perplexity, and instruction-following difficulty (IFD).

``perplexity`` takes the middle of the task's region: rows the student neither knows already nor cannot learn (Marion et
al. 2023, arXiv 2309.04564, found the middle third best). ``ifd`` takes the rows whose prompt helps least: the loss of
the answer with its prompt divided by the loss without, below 1 (Li et al. 2024, arXiv 2308.12032). Both score every row
of the region with the student, in one or two passes; regions of more than `_MOST` rows are sampled down to that.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metier.engines.base import ScoringRequest
from metier.engines.prompts import Prompt
from metier.selection.material import Material

_MOST = 5_000
_PIECE = 256


def choose_perplexity(material: Material) -> list[int]:
    """Return rows of the region, those of medium perplexity first."""
    rows, given, _ = _losses(material, alone=False)
    apart = np.abs(np.argsort(np.argsort(given)) - (len(rows) - 1) / 2)
    return material.within_budget(rows[np.argsort(apart, kind="stable")].tolist())


def choose_ifd(material: Material) -> list[int]:
    """Return rows of the region by IFD, most difficult first; rows whose prompt does harm (1 or more) come last."""
    rows, given, alone = _losses(material, alone=True)
    ifd = given / np.maximum(alone, 1e-6)
    return material.within_budget(rows[np.lexsort((-ifd, ifd >= 1))].tolist())


def _losses(
    material: Material, *, alone: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return rows, and the student's mean loss per answer token of each, with the prompt and without."""
    engine, prompts = material.open_engine()
    rows = material.region.rows
    fits = material.tokens[rows] < engine.context_length - 64
    rows = rows[fits]
    if len(rows) > _MOST:
        rows = np.sort(np.random.default_rng(material.seed).choice(rows, _MOST, replace=False))
    given, without = [], []
    for begin in range(0, len(rows), _PIECE):
        examples = material.pool.take(rows[begin : begin + _PIECE].tolist())
        asked = [
            ScoringRequest(prompts.task(e.instruction or "", (), e.input), (prompts.answer(e.output),))
            for e in examples
        ]
        given += [-s.logprobs[0] / s.tokens[0] for s in engine.score(asked)]
        if alone:
            bare = prompts.conversation((), "", "")
            asked = [ScoringRequest(Prompt(bare.text), (prompts.answer(e.output),)) for e in examples]
            without += [-s.logprobs[0] / s.tokens[0] for s in engine.score(asked)]
    return rows, np.array(given), np.array(without)
