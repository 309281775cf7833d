"""Gathers what selection strategies choose by: encodings, clusters, the task's part of a pool, tokens, gradients.

What costs time is made when it is first asked for. Encodings and token counts are kept in the cache.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from functools import cache as cached
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metier.core import storage
from metier.core.cache import cache_folder
from metier.core.records import Example
from metier.core.step import Artifact
from metier.models.encoder import Encoder, SentenceEncoder, StaticEncoder
from metier.models.locate import ModelFiles, resolve_model
from metier.selection import kcenter
from metier.selection.cluster import Clusters, Region, cluster, region_fallen_into, region_of_share
from metier.selection.encodings import encode_here, encode_with_ray, encoded, vectors_of
from metier.selection.material import Material
from metier.selection.pool import Pool
from metier.selection.select import budget_of, related_share_of
from metier.steps.context import Context, ModelInputs
from metier.tasks.settings import EngineSettings, SelectionSettings, TrainingSettings
from metier.training.examples import EncodedExample, encode_examples

Gradients = npt.NDArray[np.float32]
_WARM_UP_ROWS = 128  # random rows that the student is tuned on before gradients are taken


@dataclasses.dataclass(frozen=True, slots=True)
class SelectionInputs:
    """All that a choice depends on.

    Attributes:
        model: The student: its tokens are counted, and some strategies ask it.
        pool: What is chosen from.
        settings: How.
        seed: Seeds what is drawn.
        instruction: The task's, with which rows are asked.
        target: Texts that show where the task lies.
        examples: The task's examples.
        encoder: Digest of what encodes the rows.
        training: How the student is trained, for a strategy that does.
    """

    model: ModelInputs
    pool: Artifact
    settings: SelectionSettings
    seed: int
    instruction: str
    target: tuple[str, ...]
    examples: tuple[Example, ...]
    encoder: str
    training: TrainingSettings | None


def gather_material(c: Context, pool: Pool, inputs: SelectionInputs) -> Material:
    """Return what strategies choose by."""
    settings = inputs.settings
    folder = encodings_folder(c, pool, inputs.encoder)

    @cached
    def codes() -> tuple[kcenter.Codes, kcenter.Codes]:
        c.slot.close()
        opened = partial(open_encoder, c.files, c.how.engine, settings.encoder)
        encoder = opened()
        launch = c.how.launch
        encode = (
            encode_with_ray(opened, launch.workers, launch.ray_address) if launch.uses_ray else encode_here(encoder)
        )
        with c.reporter.track("encoding", pool.rows, "rows") as update:
            found = encoded(pool, encode, folder, update)
        return found, kcenter.encode(encoder.encode(inputs.target), largest=1.0)

    @cached
    def clusters() -> Clusters:
        found = codes()[0]
        with c.reporter.track("clusters", pool.rows, "rows") as update:
            return cluster(found, settings.clusters, inputs.seed, update, library=settings.clustering)

    def own_part() -> Region:
        target = vectors_of(codes()[1])
        if settings.related == "clusters":
            return region_fallen_into(clusters(), target)
        return region_of_share(clusters(), target, related_share_of(settings, pool.rows))

    return Material(
        pool=pool,
        tokens=_tokens(c, pool, folder.parent),
        budget=budget_of(settings, pool.rows),
        seed=inputs.seed,
        make_codes=codes,
        make_clusters=clusters,
        make_region=own_part,
        open_engine=lambda: (c.slot.open(), c.slot.prompts),
        gradients=partial(_gradients, c, pool, inputs),
    )


def encodings_folder(c: Context, pool: Pool, encoder: str) -> Path:
    """Return where a pool's vectors are, by the digest of the encoder."""
    return cache() / f"encodings-{storage.digest([pool.sha256, encoder, c.how.engine.float_dtype])[:20]}"


def open_encoder(files: ModelFiles, engine: EngineSettings, name: str) -> Encoder:
    """Return the encoder of a name as ``selection.encoder`` has it; ``files`` are the student's."""
    if name.startswith("static:"):
        return StaticEncoder(name.removeprefix("static:"))
    path = files.path if name == "student" else resolve_model(name).path
    return SentenceEncoder(path, device=engine.device, dtype=engine.float_dtype)


def encoder_digest(files: ModelFiles, name: str) -> str:
    """Return what identifies the encoder of a name: the digest of its files, or the name of static embeddings."""
    if name.startswith("static:"):
        return name
    return files.digest if name == "student" else resolve_model(name).digest


def cache() -> Path:
    """Return the folder of what runs over one pool share."""
    return cache_folder().parent / "selection"


def _tokens(c: Context, pool: Pool, folder: Path) -> npt.NDArray[np.int64]:
    """Return every row's tokens, prompt and answer, by the student's tokenizer; counted once."""
    path = folder / f"tokens-{storage.digest([pool.sha256, c.files.digest])[:20]}.npy"
    if not path.exists():
        counts: list[int] = []
        with c.reporter.track("tokens", pool.rows, "rows") as update:
            for rows in pool.pieces():
                for begin in range(0, len(rows), 1024):
                    part = [f"{r.input}\n{r.output}" for r in rows[begin : begin + 1024]]
                    counts += [tokens + 1 for tokens in c.slot.count_tokens(part)]
                    update(len(counts), 0)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial_path = path.with_suffix(".partial.npy")
        np.save(partial_path, np.array(counts, np.int64))
        partial_path.replace(path)
    found: npt.NDArray[np.int64] = np.load(path)
    return found


def _gradients(
    c: Context, pool: Pool, inputs: SelectionInputs, rows: npt.NDArray[np.int64]
) -> tuple[Gradients, Gradients]:
    """Return projected gradients of rows and of the task's examples, after a warm-up on random rows of the pool."""
    from metier.training.gradients import example_gradients
    from metier.training.tune import TuningJob, tune

    training = inputs.training or TrainingSettings()
    prompts = c.slot.prompts
    c.slot.close()

    def encode(pairs: Sequence[Example]) -> list[EncodedExample]:
        found, _ = encode_examples(pairs, inputs.instruction, (), prompts, max_length=training.max_length)
        return found

    seed = inputs.seed
    warm = np.sort(np.random.default_rng(seed).choice(pool.rows, min(pool.rows, _WARM_UP_ROWS), replace=False))
    with tempfile.TemporaryDirectory() as folder:
        settings = training.but(method="lora", epochs=1)
        warm_up = TuningJob(c.files.path, encode(pool.take(warm.tolist())), (), settings, c.how.engine, seed)
        tuned = tune(warm_up, Path(folder))
        take = partial(example_gradients, c.files.path, tuned.folder, engine=c.how.engine, seed=seed)
        with c.reporter.track("gradients", len(rows), "rows") as update:
            found = take(encode(pool.take(rows.tolist())), progress=update)
        target = take(encode(inputs.examples))
    return found, target
