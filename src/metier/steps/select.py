"""The selection stage: opens the pool, gathers what strategies choose by, and puts the choice on file.

Pools and their encodings are kept in the cache, named by what they hold, so that runs over one pool share them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.core import storage
from metier.core.cache import cache_folder
from metier.core.errors import UserError
from metier.core.records import Example
from metier.core.remote import local
from metier.core.run_folder import Stage
from metier.data.pairs import read_inputs
from metier.models.encoder import Encoder, SentenceEncoder, StaticEncoder
from metier.models.locate import ModelFiles, resolve_model
from metier.selection import kcenter
from metier.selection.cluster import Clusters, Region, cluster, region_fallen_into, region_of_share
from metier.selection.encodings import encode_here, encode_with_ray, encoded, vectors_of
from metier.selection.material import Material
from metier.selection.pool import Pool, open_pool, pool_of, state_of
from metier.selection.select import Selected, budget_of, related_share_of, select
from metier.steps.context import Context
from metier.tasks.task import SelectionSettings, Task

_WARM_UP_ROWS = 128  # random rows that the student is tuned on before gradients are taken


def open_task_pool(c: Context, unwanted: Sequence[str]) -> Pool:
    """Return the task's pool without the test's inputs, read once into the cache.

    Raises:
        UserError: The task names no pool, or it cannot be read.
    """
    source = c.task.pool
    if source is None:
        raise UserError("selection: the task names no pool", hint="pool: FILE (or a folder, a URL, a hub id)")
    folder = _cache() / f"pool-{storage.digest([source, state_of(local(source)), sorted(unwanted)])[:20]}"
    with c.reporter.track("pool", None, "rows") as update:
        pool = open_pool(source, folder, update, unwanted=unwanted)
    told = ", ".join(f"{count} {reason}" for reason, count in pool.dropped.items())
    c.reporter.say(f"  pool: {pool.rows} rows" + (f" (left out: {told})" if told else ""))
    return pool


def is_asked_for(task: Task) -> bool:
    """Whether a task without a pool wants its pairs selected from: it says how many to keep."""
    chosen = task.selection
    return not (chosen.share is None and chosen.rows is None and chosen.tokens is None)


def choose(c: Context, pool: Pool) -> Stage:
    """Choose rows of a pool as the task says (``selection.json``, ``selected.jsonl``).

    Raises:
        UserError: The budget cannot be met.
    """
    task, settings = c.task, c.task.selection
    strategy, seed, name = settings.strategy, task.seed, "selection"
    chosen_by = settings.model_dump(mode="json", exclude={"controls", "control_rows", "strategy", "inputs"})
    texts = _target_texts(c, pool)
    key = {"pool": pool.sha256, "selection": chosen_by, "strategy": strategy, "seed": seed, "target": texts}
    key |= {"model": c.files.digest, "style": task.prompt.style, "instruction": pool.instruction}
    stage = c.run.stage(name, key)
    if stage.done:
        c.reporter.say(f"{name}: done before ({stage.outcome['rows']} rows)")
        return stage
    c.reporter.say(f"{name} ({strategy})")
    material = gather(c, pool, settings, seed, texts)
    chosen = select(material, strategy)
    _write(stage, pool, chosen)
    told = f"  chose {len(chosen.rows)} of {pool.rows} rows, {chosen.tokens} tokens"
    if chosen.region_rows is not None:
        told += f"; {chosen.region_rows} rows ({chosen.region_rows / pool.rows:.1%}) count as the task's"
    c.reporter.say(told)
    if chosen.filled:
        c.reporter.say(
            f"warning: the task's part of the pool is too small: {chosen.filled} rows are drawn from the rest"
        )
    return stage


def choose_control(c: Context, pool: Pool, control: str, like: Stage) -> Stage:
    """Choose a control's rows: as many at random, all that count as the task's, or all; the last two are capped."""
    settings = c.task.selection
    seed = storage.seed_of(c.task.seed, "control", control) % 2**31
    key = {"pool": pool.sha256, "control": control, "cap": settings.control_rows, "seed": seed, "like": like.key}
    stage = c.run.stage(f"selection-{control}", key)
    if stage.done:
        return stage
    material = gather(c, pool, settings, seed, _target_texts(c, pool))
    if control == "random":
        rows, tokens = like.outcome["rows"], like.outcome["tokens"] if settings.tokens else None
        everything = np.arange(pool.rows)
        budget = kcenter.Budget(None if settings.tokens else rows, tokens)
    else:
        everything = material.region.rows if control == "related" else np.arange(pool.rows)
        budget = kcenter.Budget(min(len(everything), settings.control_rows))
    order = np.random.default_rng(seed).permutation(everything).tolist()
    chosen = dataclasses.replace(material, budget=budget).within_budget(order)
    region_rows = None if control == "random" else len(everything)
    found = Selected(tuple(chosen), int(material.tokens[chosen].sum()), region_rows, 0)
    _write(stage, pool, found)
    if len(everything) > len(chosen) and control != "random":
        c.reporter.say(f"  {control}: {len(chosen)} of {len(everything)} rows (selection.control_rows)")
    return stage


def chosen_pairs(stage: Stage) -> list[Example]:
    """Return the rows that a selection stage chose, each with the instruction it is asked with (empty: it has none)."""
    return [
        Example(row["input"], row["output"], instruction=row["instruction"]) for row in stage.read_records("selected")
    ]


def select_pairs(c: Context, pairs: Sequence[Example]) -> tuple[list[Example], Stage]:
    """Return the part of some pairs (synthetic or labelled) that the task's ``selection:`` chooses, and the stage.

    Raises:
        UserError: The budget is not given, or cannot be met.
    """
    own, pool = pool_of_pairs(c, pairs)
    stage = choose(own, pool)
    kept = {(row.input, row.output) for row in chosen_pairs(stage)}
    return [pair for pair in pairs if (pair.input, pair.output) in kept], stage


def pool_of_pairs(c: Context, pairs: Sequence[Example]) -> tuple[Context, Pool]:
    """Return pairs made for the task as a pool, and a context in which all of them count as the task's own."""
    folder = _cache() / f"pairs-{storage.digest([[p.input, p.output] for p in pairs])[:20]}"
    everything = c.task.selection.model_copy(update={"related": "share", "related_share": 1.0})
    own = dataclasses.replace(c, task=c.task.model_copy(update={"selection": everything}))
    return own, pool_of(pairs, folder, c.task.instruction)


