"""Products over one base model that are asked at the same time write in the same passes, and answer as each alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from metier.core.errors import MetierError
from metier.engines.base import GenerationRequest
from metier.engines.mixed import write_mixed
from metier.engines.transformers import TransformersEngine
from metier.serving.guided import Guide
from metier.serving.opening import open_runs
from metier.serving.served import Question, Served
from metier.serving.worker import Job, Pace, Worker
from tests.serving.made import LABELS, make_adapter, write_labels_run, write_model_run

TEXTS = [f"the parcel number {i} came {'late ' * (i % 4)}" for i in range(5)]


@pytest.fixture(scope="module")
def served(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder = tmp_path_factory.mktemp("runs")
    adapters = [make_adapter(tiny_model, folder / f"adapter{k}", k) for k in range(3)]
    return open_runs(
        [
            write_model_run(folder / "one", tiny_model, adapter=adapters[0]),
            write_model_run(folder / "two", tiny_model, adapter=adapters[1]),
            write_model_run(folder / "scored", tiny_model, labels=LABELS, adapter=adapters[2]),
            write_model_run(folder / "prompt", tiny_model, "few_shot"),
            write_labels_run(folder / "routing"),
        ]
    )


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many products each call wrote for."""
    found: list[int] = []

    def counted(parts: Sequence[tuple[TransformersEngine, Sequence[GenerationRequest]]]) -> object:
        found.append(len(parts))
        return write_mixed(parts)

    monkeypatch.setattr("metier.serving.mixing.write_mixed", counted)
    yield found


def asked_at_once(served: Served, names: Sequence[str], questions: Sequence[Question]) -> dict[str, list[str]]:
    worker = Worker(Pace(window=0.2))
    jobs: dict[str, Job] = {name: worker.ask(served.product(name), questions) for name in names}
    worker.start()
    try:
        return {name: [one.texts[0] for one in job.future.result(60)] for name, job in jobs.items()}
    finally:
        worker.stop()


def test_products_that_write_with_one_model_are_kin(served: Served) -> None:
    kin = {name: product.kin for name, product in served.products.items()}
    assert kin["one"] is not None and kin["one"] is kin["two"] is kin["prompt"]
    assert kin["routing"] is None


def test_they_write_together_and_answer_as_each_alone(served: Served, calls: list[int]) -> None:
    questions = [Question(text) for text in TEXTS]
    names = ["one", "two", "scored", "prompt", "routing"]
    alone = {name: [one.texts[0] for one in served.product(name).answer(questions)] for name in names}
    assert asked_at_once(served, names, questions) == alone
    assert calls == [sum(served.product(name).kin is not None for name in names)]
    assert alone["one"] != alone["two"]


def test_who_wishes_for_more_is_asked_by_itself_beside_them(served: Served, calls: list[int]) -> None:
    plain, guided = Question(TEXTS[0]), Question(TEXTS[0], guide=Guide(schema='{"type": "integer"}'))
    worker = Worker(Pace(window=0.2))
    jobs = [worker.ask(served.product(name), [one]) for name, one in (("one", plain), ("two", guided))]
    worker.start()
    found = [job.future.result(60)[0] for job in jobs]
    worker.stop()
    assert found[0].texts == served.product("one").answer([plain])[0].texts
    assert found[1].texts == served.product("two").answer([guided])[0].texts and calls == [1]


def test_where_writing_together_fails_each_answers_by_itself(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(parts: object) -> None:
        raise MetierError("out of memory even for a batch of one prompt")

    questions = [Question(text) for text in TEXTS[:2]]
    alone = [one.texts[0] for one in served.product("one").answer(questions)]
    monkeypatch.setattr("metier.serving.mixing.write_mixed", fail)
    assert asked_at_once(served, ["one", "two"], questions)["one"] == alone


def test_an_input_that_does_not_fit_is_told_and_the_others_are_answered(served: Served, calls: list[int]) -> None:
    questions = [Question("long " * 5000), Question(TEXTS[1])]
    found = asked_at_once(served, ["one", "two"], questions)
    assert [texts[0] for texts in found.values()] == ["", ""] and calls == [2]
    assert found["one"][1] == served.product("one").answer(questions[1:])[0].texts[0]


def test_many_at_once_over_several_products(served: Served) -> None:
    wanted = {
        (name, text): served.product(name).answer([Question(text)])[0].texts[0]
        for name in ("one", "two", "prompt")
        for text in TEXTS
    }
    worker = Worker(Pace())
    worker.start()

    def ask(pair: tuple[str, str]) -> str:
        return worker.ask(served.product(pair[0]), [Question(pair[1])]).future.result(60)[0].texts[0]

    with ThreadPoolExecutor(16) as pool:
        found = dict(zip(wanted, pool.map(ask, wanted), strict=True))
    worker.stop()
    assert found == wanted
