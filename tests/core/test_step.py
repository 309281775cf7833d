"""Steps whose results are made by hand: what a key depends on, what is on file, and what a killed step keeps."""

from __future__ import annotations

import dataclasses
import itertools
import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metier
from metier.core import storage
from metier.core.codec import encode
from metier.core.errors import MetierError
from metier.core.records import Example
from metier.core.run_folder import Run
from metier.core.step import Artifact, Cost, Done, Work, check_left, once
from metier.tasks.settings import TrainingSettings

USUAL = TrainingSettings()
HERE = Artifact("weights", Path("here"))


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """Something of every form that steps are given."""

    name: str = "a"
    number: int = 0
    share: float = 0.5
    several: tuple[str, ...] = ()
    pairs: tuple[Example, ...] = ()
    limit: int | None = None
    how: Literal["write", "score"] = "write"
    settings: TrainingSettings = USUAL
    weights: Artifact | None = HERE


@dataclasses.dataclass(frozen=True, slots=True)
class Made:
    """A result with a table of records and other values."""

    title: str
    rows: tuple[Example, ...]
    numbers: tuple[int, ...]
    at: Example | None = None


GIVEN = st.builds(
    Given,
    name=st.text(max_size=3),
    number=st.integers(-2, 2),
    share=st.floats(0, 1).map(abs),
    several=st.lists(st.text(max_size=2), max_size=2).map(tuple),
    pairs=st.lists(st.builds(Example, st.text(max_size=2), st.text(max_size=2)), max_size=2).map(tuple),
    limit=st.none() | st.integers(0, 2),
    how=st.sampled_from(["write", "score"]),
    settings=st.builds(TrainingSettings, epochs=st.integers(1, 3)),
    weights=st.none() | st.sampled_from(["one", "two"]).map(lambda key: Artifact(key, Path("here"))),
)
MADE = Made("titled", (Example("a", "b"), Example("c\u2028d", "\ud800", ("e",), "")), (1, 2), Example("x", "y"))


def make(calls: list[Any], given: Any, work: Work) -> Made:
    calls.append(given)
    return MADE


def step(folder: Path, given: Any, name: str = "step") -> Done[Made]:
    return once(Run(folder), name, given, partial(make, []))


def test_a_step_is_made_once_and_says_whether_it_was_there(tmp_path: Path) -> None:
    calls: list[Any] = []
    first, again = (once(Run(tmp_path), "step", Given(), partial(make, calls)) for _ in range(2))
    assert calls == [Given()], "the second time it is on file"
    assert (first.before, again.before) == (False, True)
    assert (first.path, first.key) == (again.path, again.key)
    assert first.path.name == f"step-{first.key}" and [p.name for p in tmp_path.iterdir()] == [first.path.name]


def test_a_result_comes_back_equal_and_typed(tmp_path: Path) -> None:
    for _ in range(2):
        found = step(tmp_path, Given()).value
        assert found == MADE
        assert isinstance(found.rows[0], Example) and isinstance(found.numbers, tuple)


def test_a_field_of_records_is_a_table_and_the_rest_one_file(tmp_path: Path) -> None:
    done = step(tmp_path, Given())
    assert sorted(p.name for p in done.path.iterdir()) == ["cost.json", "manifest.json", "result.json", "rows.jsonl"]
    assert storage.read_lines(done.path / "rows.jsonl") == encode(MADE.rows)
    assert set(storage.read_json(done.path / "result.json")) == {"title", "numbers", "at"}
    files = storage.read_json(done.path / "manifest.json")["files"]
    assert files["rows.jsonl"] == {"records": 2, "sha256": storage.digest(encode(MADE.rows))}


@settings(max_examples=30, deadline=None)
@given(first=GIVEN, second=GIVEN)
def test_a_key_tells_any_two_inputs_apart(first: Given, second: Given) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert (step(Path(folder), first).key == step(Path(folder), second).key) == (first == second)


