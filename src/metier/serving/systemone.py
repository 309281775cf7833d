"""``POST /v1/systemone``: typed questions about a state, answered with probabilities (the protocol of decision models).

A base model decides any question. A product decides the one it was made for: a choice between its labels.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from metier.serving.base_model import ServedBase
from metier.serving.deciding import Decider, Decision
from metier.serving.errors import ApiError, Problem, documented
from metier.serving.model import Outcome
from metier.serving.served import Question, ServedProduct
from metier.serving.settings import MOST_INPUTS
from metier.serving.state import State

_ALIAS = "jev-latest"  # what the protocol's clients ask for unless they are told otherwise
_MOST_OPTIONS, _MOST_LEVELS = 255, 10

Text = str | dict[str, Any] | list[Any]


class _Asked(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)  # unknown fields are ignored: the protocol wants that


class NoulCriteria(BaseModel):
    """What yes and no mean."""

    model_config = ConfigDict(extra="forbid", strict=True)
    true: Text | None = None
    false: Text | None = None


class NoulQuestion(_Asked):
    """Yes or no."""

    type: Literal["noul"]
    instructions: Text | None = None
    criteria: NoulCriteria | None = None


class ChoiceQuestion(_Asked):
    """One of some options, each with a description or none."""

    type: Literal["choice"]
    instructions: Text | None = None
    criteria: dict[str, Text | None] = Field(min_length=2, max_length=_MOST_OPTIONS)


class ScoreQuestion(_Asked):
    """A level, from the first to the last."""

    type: Literal["score"]
    instructions: Text | None = None
    criteria: list[Text] = Field(min_length=2, max_length=_MOST_LEVELS)


AnyQuestion = Annotated[NoulQuestion | ChoiceQuestion | ScoreQuestion, Field(discriminator="type")]


class DecisionRequest(_Asked):
    """What is asked."""

    model: str
    state: Text
    questions: dict[Annotated[str, Field(min_length=1)], AnyQuestion] = Field(min_length=1, max_length=MOST_INPUTS)


class NoulAnswer(BaseModel):
    """How likely yes is."""

    type: Literal["noul"] = "noul"
    noul: float


class ChoiceAnswer(BaseModel):
    """The likeliest option; the confidence is 0 where all are alike and 1 where one is certain."""

    type: Literal["choice"] = "choice"
    choice: str
    probabilities: dict[str, float]
    confidence: float


class ScoreAnswer(BaseModel):
    """The mean level, and how likely each is."""

    type: Literal["score"] = "score"
    score: float
    legend: dict[str, Any]
    probabilities: dict[str, float]
    confidence: float


class DecisionUsage(BaseModel):
    """Tokens by the base model's tokenizer."""

    input_tokens: int
    output_tokens: int


class DecisionResponse(BaseModel):
    """All answers, by their questions' names."""

    model: str
    answers: dict[str, NoulAnswer | ChoiceAnswer | ScoreAnswer]
    usage: DecisionUsage


def routes(state: State) -> APIRouter:
    """Return the endpoint."""
    router = APIRouter()
    deciders = {name: Decider(base) for name, base in state.served.bases.items()}

    @router.post("/v1/systemone", responses=documented(400, 404, 413, 422, 429, 503, 504))
    async def decide(request: Request, asked: DecisionRequest) -> DecisionResponse:
        """Answer typed questions about a state."""
        _check_text(asked)
        model = _model(state, asked.model)
        if isinstance(model, ServedBase):
            decisions = [_decision(asked.state, question) for question in asked.questions.values()]
            outcomes = await state.ask(request, deciders[model.name], decisions)
            if any(not outcome.fits for outcome in outcomes):
                raise _problem(("state",), "does not fit the model's context", "too_long")
        else:
            outcomes = await _of_product(state, request, model, asked)
        answers = {
            name: _answer(question, outcome)
            for (name, question), outcome in zip(asked.questions.items(), outcomes, strict=True)
        }
        read = sum(outcome.prompt_tokens for outcome in outcomes)
        usage = DecisionUsage(input_tokens=read, output_tokens=sum(o.completion_tokens for o in outcomes))
        return DecisionResponse(model=model.name, answers=answers, usage=usage)

    return router


def _model(state: State, name: str) -> ServedProduct | ServedBase:
    """Return a model by its name, or by the protocol's alias: the one base model, or the one product with labels."""
    if name != _ALIAS:
        return state.served.model(name)
    bases = list(state.served.bases.values())
    labelled = [one for one in state.served.products.values() if one.product.labels is not None]
    candidates: list[ServedBase] | list[ServedProduct] = bases or labelled
    if len(candidates) != 1:
        known = ", ".join(one.name for one in state.served.models)
        raise ApiError(404, f"{_ALIAS} could be any of several models here: name one of {known}", param="model")
    return candidates[0]


