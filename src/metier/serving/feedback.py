"""``POST /feedback``: a person's correction of an answer is taken down beside the run, for the next one to learn from.

A correction of a test row is refused: learnt from, it would spoil the test.
"""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path
from typing import Any

import filelock
from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool

from metier.core import storage
from metier.core.errors import MetierError
from metier.data.leakage import nearly_one_of
from metier.runs.load import load_run
from metier.serving.errors import ApiError, documented
from metier.serving.served import ServedProduct
from metier.serving.shapes import Asked
from metier.serving.state import State
from metier.serving.texts import inputs_of

NAME = "feedback.jsonl"
_MOST_BYTES = 64 * 1024 * 1024
_SIMILARITY = 0.7  # where the run does not say what it counts as nearly the same


class FeedbackRequest(Asked):
    """A correction.

    Attributes:
        model: The product that answered.
        input: What it was asked.
        answer: What it said.
        correction: What it should have said.
    """

    model: str
    input: str
    answer: str
    correction: str


def routes(state: State) -> APIRouter:
    """Return the endpoint."""
    router = APIRouter()
    tests: dict[str, list[str]] = {}

    @router.post("/feedback", status_code=202, response_class=Response, responses=documented(400, 403, 404, 409, 413))
    async def feedback(given: FeedbackRequest) -> Response:
        """Take down a correction."""
        if not state.settings.feedback:
            raise ApiError(403, "corrections are not taken down here: start the server with --feedback", code="off")
        model = state.served.product(given.model)
        inputs_of(given.input, "input")
        inputs_of(given.correction, "correction")
        labels = model.product.labels
        if labels is not None and given.correction not in labels:
            raise ApiError(400, f"correction: {model.name} knows the labels {', '.join(labels)}", param="correction")
        if model.name not in tests:
            tests[model.name] = await run_in_threadpool(_test_inputs, model)
        await run_in_threadpool(_take_down, model, given, tests[model.name])
        return Response(status_code=202)

    return router


def _test_inputs(model: ServedProduct) -> list[str]:
    """Return the inputs of a run's test; none where it had no test or was not copied with its product."""
    try:
        return [row.input for row in load_run(model.run.folder).task.rows]
    except MetierError:
        return []


def _take_down(model: ServedProduct, given: FeedbackRequest, test: list[str]) -> None:
    """Append a correction to the run's file.

    Raises:
        ApiError: It is of a test row, the file is as large as it may be, or it cannot be written.
    """
    if nearly_one_of(given.input, test, similarity=_similarity(model)) is not None:
        raise ApiError(
            409, "this input is, or nearly is, one of the run's test rows, and must not be learnt from",
            param="input", code="test_row",
        )  # fmt: skip
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    row = {
        "input": given.input,
        "answer": given.answer,
        "correction": given.correction,
        "system": model.product.system,
        "when": now,
    }
    path = model.run.folder / NAME
    try:
        with storage.explained(path), filelock.FileLock(path.with_name(f".{NAME}.lock")):
            _append(path, row)
    except MetierError as error:
        raise ApiError(500, f"the correction could not be written ({error.message})", code="not_written") from error


def _append(path: Path, row: dict[str, Any]) -> None:
    line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
    with path.open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size + len(line) > _MOST_BYTES:
            raise ApiError(413, f"{NAME} is full: {_MOST_BYTES:,} bytes", code="feedback_full")
        if size:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a row that was not written to its end
                line = b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def _similarity(model: ServedProduct) -> float:
    facts = model.run.facts
    found = facts.setting("evaluation", "leakage_similarity") if facts is not None else None
    return found if isinstance(found, float) else _SIMILARITY