def gather(c: Context, pool: Pool, settings: SelectionSettings, seed: int, texts: Sequence[str]) -> Material:
    """Return what strategies choose by; what costs time is made when it is asked for, and kept in the cache."""
    folder = _cache() / f"encodings-{storage.digest([pool.sha256, settings.encoder, c.files.digest])[:20]}"
    held: dict[str, Any] = {}

    def codes() -> tuple[kcenter.Codes, kcenter.Codes]:
        if "codes" not in held:
            c.bench.close()
            opened = partial(open_encoder, c.task, c.files, settings.encoder)
            encoder = opened()
            launch = c.task.launch
            encode = encode_here(encoder)
            if launch.uses_ray:
                encode = encode_with_ray(opened, launch.workers, launch.ray_address)
            with c.reporter.track("encoding", pool.rows, "rows") as update:
                found = encoded(pool, encode, folder, update)
            held["codes"] = found, kcenter.encode(encoder.encode(texts), largest=1.0)
        made: tuple[kcenter.Codes, kcenter.Codes] = held["codes"]
        return made

    def clusters() -> Clusters:
        if "clusters" not in held:
            found = codes()[0]
            with c.reporter.track("clusters", pool.rows, "rows") as update:
                held["clusters"] = cluster(found, settings.clusters, c.task.seed, update, library=settings.clustering)
        made: Clusters = held["clusters"]
        return made

    def own_part() -> Region:
        target = vectors_of(codes()[1])
        if settings.related == "clusters":
            return region_fallen_into(clusters(), target)
        return region_of_share(clusters(), target, related_share_of(settings, pool.rows))

    return Material(
        pool=pool,
        tokens=_tokens(c, pool, folder.parent),
        budget=budget_of(settings, pool.rows),
        seed=seed,
        make_codes=codes,
        make_clusters=clusters,
        make_region=own_part,
        open_engine=lambda: (c.bench.base(), c.bench.prompts),
        gradients=partial(_gradients, c, pool, seed),
    )


