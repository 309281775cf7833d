"""Pools, encodings, clusters and strategies on vectors that are known; the student's own on the tiny model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.core import storage
from metier.core.errors import MetierError, UserError
from metier.core.records import Example
from metier.data import files as rowfiles
from metier.engines.prompts import PromptFormat
from metier.engines.transformers import TransformersEngine
from metier.models.encoder import StaticEncoder
from metier.selection import kcenter, pool
from metier.selection.cluster import Clusters, cluster, region_fallen_into, region_of_share
from metier.selection.encodings import encode_here, encode_with_ray, encoded, vectors_of
from metier.selection.kcenter import Budget
from metier.selection.material import Material
from metier.selection.pool import Pool, open_pool, pool_of
from metier.selection.select import STRATEGIES, budget_of, related_share_of, select
from metier.tasks.settings import SelectionSettings

MIDDLES = np.eye(4, 8)


def write(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


class Counting:
    """Vectors that can be told from the text, and how often they were asked for."""

    def __init__(self, stop_after: int = 10**9) -> None:
        self.seen: list[str] = []
        self.stop_after = stop_after

    def encode(
        self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None
    ) -> npt.NDArray[np.float32]:
        if len(self.seen) >= self.stop_after:
            raise KeyboardInterrupt
        self.seen += texts
        return vectors([int(text.split()[-1]) for text in texts])


def vectors(numbers: Sequence[int]) -> npt.NDArray[np.float32]:
    """Vectors around four middles, the one by the number; each a little off it in its own direction."""
    out = np.stack([MIDDLES[n % 4] + np.random.default_rng(n).normal(size=8) * 0.05 for n in numbers])
    return np.asarray(out / np.linalg.norm(out, axis=1, keepdims=True), np.float32)


def material(folder: Path, rows: int, budget: Budget, seed: int = 0, **more: Any) -> Material:
    made = pool_of([Example(f"row {i}", "x" * (i % 7 + 1)) for i in range(rows)], folder, "")
    codes = kcenter.encode(vectors(range(rows)), largest=1.0)
    target = kcenter.encode(vectors([1, 5]), largest=1.0)
    clusters = cluster(codes, 4, 0)
    given: dict[str, Any] = {
        "pool": made,
        "tokens": np.arange(rows) % 5 + 1,
        "budget": budget,
        "seed": seed,
        "make_codes": lambda: (codes, target),
        "make_clusters": lambda: clusters,
        "make_region": lambda: region_fallen_into(clusters, vectors_of(target)),
        "open_engine": lambda: None,
        "gradients": lambda places: (vectors(places.tolist()), vectors([1])),
    }
    return Material(**{**given, **more})


def test_a_pool_holds_what_can_be_used_once_and_says_what_it_left_out(tmp_path: Path) -> None:
    rows = [{"prompt": f"q {i}", "completion": "a"} for i in range(5)]
    rows += [{"prompt": " ", "completion": "a"}, rows[0], {"prompt": "the test's", "completion": "a"}]
    made = open_pool(write(tmp_path / "p.jsonl", rows), tmp_path / "out", unwanted=["the test's "])
    assert (made.rows, made.dropped) == (5, {"empty": 1, "duplicate": 1, "test row": 1})
    assert [row.input for piece in made.pieces() for row in piece] == [f"q {i}" for i in range(5)]
    assert [row.input for row in made.take([3, 0])] == ["q 3", "q 0"]
    assert open_pool("nowhere.jsonl", tmp_path / "out") == made, "from the cache, not read again"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"colour": "red"}], r"p.jsonl:1: unknown columns \[colour\]"),
        ([{"input": "a", "output": 3.5}, {"input": "b", "output": ["x"]}], "p.jsonl:2: output is not text"),
        ([{"input": "", "output": "a"}], "no usable row"),
    ],
)
def test_a_pool_that_cannot_be_used(tmp_path: Path, rows: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(UserError, match=told):
        open_pool(write(tmp_path / "p.jsonl", rows), tmp_path / "out")


def test_a_pool_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "p.jsonl", [{"input": f"q {i}", "output": "a"} for i in range(20)])
    read = rowfiles.read_rows

    def touched(path: Path, split: str) -> Any:
        for number, row in enumerate(read(path, split)):
            if number == 10:
                with path.open("a") as file:
                    file.write('{"input": "new", "output": "b"}\n')
            yield row

    monkeypatch.setattr(pool, "read_rows", touched)
    with pytest.raises(UserError, match="changed while it was read"):
        open_pool(source, tmp_path / "out")
    assert not (tmp_path / "out" / "pool.json").exists()


def test_encoding_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metier.selection.encodings.PIECE", 16)
    made = pool_of([Example(f"row {i}", "x") for i in range(50)], tmp_path / "pool", "")
    stopped, whole = Counting(stop_after=32), Counting()
    with pytest.raises(KeyboardInterrupt):
        encoded(made, encode_here(stopped), tmp_path / "codes")
    codes = encoded(made, encode_here(whole), tmp_path / "codes")
    assert stopped.seen + whole.seen == [f"row {i}" for i in range(50)]
    np.testing.assert_allclose(vectors_of(codes), vectors(range(50)), atol=1e-4)
    again = Counting()
    assert encoded(made, encode_here(again), tmp_path / "codes").shape == (50, 8) and not again.seen


def test_workers_encode_as_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr("metier.selection.encodings.PIECE", 16)
    made = pool_of([Example(f"row {i}", "x") for i in range(50)], tmp_path / "pool", "")
    try:
        many = encoded(made, encode_with_ray(Counting, 2, None), tmp_path / "many")
    finally:
        ray.shutdown()
    assert (np.asarray(many) == np.asarray(encoded(made, encode_here(Counting()), tmp_path / "one"))).all()


def test_a_vector_that_is_no_number_is_refused(tmp_path: Path) -> None:
    class Broken(Counting):
        def encode(self, texts: Sequence[str], progress: Any = None) -> npt.NDArray[np.float32]:
            return np.full((len(texts), 8), np.nan, np.float32)

    made = pool_of([Example("row 1", "x")], tmp_path / "pool", "")
    with pytest.raises(UserError, match="not a number"):
        encoded(made, encode_here(Broken()), tmp_path / "codes")


def test_the_tasks_region_is_where_its_examples_fall_and_can_be_widened() -> None:
    codes = kcenter.encode(vectors(range(400)), largest=1.0)
    found = cluster(codes, 4, 0)
    own = region_fallen_into(found, vectors([1, 5]))
    assert set(own.rows.tolist()) == set(range(1, 400, 4)) and own.share == 0.25
    assert region_of_share(found, vectors([1, 5]), 0.05).rows.tolist() == own.rows.tolist()  # whole clusters
    assert region_of_share(found, vectors([1]), 0.5).share == 0.5
    assert region_of_share(found, vectors([1]), 1.0).share == 1.0


def test_what_texts_have_in_common_counts_more_than_their_topics() -> None:
    task, *topics = np.eye(6, dtype=np.float32)
    target = np.asarray([0.6 * task + 0.8 * topic for topic in topics], np.float32)
    clusters = Clusters(np.asarray([*topics, 0.7 * task], np.float32), np.arange(6, dtype=np.int32))
    assert 5 not in region_fallen_into(clusters, target).rows  # each falls to its own topic
    assert region_of_share(clusters, target, 0.1).rows.tolist() == [5]


def test_a_region_without_rows_takes_the_nearest_that_has_some() -> None:
    centres = np.asarray(MIDDLES, np.float32)
    empty = Clusters(centres, np.array([2, 2, 3], np.int32))
    target = np.asarray([MIDDLES[1] + 0.1 * MIDDLES[3]], np.float32)
    assert region_fallen_into(empty, target).rows.tolist() == [2]


@pytest.mark.parametrize("library", ["sklearn", "faiss"])
def test_clusters_are_found_again_whichever_library_finds_them(library: Any) -> None:
    codes = kcenter.encode(vectors(range(400)), largest=1.0)
    found, again = (cluster(codes, 4, 0, library=library) for _ in range(2))
    groups = [set(found.of[np.arange(400) % 4 == k].tolist()) for k in range(4)]
    assert all(len(group) == 1 for group in groups) and len(set.union(*groups)) == 4
    assert (found.of == again.of).all() and found.centres.shape == (4, 8)


@pytest.mark.parametrize("library", ["sklearn", "faiss"])
def test_identical_rows_and_more_clusters_than_rows(library: Any) -> None:
    same = kcenter.encode(np.repeat(vectors([3]), 2000, axis=0), largest=1.0)
    assert set(cluster(same, 5, 0, library=library).of.tolist()) <= set(range(5))
    with pytest.raises(UserError, match="selection.clusters=9, but the pool has 3 rows"):
        cluster(same[:3], 9, 0, library=library)


def test_static_embeddings_are_looked_up_and_brought_to_length_one(tmp_path: Path) -> None:
    from model2vec import StaticModel
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"[UNK]": 0, "cat": 1, "dog": 2, "tax": 3}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    table = np.array([[0, 0, 0], [3, 1, 0], [2, 1, 0], [0, 0, 5]], np.float32)
    StaticModel(table, tokenizer, normalize=False).save_pretrained(str(tmp_path / "static"))
    found = StaticEncoder(str(tmp_path / "static")).encode(["cat", "dog cat", "tax", "unheard"])
    assert np.linalg.norm(found, axis=1) == pytest.approx([1, 1, 1, 0], abs=1e-5)
    assert found[0] @ found[1] > 0.95 > 0.05 > abs(found[0] @ found[2])
    with pytest.raises(MetierError, match="cannot load static embeddings"):
        StaticEncoder(str(tmp_path / "nothing"))


@settings(deadline=None, max_examples=25)
@given(
    rows=st.integers(8, 120), share=st.floats(0.01, 1), seed=st.integers(0, 99), tokens=st.none() | st.integers(5, 90)
)
@pytest.mark.parametrize(
    "strategy", ["k_center", "random", "stratified", "nearest", "nearest_mean", "facility_location", "length", "less"]
)
def test_every_strategy_keeps_its_budget_takes_no_row_twice_and_can_be_repeated(
    tmp_path_factory: pytest.TempPathFactory, strategy: Any, rows: int, share: float, seed: int, tokens: int | None
) -> None:
    folder = tmp_path_factory.mktemp("pool")
    budget = Budget(max(1, round(share * rows)), tokens)
    first, again = (select(material(folder, rows, budget, seed), strategy) for _ in range(2))
    assert first == again
    assert len(set(first.rows)) == len(first.rows) and set(first.rows) <= set(range(rows))
    assert first.tokens == sum(i % 5 + 1 for i in first.rows)
    if tokens is None:
        assert len(first.rows) == budget.rows
    else:
        assert first.tokens <= tokens


def test_what_each_strategy_takes(tmp_path: Path) -> None:
    given = material(tmp_path, 200, Budget(20))
    alike = vectors([1, 5]) @ vectors(range(200)).T
    taken = {name: list(select(given, name).rows) for name in STRATEGIES if name not in ("perplexity", "ifd")}
    assert taken["nearest"][:2] == [
        int(alike[0].argmax()),
        int(np.argsort(-alike[1])[1 if alike[1].argmax() == alike[0].argmax() else 0]),
    ]
    rows, texts = vectors_of(given.codes), vectors_of(given.target_codes)
    on_average = rows @ (texts.mean(axis=0) - rows.mean(axis=0) / 2)
    assert sorted(on_average[taken["nearest_mean"]]) == pytest.approx(np.sort(on_average)[-20:], abs=1e-6)
    assert {i % 4 for name in ("k_center", "facility_location", "less") for i in taken[name]} == {1}
    assert set(Counter(i % 4 for i in taken["stratified"]).values()) == {5}
    assert {i % 7 for i in taken["length"]} == {6}
    assert taken["random"] != list(select(material(tmp_path, 200, Budget(20), seed=1), "random").rows)


def test_facility_location_takes_what_plain_greedy_takes(tmp_path: Path) -> None:
    given = material(tmp_path, 120, Budget(8))
    rows = given.region.rows
    own = vectors_of(given.codes[rows])
    alike, best = own @ own.T, np.zeros(len(rows), np.float32)
    plain: list[int] = []
    for _ in range(8):
        gains = np.maximum(alike - best[:, None], 0).sum(axis=0, dtype=np.float64)
        gains[plain] = -1
        plain.append(int(gains.argmax()))
        best = np.maximum(best, alike[:, plain[-1]])
    assert list(select(given, "facility_location").rows) == [int(rows[i]) for i in plain]


def test_a_region_smaller_than_the_budget_is_filled_up_and_said(tmp_path: Path) -> None:
    found = select(material(tmp_path, 40, Budget(25)), "k_center")
    assert len(found.rows) == 25 and found.region_rows == 10 and found.filled == 15


@pytest.mark.parametrize(
    ("given", "rows", "wanted"),
    [
        ({}, 1000, Budget(5)),
        ({}, 10, Budget(1)),
        ({"share": 0.1}, 1000, Budget(100)),
        ({"rows": 7, "tokens": 50}, 1000, Budget(7, 50)),
        ({"tokens": 50}, 1000, Budget(None, 50)),
    ],
)
def test_budgets(given: dict[str, Any], rows: int, wanted: Budget) -> None:
    assert budget_of(SelectionSettings(**given), rows) == wanted


@pytest.mark.parametrize(
    ("given", "share"),
    [({}, 0.01), ({"share": 0.2}, 0.4), ({"rows": 900}, 1.0), ({"tokens": 50}, 0.01), ({"related_share": 0.3}, 0.3)],
)
def test_the_tasks_part_is_twice_the_budget_unless_said(given: dict[str, Any], share: float) -> None:
    assert related_share_of(SelectionSettings(**given), 1000) == pytest.approx(share)


def test_budgets_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="selection.rows=11, but the pool has 10 rows"):
        budget_of(SelectionSettings(rows=11), 10)
    with pytest.raises(UserError, match="both set"):
        budget_of(SelectionSettings(rows=1, share=0.5), 10)
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        SelectionSettings(rows=0)
    with pytest.raises(UserError, match="no row fits a budget of 0.5 tokens"):
        select(material(tmp_path, 10, Budget(None, 0.5)), "random")


@pytest.mark.parametrize("strategy", ["perplexity", "ifd"])
def test_the_students_own_likelihood_orders_rows(tmp_path: Path, tiny_model: Path, strategy: Any) -> None:
    engine = TransformersEngine(tiny_model, dtype="float32", device="cpu")
    prompts = PromptFormat(engine.tokenizer)
    given = material(tmp_path, 40, Budget(4), open_engine=lambda: (engine, prompts))
    found = select(given, strategy)
    assert len(found.rows) == 4 and set(found.rows) <= set(given.region.rows.tolist())
    assert select(given, strategy) == found


def test_gradients_tell_examples_apart(tmp_path: Path, tiny_model: Path) -> None:
    from transformers import AutoTokenizer

    from metier.tasks.settings import EngineSettings, TrainingSettings
    from metier.training.examples import encode_examples
    from metier.training.gradients import example_gradients
    from metier.training.tune import TuningJob, tune

    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_model)
    pairs = [
        Example("the parcel is late", "delivery"),
        Example("the parcel is late ", "delivery"),
        Example("app", "x y"),
    ]
    examples, _ = encode_examples(pairs * 4, "Name it.", (), PromptFormat(tokenizer), max_length=200)
    engine = EngineSettings(dtype="float32", device="cpu")
    tuned = tune(TuningJob(tiny_model, examples, (), TrainingSettings(epochs=1), engine, 0), tmp_path)
    found = example_gradients(tiny_model, tuned.folder, examples[:3], engine, seed=0)
    assert found[0] @ found[1] > found[0] @ found[2] + 0.2
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert (found == example_gradients(tiny_model, tuned.folder, examples[:3], engine, seed=0)).all()


def test_a_pool_is_named_by_what_it_says(tmp_path: Path) -> None:
    one = pool_of([Example("a", "b")], tmp_path / "1", "")
    other = pool_of([Example("a", "c")], tmp_path / "2", "")
    assert one.sha256 != other.sha256 and isinstance(one, Pool)
    assert storage.read_json(tmp_path / "1" / "pool.json")["rows"] == 1
