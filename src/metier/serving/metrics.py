"""``GET /metrics``, for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from metier.serving.state import State


def routes(state: State) -> APIRouter:
    """Return the endpoint."""
    router = APIRouter()

    @router.get("/metrics", response_class=Response)
    async def told() -> Response:
        """Return the server's counts for Prometheus."""
        return Response(state.counts.told(), media_type=CONTENT_TYPE_LATEST)

    return router