@settings(max_examples=30, deadline=None)
@given(base=GIVEN, other=GIVEN, field=st.sampled_from([f.name for f in dataclasses.fields(Given)]))
def test_every_field_is_part_of_the_key(base: Given, other: Given, field: str) -> None:
    changed = dataclasses.replace(base, **{field: getattr(other, field)})
    with tempfile.TemporaryDirectory() as folder:
        same = step(Path(folder), base).key == step(Path(folder), changed).key
        assert same == (getattr(base, field) == getattr(other, field)), field


def test_the_name_and_the_version_are_part_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = step(tmp_path, Given())
    assert step(tmp_path, Given(), "other").key != before.key
    monkeypatch.setattr(metier, "__version__", "another")
    assert step(tmp_path, Given()).key != before.key


def test_where_an_artifact_lies_does_not_matter_but_what_it_holds_does(tmp_path: Path) -> None:
    def key(weights: Artifact) -> str:
        return step(tmp_path, Given(weights=weights)).key

    assert key(Artifact("one", Path("here"))) == key(Artifact("one", Path("there")))
    assert key(Artifact("one", Path("here"))) != key(Artifact("two", Path("here")))


def test_what_a_step_leaves_is_known_by_the_steps_key(tmp_path: Path) -> None:
    done = step(tmp_path, Given())
    assert done.artifact("adapter") == Artifact(f"{done.key}/adapter", done.path / "adapter")


def test_manifests_of_equal_inputs_are_equal_to_the_byte(tmp_path: Path) -> None:
    one, two = (
        step(tmp_path / name, Given(weights=Artifact("w", tmp_path / name))).path / "manifest.json"
        for name in ("one", "two")
    )
    assert one.read_bytes() == two.read_bytes()
    assert str(tmp_path) not in one.read_text() and "seconds" not in one.read_text()


def test_long_inputs_are_digests_in_the_manifest_and_short_ones_whole(tmp_path: Path) -> None:
    def told(several: int) -> Any:
        given = Given(several=tuple(f"text {i}" for i in range(several)))
        return storage.read_json(step(tmp_path, given).path / "manifest.json")["inputs"]["several"]

    assert told(20) == [f"text {i}" for i in range(20)]
    long = [f"text {i}" for i in range(21)]
    assert told(21) == {"items": 21, "sha256": storage.digest(long)}


def parts(reached: list[int], stop: int, given: Given, work: Work) -> Made:
    def part(number: int) -> list[int]:
        if number == stop:
            raise KeyboardInterrupt
        reached.append(number)
        return [number]

    numbers: list[int] = []
    for number in range(3):
        numbers += work.shard(f"part-{number:05d}", partial(part, number))
        work.add_cost(seconds=10.0, tokens=7)
    return Made("parts", (), tuple(numbers))


def test_a_killed_step_resumes_with_its_shards_and_its_cost(tmp_path: Path) -> None:
    reached: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        once(Run(tmp_path), "step", Given(), partial(parts, reached, 2))
    (open_one,) = tmp_path.iterdir()
    assert open_one.name.endswith(".partial"), "what is not whole is not under its name"
    done = once(Run(tmp_path), "step", Given(), partial(parts, reached, 9))
    assert reached == [0, 1, 2], "no part is made twice"
    assert done.value.numbers == (0, 1, 2) and not done.before
    assert 50 <= done.cost.seconds < 60, "two parts before, three after: what was spent before counts"
    assert done.cost.tokens == 5 * 7
    assert [p.name for p in tmp_path.iterdir()] == [done.path.name]


def test_another_input_does_not_take_over_what_was_left(tmp_path: Path) -> None:
    reached: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        once(Run(tmp_path), "step", Given(), partial(parts, reached, 1))
    once(Run(tmp_path), "step", Given(number=1), partial(parts, reached, 9))
    assert reached == [0, 0, 1, 2]


def test_a_step_that_fails_is_not_whole(tmp_path: Path) -> None:
    def fail(given: Given, work: Work) -> Made:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        once(Run(tmp_path), "step", Given(), fail)
    assert not step(tmp_path, Given()).before


