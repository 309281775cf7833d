"""Several adapters write in the same passes what each writes alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.core.errors import MetierError
from metier.engines.base import Generation, GenerationRequest
from metier.engines.mixed import write_mixed
from metier.engines.prompts import Prompt
from metier.engines.transformers import Batching, TransformersEngine
from tests.serving.made import make_adapter

BEGIN = "Mend the message below, and change nothing else in it:\n"


@pytest.fixture(scope="module")
def engines(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[TransformersEngine]:
    folder = tmp_path_factory.mktemp("adapters")
    base = TransformersEngine(tiny_model, dtype="float32", device="cpu", batching=Batching(rows=6))
    return [base, *(base.beside(make_adapter(tiny_model, folder / f"{k}", k)) for k in range(2))]


def request(text: str, tokens: int = 9, samples: int = 1, **more: float) -> GenerationRequest:
    prompt = Prompt(f"{BEGIN}{text}", shared=len(BEGIN) if text.startswith("the") else 0)
    return GenerationRequest(prompt, samples, tokens, stop=("q",), seed=len(text), **more)  # type: ignore[arg-type]


def texts(made: list[list[Generation]]) -> list[list[tuple[str, ...]]]:
    return [[one.texts for one in part] for part in made]


def test_each_writes_what_it_writes_alone(engines: list[TransformersEngine]) -> None:
    """Of several lengths, with and without a shared beginning, sampled and not, more of them than there are rows."""
    asked = [
        [request(f"the parcel {'is late ' * k}", 5 + k) for k in range(4)],
        [request("a letter", samples=2, temperature=1.0), request("the end", 14)],
        [request("the parcel is late", 12), request("no", 1), request(f"the {'long ' * 30}"), request("the parcel")],
    ]
    alone = [engine.generate(some) for engine, some in zip(engines, asked, strict=True)]
    mixed = write_mixed(list(zip(engines, asked, strict=True)))
    assert texts(mixed) == texts(alone)
    assert [[one.finished for one in part] for part in mixed] == [[one.finished for one in part] for part in alone]
    assert len({str(part) for part in texts([[part[0]] for part in alone])}) == 3, "the adapters do change the answers"


def test_the_engines_answer_as_before_afterwards(engines: list[TransformersEngine]) -> None:
    before = [engine.generate([request("the parcel")]) for engine in engines]
    write_mixed([(engine, [request("a letter")]) for engine in engines])
    assert [engine.generate([request("the parcel")]) for engine in engines] == before


def test_one_pass_serves_all_rows(engines: list[TransformersEngine], monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    model, whole = engines[0].forward.model, type(engines[0].forward.model).forward

    def counted(*args: object, **kwargs: object) -> object:
        rows.append(len(kwargs["input_ids"]))  # type: ignore[arg-type]
        return whole(model, *args, **kwargs)

    monkeypatch.setattr(model, "forward", counted)
    write_mixed([(engine, [request("parcel", 4)]) for engine in engines])
    assert rows[:3] == [1, 1, 1] and set(rows[3:]) == {3}, "read one by one, written together"


def test_nothing_to_write(engines: list[TransformersEngine]) -> None:
    assert write_mixed([]) == []
    assert write_mixed([(engines[0], []), (engines[1], [])]) == [[], []]


def test_what_cannot_be_written_together_is_refused(engines: list[TransformersEngine], tiny_model: Path) -> None:
    other = TransformersEngine(tiny_model, dtype="float32", device="cpu")
    with pytest.raises(ValueError, match="one model"):
        write_mixed([(engines[0], [request("a")]), (other, [request("a")])])
    with pytest.raises(ValueError, match="top_k"):
        write_mixed([(engines[0], [request("a"), request("b", top_k=3)])])
    with pytest.raises(MetierError, match="do not fit"):
        write_mixed([(engines[0], [request("a" * 5000)]), (engines[1], [request("a")])])
