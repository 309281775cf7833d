"""What of users' text is asked: checks on inputs that all endpoints share."""

from __future__ import annotations

from collections.abc import Sequence

from metier.runs.predict import why_not_asked
from metier.serving.errors import ApiError
from metier.serving.model import Outcome
from metier.serving.settings import MOST_INPUTS


def inputs_of(given: str | Sequence[str], param: str) -> list[str]:
    """Return a request's inputs.

    Args:
        given: A text, or several.
        param: What the request calls them.

    Raises:
        ApiError: There are none or too many, or one of them cannot be asked.
    """
    texts = [given] if isinstance(given, str) else list(given)
    if not texts:
        raise ApiError(400, f"{param} is empty", param=param, code="invalid_value")
    if len(texts) > MOST_INPUTS:
        raise ApiError(
            400, f"{param} has {len(texts)} inputs, and a request may have {MOST_INPUTS}", param=param,
            code="invalid_value",
        )  # fmt: skip
    for place, text in enumerate(texts):
        name = param if isinstance(given, str) else f"{param}[{place}]"
        if (problem := why_not_asked(text, name)) is not None:
            raise ApiError(400, problem, param=param, code="invalid_value")
    return texts


def check_fits(outcomes: Sequence[Outcome], param: str) -> None:
    """Refuse what did not fit the model's context.

    Raises:
        ApiError: An input did not.
    """
    for place, outcome in enumerate(outcomes):
        if not outcome.fits:
            name = param if len(outcomes) == 1 else f"{param}[{place}]"
            raise ApiError(
                400,
                f"{name} does not fit the model's context: with what is put around it, it has "
                f"{outcome.prompt_tokens} tokens",
                param=param,
                code="context_length_exceeded",
            )