def _write(stage: Stage, pool: Pool, chosen: Selected) -> None:
    storage.write_json(stage.path / "selection.json", chosen.to_dict())
    rows = pool.take(chosen.rows)
    stage.write_records(
        "selected", [{"input": r.input, "output": r.output, "instruction": r.instruction} for r in rows]
    )
    stage.finish(
        {
            "rows": len(chosen.rows),
            "tokens": chosen.tokens,
            "pool_rows": pool.rows,
            "region_rows": chosen.region_rows,
            "filled": chosen.filled,
            "digest": chosen.digest,
        }
    )


def _target_texts(c: Context, pool: Pool) -> list[str]:
    """Return the texts that show where the task lies: its examples as the pool's rows are, and unlabelled inputs."""
    more = read_inputs(c.task.selection.inputs) if c.task.selection.inputs else []
    texts = [*(e.input for e in c.task.examples), *more]
    return texts if pool.instruction else [f"{c.task.instruction}\n\n{text}" for text in texts]


def open_encoder(task: Task, files: ModelFiles, name: str) -> Encoder:
    """Return the encoder of a name as ``selection.encoder`` has it."""
    if name.startswith("static:"):
        return StaticEncoder(name.removeprefix("static:"))
    if name == "student":
        return SentenceEncoder(files.path, device=task.engine.device, dtype=task.engine.dtype)
    return SentenceEncoder(resolve_model(name).path, device=task.engine.device, dtype=task.engine.dtype)


def _tokens(c: Context, pool: Pool, folder: Path) -> npt.NDArray[np.int64]:
    """Return every row's tokens, prompt and answer, by the student's tokenizer; counted once."""
    path = folder / f"tokens-{storage.digest([pool.sha256, c.files.digest])[:20]}.npy"
    if not path.exists():
        counts: list[int] = []
        with c.reporter.track("tokens", pool.rows, "rows") as update:
            for rows in pool.pieces():
                for begin in range(0, len(rows), 1024):
                    part = [f"{r.input}\n{r.output}" for r in rows[begin : begin + 1024]]
                    counts += [len(ids) + 1 for ids in c.bench.tokenizer(part, add_special_tokens=False)["input_ids"]]
                    update(len(counts), 0)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial_path = path.with_suffix(".partial.npy")
        np.save(partial_path, np.array(counts, np.int64))
        partial_path.replace(path)
    found: npt.NDArray[np.int64] = np.load(path)
    return found


def _gradients(
    c: Context, pool: Pool, seed: int, rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return projected gradients of rows and of the task's examples, after a warm-up on random rows of the pool."""
    import tempfile

    from metier.training.examples import encode_examples
    from metier.training.gradients import example_gradients
    from metier.training.tune import tune

    task, tokenizer = c.task, c.bench.tokenizer
    c.bench.close()

    def encode(pairs: Sequence[Example]) -> Any:
        return encode_examples(pairs, task.instruction, (), c.bench.prompts, tokenizer, task.training.max_length)[0]

    warm = np.sort(np.random.default_rng(seed).choice(pool.rows, min(pool.rows, _WARM_UP_ROWS), replace=False))
    settings = task.training.model_copy(update={"method": "lora", "epochs": 1})
    with tempfile.TemporaryDirectory() as folder:
        tuned = tune(
            c.files.path, encode(pool.take(warm.tolist())), (), settings, task.engine, folder=Path(folder), seed=seed
        )
        take = partial(example_gradients, c.files.path, tuned.folder, engine=task.engine, seed=seed)
        with c.reporter.track("gradients", len(rows), "rows") as update:
            found = take(encode(pool.take(rows.tolist())), progress=update)
        target = take(encode([Example(e.input, e.output) for e in task.examples]))
    return found, target


def _cache() -> Path:
    return cache_folder().parent / "selection"