def spend(times: list[float], given: Given, work: Work) -> Made:
    work.shard("answers-00000", lambda: 1)
    work.add_cost(seconds=3.0, tokens=5, part="learning")
    work.measure_latency(lambda text: times.append(len(text)), ["a", "bb"])
    work.measure_latency(lambda text: times.append(len(text)), ["a", "bb"])
    return MADE


def test_what_a_step_cost_is_beside_its_result(tmp_path: Path) -> None:
    times: list[float] = []
    cost = once(Run(tmp_path), "step", Given(), partial(spend, times)).cost
    assert times == [1, 2], "latency is measured once"
    assert len(cost.latencies) == 2 and min(cost.latencies) >= 0
    assert cost.parts["learning"] == 3.0 and set(cost.parts) == {"learning", "answers"}
    assert cost.seconds >= 3.0 and cost.tokens == 5 and cost.peak_memory_bytes > 0


def test_a_step_without_a_note_of_its_cost_cost_nothing_that_is_known(tmp_path: Path) -> None:
    done = step(tmp_path, Given())
    (done.path / "cost.json").unlink()
    assert step(tmp_path, Given()).cost == Cost()


def test_long_work_notes_its_cost_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(tmp_path)
    clock = itertools.count(step=3.0)
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    told: list[tuple[int, int]] = []
    tick = work.ticking(lambda done, tokens: told.append((done, tokens)))
    tick(1, 10)
    assert not (tmp_path / "cost.json").exists(), "three seconds are not worth a write"
    tick(2, 20)
    assert json.loads((tmp_path / "cost.json").read_text())["seconds"] == 6.0
    assert told == [(1, 10), (2, 20)]


def test_shards_know_what_is_on_file(tmp_path: Path) -> None:
    work = Work(tmp_path)
    assert not work.shard.has("part-0")
    assert work.shard("part-0", lambda: ("a", 1)) == ["a", 1], "as it will be read from file"
    assert work.shard.has("part-0")


@pytest.mark.parametrize("name", ["result.json", "rows.jsonl"])
def test_a_file_that_was_changed_after_it_was_written_is_noticed(tmp_path: Path, name: str) -> None:
    done = step(tmp_path, Given())
    assert step(tmp_path, Given()).value == MADE
    path = done.path / name
    path.write_bytes(path.read_bytes().replace(b"titled", b"titlex").replace(b'"a"', b'"A"'))
    with pytest.raises(MetierError, match=f"{name} has changed since it was written"):
        _ = step(tmp_path, Given()).value


def test_a_torn_part_is_made_again(tmp_path: Path) -> None:
    work = Work(tmp_path)
    assert work.shard("part-0", lambda: [1, 2]) == [1, 2]
    (tmp_path / "part-0.json").write_text("[1, 2")
    assert work.shard("part-0", lambda: [3]) == [3]
    assert work.shard("part-0", lambda: [4]) == [3]


def test_a_file_that_a_step_leaves_is_checked_when_the_step_is_brought_back(tmp_path: Path) -> None:
    def leaving(given: Given, work: Work) -> Made:
        (work.path / "weights").mkdir()
        (work.path / "weights" / "w.bin").write_bytes(bytes(1000))
        work.leaves.append(work.path / "weights" / "w.bin")
        return MADE

    done = once(Run(tmp_path), "leaving", Given(), leaving)
    (done.path / "weights" / "card.md").write_text("not one of them")
    assert once(Run(tmp_path), "leaving", Given(), leaving).before
    flip(done.path / "weights" / "w.bin")
    with pytest.raises(MetierError, match=r"weights/w\.bin has changed since it was written") as caught:
        once(Run(tmp_path), "leaving", Given(), leaving)
    assert f"delete {done.path}" in str(caught.value.hint)
    (done.path / "weights" / "w.bin").unlink()
    with pytest.raises(MetierError, match=r"weights/w\.bin is missing"):
        check_left(done.path)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
