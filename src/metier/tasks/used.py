"""Which synthesis settings each method makes use of; a test of the methods watches that it is true."""

from __future__ import annotations

_OF_ANY_METHOD = frozenset(
    {"method", "inputs", "input_temperature", "input_top_k", "input_max_tokens", "noise_filter", "min_pairs"}
)
_WHERE_INPUTS_ARE_WRITTEN = frozenset({"input_length_filter", "near_duplicates"})
_OF_SELF_GUIDE = frozenset(
    {
        "prompts_per_round", "earlier_inputs", "output_samples", "output_keep", "output_temperature", "output_top_k",
        "output_max_tokens", "agreement",
    }
)  # fmt: skip


def settings_used(method: str, *, labels: bool) -> frozenset[str]:
    """Return the names of the synthesis settings that a method makes use of.

    Args:
        method: ``backward``, ``self-guide`` or ``damage``.
        labels: Whether the task has labels.
    """
    if method == "damage":
        return _OF_ANY_METHOD | {"check_pairs", "unchanged"}
    used = _OF_ANY_METHOD | _WHERE_INPUTS_ARE_WRITTEN | ({"balance", "pseudo_labels"} if labels else set())
    if method == "backward":
        return used | {"keep_share", "check_pairs"} | (set() if labels else {"output_max_tokens"})
    return used | _OF_SELF_GUIDE | (set() if labels else {"output_length_filter"})


def settings_of_vote(*, labels: bool) -> frozenset[str]:
    """Return the names of the synthesis settings that a vote on the answers to test rows makes use of."""
    used = frozenset({"method", "output_temperature", "output_top_k", "noise_filter"})
    return used if labels else used | {"output_length_filter"}
