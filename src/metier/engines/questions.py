"""What to ask a model that gives log-probabilities of named tokens at the end of a prompt, to score continuations.

Knows nothing about any engine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from metier.engines.base import Scores


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """What is asked at one place where continuations part, and at the next along one of them.

    Attributes:
        behind: The tokens between the prompt and the first place.
        wanted: Tokens whose log-probabilities are wanted, at either place.
        then: The token between the two places, which is all that may be drawn; None: there is no second place.
    """

    behind: tuple[int, ...]
    wanted: tuple[int, ...]
    then: int | None = None


Found = dict[tuple[int, ...], float]
"""Log-probabilities of tokens behind a prompt: by the tokens up to each and itself."""


def questions(ends: Sequence[tuple[int, ...]], most: int) -> list[Question]:
    """Return what has to be asked to know the log-probability of every token of every continuation.

    A place that follows another by one token is asked for together with it: one token more to read in place of a block.

    Args:
        ends: The continuations' tokens.
        most: Tokens of which one question can want the log-probabilities, at most.
    """
    following: dict[tuple[int, ...], dict[int, None]] = {}  # after these tokens, these come in some continuation
    for end in ends:
        for k, token in enumerate(end):
            following.setdefault(end[:k], {})[token] = None
    found: list[Question] = []
    done: set[tuple[int, ...]] = set()
    for behind, tokens in following.items():
        if behind in done:
            continue
        parts = [tuple(tokens)[begin : begin + most] for begin in range(0, len(tokens), most)]
        for wanted in parts[:-1]:
            found.append(Question(behind, wanted))
        last = parts[-1]
        then = next((token for token in tokens if (*behind, token) in following), None)
        if then is not None:
            both = tuple(dict.fromkeys((*last, *following[(*behind, then)])))
            if len(both) <= most:
                done.add((*behind, then))
                found.append(Question(behind, both, then))
                continue
        found.append(Question(behind, last))
    return found


def found(question: Question, told: Sequence[Mapping[int, float]]) -> Found:
    """Return what the answer to a question says.

    Args:
        question: What was asked.
        told: At each of its places, log-probabilities by token.
    """
    at, behind = Found(), question.behind
    for given in told:
        at.update({(*behind, token): given[token] for token in question.wanted})
        behind = (*behind, question.then or 0)
    return at


def total(ends: Sequence[tuple[int, ...]], at: Found) -> Scores:
    """Return the likelihoods of continuations from those of their tokens."""
    return Scores(tuple(sum(at[end[:k]] for k in range(1, len(end) + 1)) for end in ends), tuple(map(len, ends)))
