"""Named sets of settings that a task file can start from; the file's own settings take precedence.

Knows nothing about how a setting is used.

Sources: ``self-guide`` is Zhao et al. 2024 (arXiv 2407.12874) with the settings of the authors' code: 400 raw
inputs for classification and 200 for generation, top-k 40, temperature 0.7 / 0.9, at most 500 tokens, 20 answers
sampled of which 10 vote, exact duplicates only, all parameters tuned for 3 epochs with batch 1 at 5e-5,
demonstrations in the prompt. The authors train on however few pairs are left, 10 of 400 in one of their own runs;
8 are the fewest here, too few for a gain to be expected but enough to be measured.
``low-data`` is Chen et al. 2023 (arXiv 2305.09246): 0.5% of a pool, judged by the likelihood of each answer.
"""

from __future__ import annotations

from typing import Any

from metier.tasks.task import RecipeName


def recipe_settings(name: RecipeName, *, classification: bool) -> dict[str, Any]:
    """Return a recipe's settings by section; the user's own take precedence.

    Args:
        name: ``backward`` (the default), ``self-guide`` or ``low-data``.
        classification: Whether the task has labels; the published settings differ.
    """
    if name == "self-guide":
        return _self_guide(classification)
    if name == "low-data":
        return _low_data(classification)
    return _backward(classification)


def _self_guide(classification: bool) -> dict[str, Any]:
    return {
        "prompt": {"specialist_demonstrations": True},
        "synthesis": {
            "method": "self-guide",
            "inputs": 400 if classification else 200,
            "input_temperature": 0.7 if classification else 0.9,
            "input_length_filter": classification,
            "output_length_filter": not classification,
            "output_max_tokens": 500,
            "near_duplicates": None,
            "min_pairs": 8,
        },
        "evaluation": {"answer_by": "writing"},
        "training": {
            "method": "full",
            "learning_rate": 5e-5,
            "batch_size": 1,
            "warmup_share": 0.0,
            "demonstrations": False,
            "holdout_share": 0.0,
        },
    }


def _backward(classification: bool) -> dict[str, Any]:
    return {
        "synthesis": {
            "method": "backward",
            "inputs": 480 if classification else 400,
            "input_temperature": 0.8,
            "input_max_tokens": 128,
            "input_top_k": 40,
            "balance": False,
        },
    }


def _low_data(classification: bool) -> dict[str, Any]:
    return {
        # The examples only locate the task in the pool; training on them too would add another method's gain.
        "training": {"demonstrations": False, "holdout_share": 0.0},
        "evaluation": {"answer_by": "likelihood" if classification else "writing", "label_prior": "none"},
    }
