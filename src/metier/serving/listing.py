"""Which models there are, and what the server is: ``/health``, ``/settings``, ``/v1/models``."""

from __future__ import annotations

import datetime
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

import metier
from metier.report.words import metric_title
from metier.serving.base_model import ServedBase
from metier.serving.errors import ApiError, documented
from metier.serving.served import ServedProduct, base_name
from metier.serving.state import State


class AboutModel(BaseModel):
    """What Metier knows of a model beside what OpenAI's list says."""

    task: str
    title: str
    kind: Literal["labels", "text"]
    labels: list[str] | None
    threshold: float | None
    instruction: str
    example: str | None
    metric: str | None
    score: float | None
    interval: tuple[float, float] | None
    why: str
    streams: bool


class ListedModel(BaseModel):
    """A line of OpenAI's list of models."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["metier"] = "metier"
    root: str
    parent: str | None
    metier: AboutModel | None


class DecidingModel(BaseModel):
    """A line of the list that clients of ``/v1/systemone`` read."""

    name: str
    description: str
    release_date: str


class ModelList(BaseModel):
    """OpenAI's list of models, and beside it the one of ``/v1/systemone``."""

    object: Literal["list"] = "list"
    data: list[ListedModel]
    models: list[DecidingModel]


class SettingsTold(BaseModel):
    """What a page must know of the server."""

    feedback: bool
    key_needed: bool
    version: str


def routes(state: State) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter()

    @router.get("/health", response_class=Response, responses=documented(503))
    async def health() -> Response:
        """Say that the server answers."""
        if not state.worker.alive:
            raise ApiError(503, "the thread that runs the models has ended", code="no_models")
        if (ended := state.served.ended) is not None:
            raise ApiError(503, ended, code="engine_ended")
        return Response()

    @router.get("/settings")
    async def settings() -> SettingsTold:
        """Say what a page must know of the server."""
        how = state.settings
        return SettingsTold(feedback=how.feedback, key_needed=how.key is not None, version=metier.__version__)

    @router.get("/v1/models")
    async def models() -> ModelList:
        """List what is served."""
        every = state.served.models
        return ModelList(data=[_listed(one) for one in every], models=[_deciding(one) for one in every])

    @router.get("/v1/models/{name:path}", responses=documented(404))
    async def model(name: str) -> ListedModel:
        """Describe one model."""
        return _listed(state.served.model(name))

    return router


def _listed(one: ServedProduct | ServedBase) -> ListedModel:
    if isinstance(one, ServedBase):
        return ListedModel(id=one.name, created=one.created, root=one.name, parent=None, metier=None)
    product = one.product
    base = base_name(product.model.name) if product.model is not None else None
    return ListedModel(id=one.name, created=one.created, root=base or one.name, parent=base, metier=_about(one))


def _deciding(one: ServedProduct | ServedBase) -> DecidingModel:
    said = "a base model" if isinstance(one, ServedBase) else f"{one.product.task}: {one.product.title}"
    day = datetime.datetime.fromtimestamp(one.created, datetime.UTC).date().isoformat()
    return DecidingModel(name=one.name, description=said, release_date=day)


def _about(one: ServedProduct) -> AboutModel:
    product = one.product
    measured = product.measured
    return AboutModel(
        task=product.task,
        title=product.title,
        kind="text" if product.labels is None else "labels",
        labels=list(product.labels) if product.labels is not None else None,
        threshold=product.threshold.threshold if product.threshold is not None else None,
        instruction=product.instruction,
        example=one.example,
        metric=metric_title(measured.metric) if measured is not None else None,
        score=measured.score.value if measured is not None else None,
        interval=(measured.score.low, measured.score.high) if measured is not None else None,
        why=product.why,
        streams=one.streams,
    )
