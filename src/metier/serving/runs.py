"""The runs behind what is served: a list, each one's page and facts, and two of them side by side."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from pydantic import BaseModel

from metier.core.records import SystemKind, Verdict
from metier.evaluation.better import judge
from metier.evaluation.compare_runs import compare_runs
from metier.report.compared import compared_json
from metier.report.facts import RunFacts
from metier.report.sentences import verdict_sentence
from metier.report.words import metric_title
from metier.runs.load import load_run
from metier.serving.errors import ApiError, documented
from metier.serving.safety import CSP
from metier.serving.served import ServedRun
from metier.serving.state import State

# The page stands alone: its style and its figures are in it, and there is no script.
_REPORT_CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; form-action 'none'"


class RunProduct(BaseModel):
    """What a run ended with."""

    system: str
    title: str
    score: float | None
    interval: tuple[float, float] | None
    why: str


class RunLine(BaseModel):
    """A run in the list; of several tasks together, most is said by the tasks."""

    name: str
    task: str | None
    product: RunProduct | None
    has_report: bool
    seconds: float | None
    model: str | None
    rows: int | None
    metric: str | None


class RunList(BaseModel):
    """The runs that are served."""

    runs: list[RunLine]


class SystemFacts(BaseModel):
    """What a System of a run gives and takes.

    Attributes:
        key: Its key.
        title: Its name for people.
        kind: What kind of System it is.
        score: On the test rows; None where it could not be had.
        interval: Of the score.
        milliseconds: Median of a row; None where it was not measured.
        bytes: What its weights or tables take.
        verdict: On the specialist beside it; None for the specialist itself.
    """

    key: str
    title: str
    kind: SystemKind
    score: float | None
    interval: tuple[float, float] | None
    milliseconds: float | None
    bytes: int | None
    verdict: Verdict | None


class RunSystems(BaseModel):
    """All Systems of a run, and the verdict in a sentence."""

    systems: list[SystemFacts]
    verdict: str


def routes(state: State) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter()
    comparing = asyncio.Lock()  # it takes a second of a core, so one at a time
    compared: dict[tuple[str, str], dict[str, Any]] = {}

    @router.get("/runs")
    async def runs() -> RunList:
        """List the runs that are served."""
        return RunList(runs=[_line(run) for run in state.served.runs.values()])

    @router.get("/runs/{name:path}/report", response_class=FileResponse, responses=documented(404))
    async def report(name: str) -> FileResponse:
        """Return a run's page."""
        path = state.served.run(name).report
        if path is None:
            raise ApiError(404, f"{name} has no report", param="name", code="no_report")
        return FileResponse(path, media_type="text/html", headers={CSP: _REPORT_CSP})

    @router.get("/runs/{name:path}/facts", responses=documented(404))
    async def facts(name: str) -> RunSystems:
        """Return what each System of a run gives and takes."""
        found = state.served.run(name).facts
        if found is None:
            raise ApiError(404, f"{name}: the facts of this run are not here", param="name", code="no_facts")
        return RunSystems(systems=_systems(found), verdict=verdict_sentence(found))

    @router.get("/compare", responses=documented(400, 404))
    async def compare(a: str, b: str) -> dict[str, Any]:
        """Set two runs on the same test rows side by side, as ``metier compare`` does."""
        first, second = state.served.run(a), state.served.run(b)
        async with comparing:
            if (a, b) not in compared:
                compared[a, b] = await run_in_threadpool(_compared, first, second)
        return compared[a, b]

    return router


def _line(run: ServedRun) -> RunLine:
    product, facts = run.product, run.facts
    measured = product.measured if product is not None else None
    score = measured.score if measured is not None else None
    return RunLine(
        name=run.name,
        task=product.task if product is not None else None,
        product=RunProduct(
            system=product.system,
            title=product.title,
            score=score.value if score is not None else None,
            interval=(score.low, score.high) if score is not None else None,
            why=product.why,
        )
        if product is not None
        else None,
        has_report=run.report is not None,
        seconds=sum(stage.seconds for stage in facts.stages) if facts is not None else None,
        model=facts.model.name if facts is not None else None,
        rows=facts.judged.rows if facts is not None and facts.judged is not None else None,
        metric=metric_title(facts.metric) if facts is not None else None,
    )


def _systems(facts: RunFacts) -> list[SystemFacts]:
    judged = facts.judged
    if judged is None:
        return []
    taken = {row.system: row for row in judged.need.rows}
    measured = facts.product.measured if facts.product is not None else None
    intervals = measured.scores if measured is not None else {}
    out = []
    for system in judged.systems:
        row, interval = taken.get(system.system), intervals.get(system.system)
        out.append(
            SystemFacts(
                key=system.system,
                title=system.title,
                kind=system.kind,
                score=system.scores.get(facts.metric),
                interval=(interval.low, interval.high) if interval is not None else None,
                milliseconds=1000 * row.p50 if row is not None and row.p50 is not None else None,
                bytes=row.size_bytes if row is not None else None,
                verdict=judge(system.gain, system.p_value),
            )
        )
    return out


def _compared(first: ServedRun, second: ServedRun) -> dict[str, Any]:
    """Return what the comparison of two runs says.

    Raises:
        UserError: One of them had no test.
        ApiError: They have different test rows.
    """
    if first.name == second.name:
        raise ApiError(400, "a and b are the same run", param="b")
    runs = [dataclasses.replace(load_run(run.folder), name=run.name) for run in (first, second)]
    made = compare_runs(runs)
    if not made.pairings:
        raise ApiError(
            400,
            f"{first.name} and {second.name} have different test rows or metrics, so there is nothing to compare",
            param="b",
            code="different_rows",
        )
    return compared_json(made)
