"""``POST /classify``: inputs to labels with their probabilities, in the shape of vLLM's endpoint of that name."""

from __future__ import annotations

import time
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel

from metier.serving.errors import ApiError, documented
from metier.serving.model import Outcome
from metier.serving.served import Question
from metier.serving.shapes import Asked, Usage, new_id, usage_of
from metier.serving.state import State
from metier.serving.texts import check_fits, inputs_of


class ClassifyRequest(Asked):
    """What is asked."""

    model: str
    input: str | list[str]


class Classified(BaseModel):
    """One input's label.

    Attributes:
        index: The input's place.
        label: The likeliest label.
        probs: How likely each label is, in the order of the product's labels; None where its System does not say.
        num_classes: How many labels there are.
        abstained: Whether the product would rather not answer: ask a person.
    """

    index: int
    label: str
    probs: list[float] | None
    num_classes: int
    abstained: bool


class ClassifyResponse(BaseModel):
    """The labels of all inputs."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    data: list[Classified]
    usage: Usage


def routes(state: State) -> APIRouter:
    """Return the endpoint."""
    router = APIRouter()

    @router.post("/classify", responses=documented(400, 404, 413, 429, 503, 504))
    async def classify(request: Request, asked: ClassifyRequest) -> ClassifyResponse:
        """Return inputs' labels with their probabilities."""
        model = state.served.product(asked.model)
        labels = model.product.labels
        if labels is None:
            raise ApiError(
                400, f"{model.name} answers with free text; ask it through /v1/chat/completions", param="model"
            )
        texts = inputs_of(asked.input, "input")
        outcomes = await state.ask(request, model, [Question(text) for text in texts])
        check_fits(outcomes, "input")
        return ClassifyResponse(
            id=new_id("classify"),
            created=int(time.time()),
            model=model.name,
            data=[_classified(place, outcome, labels) for place, outcome in enumerate(outcomes)],
            usage=usage_of(outcomes),
        )

    return router


def _classified(place: int, outcome: Outcome, labels: tuple[str, ...]) -> Classified:
    answer = outcome.answer
    assert answer is not None
    shares = answer.probabilities
    return Classified(
        index=place,
        label=answer.text,
        probs=None if shares is None else [shares[label] for label in labels],
        num_classes=len(labels),
        abstained=answer.abstained,
    )