async def _of_product(state: State, request: Request, model: ServedProduct, asked: DecisionRequest) -> list[Outcome]:
    """Ask a product, which decides between its labels and nothing else.

    Raises:
        ApiError: A question is another.
    """
    labels = model.product.labels or ()
    for name, question in asked.questions.items():
        if not isinstance(question, ChoiceQuestion) or set(question.criteria) != set(labels):
            decides = f"a choice between {', '.join(labels)}" if labels else "nothing: it writes free text"
            raise _problem(("questions", name), f"{model.name} decides {decides}", "unsupported_question")
    text = _text(asked.state)
    if not text.strip():
        raise _problem(("state",), "is empty", "value_error")
    (outcome,) = await state.ask(request, model, [Question(text)])
    if not outcome.fits:
        raise _problem(("state",), "does not fit the model's context", "too_long")
    if outcome.answer is None or outcome.answer.probabilities is None:
        raise _problem(("model",), f"{model.name} names a label without probabilities", "unsupported_question")
    return [outcome] * len(asked.questions)


def _decision(about: Text, question: AnyQuestion) -> Decision:
    asked = _text(question.instructions)
    options: list[tuple[str, str | None]]
    if isinstance(question, NoulQuestion):
        said = question.criteria or NoulCriteria()
        options = [("yes", _text(said.true) or None), ("no", _text(said.false) or None)]
    elif isinstance(question, ChoiceQuestion):
        options = [(name, _text(description) or None) for name, description in question.criteria.items()]
    else:
        options = [(str(place), _text(level)) for place, level in enumerate(question.criteria)]
    return Decision(_text(about), asked, tuple(options))


def _answer(question: AnyQuestion, outcome: Outcome) -> NoulAnswer | ChoiceAnswer | ScoreAnswer:
    assert outcome.answer is not None and outcome.answer.probabilities is not None
    likely = outcome.answer.probabilities
    if isinstance(question, NoulQuestion):
        return NoulAnswer(noul=likely["yes"])
    if isinstance(question, ChoiceQuestion):
        ordered = {name: likely[name] for name in question.criteria}
        return ChoiceAnswer(
            choice=max(ordered, key=lambda name: ordered[name]),
            probabilities=ordered,
            confidence=_confidence(list(ordered.values())),
        )
    shares = [likely[str(place)] for place in range(len(question.criteria))]
    return ScoreAnswer(
        score=sum(place * share for place, share in enumerate(shares)),
        legend={str(place): level for place, level in enumerate(question.criteria)},
        probabilities={str(place): share for place, share in enumerate(shares)},
        confidence=_nearness(shares),
    )


def _confidence(shares: list[float]) -> float:
    """Return how far the largest share is above an equal one, 0 to 1: the protocol's formula."""
    equal = 1 / len(shares)
    return min(1.0, max(0.0, (max(shares) - equal) / (1 - equal)))


def _nearness(shares: list[float]) -> float:
    """Return how near the levels are to the likeliest one, beside equal shares around the middle (the protocol's)."""
    mode = shares.index(max(shares))
    spread = sum(share * abs(place - mode) for place, share in enumerate(shares))
    middle = (len(shares) - 1) / 2
    widest = sum(abs(place - middle) for place in range(len(shares))) / len(shares)
    return min(1.0, max(0.0, 1 - spread / widest))


def _text(given: Text | None) -> str:
    """Return a text as it is, and anything else as JSON."""
    if given is None:
        return ""
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)


def _check_text(asked: DecisionRequest) -> None:
    """Refuse what is no Unicode text or holds a zero byte, wherever it stands.

    Raises:
        ApiError: It does.
    """
    try:
        told = json.dumps(asked.model_dump(), ensure_ascii=False)
        told.encode()
    except UnicodeEncodeError as error:
        raise _problem((), "holds half of a surrogate pair, which is not Unicode text", "value_error") from error
    if "\\u0000" in told:
        raise _problem((), "holds a zero byte", "value_error")


def _problem(where: tuple[str, ...], message: str, kind: str) -> ApiError:
    """Return the error for a part of the request."""
    name = ".".join(where) or "the body"
    problem: Problem = {"loc": ["body", *where], "msg": f"{name} {message}", "type": kind}
    return ApiError(422, problem["msg"], param=name, code=kind, problems=[problem])
