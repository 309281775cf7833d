"""Low-data selection on many targets: does any way of choosing 0.5% of a pool beat as many rows at random?

The pool is P3 and Super-NaturalInstructions, up to 200 rows of at most 128 tokens for each template or task. A target
is one template whose data set (or kind of task) has others: a few of its rows show it, some are its test, and the pool
is the rest, in two series: ``related``, where the data set's other templates stay, and ``unrelated``, where they go.
Rows that share eight words in a row with a test row, other than the template's own, are left out of the pool.

    python benchmarks/low_data_targets.py --data FOLDER [--targets 12] [--series related unrelated] [--seeds 1]

For every target: the base model with the examples in its prompt, and the model tuned on rows chosen by chance, by every
strategy, on all rows that count as the target's, and (``related``) on as many rows of its own data set, which no
strategy knows. One JSON file for each target, RESULTS/MODEL/SERIES/TARGET.json, with the rows' scores, and
``means.json`` over them: each way's mean gain over chance with its interval over targets and rows, the targets won and
lost, and the sign test's p-value. The same command goes on where it stopped, and adds seeds; several may run side by
side with other ``--only``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet
from scipy.stats import binomtest
from transformers import AutoTokenizer

import row_scores
from metier.core import storage
from metier.core.codec import encode
from metier.core.progress import Reporter
from metier.core.records import Example
from metier.core.run_folder import open_run
from metier.evaluation import variants
from metier.evaluation.scored import mean_of
from metier.evaluation.statistics import mean_over_tasks
from metier.models.encoder import Encoder
from metier.models.locate import resolve_model
from metier.runs.machine import machine
from metier.selection.encodings import encode_here, encoded, keep
from metier.selection.pool import pool_of
from metier.steps.context import open_context
from metier.steps.gather import gather
from metier.steps.material import encoder_digest, encodings_folder, open_encoder
from metier.steps.select import open_task_pool
from metier.studies.of_rows import RowsPlan, variants_of
from metier.studies.study import Variant, measure_variant
from metier.tasks.recipes import recipe_settings
from metier.tasks.scenario import of_one
from metier.tasks.settings import EngineSettings
from metier.tasks.task import Task
from regions import data_set

SERIES = ("related", "unrelated")
CHANCE = "random"
OWN = "its own data set"
PUBLISHED = "k_center, published region"
_EACH = 200  # rows of a template or task
_LEAST = 120  # of them short enough, for a target
_SHOWN, _INPUTS = 5, 40  # a target's examples, and its inputs without answers
_GRAM = 8  # words
_COMMON = 3  # a run of words in so many rows of a template is the template's
_MOST_LABELS, _RAREST = 6, 0.05

Series = Literal["related", "unrelated"]


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One row of P3 or Super-NaturalInstructions; ``group`` is its data set, or the kind of its task."""

    template: str
    group: str
    prompt: str
    completion: str


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """What rows are chosen for; ``labels`` is None where answers are free text."""

    template: str
    group: str
    examples: tuple[Row, ...]
    inputs: tuple[Row, ...]
    test: tuple[Row, ...]
    labels: tuple[str, ...] | None


class Rows:
    """All rows, and their vectors, made once.

    Args:
        rows: The rows.
        folder: Where the vectors are kept.
        open_encoder: Opens what makes them.
    """

    def __init__(self, rows: Sequence[Row], folder: Path, open_encoder: Callable[[], Encoder]) -> None:
        self.rows = rows
        self._folder = folder
        self._open_encoder = open_encoder

    @cached_property
    def codes(self) -> Mapping[str, np.ndarray]:
        """Each prompt's vector, as `kcenter.encode` gives it."""
        pool = pool_of([Example(row.prompt, row.completion) for row in self.rows], self._folder / "pool", "")
        with Reporter().track("encoding", pool.rows, "rows") as update:
            found = encoded(pool, encode_here(self._open_encoder()), self._folder / "codes", update)
        prompts = [row.input for piece in pool.pieces() for row in piece]
        return dict(zip(prompts, np.array(found), strict=True))


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is asked for and write the results."""
    arguments = _arguments(argv)
    open_one = partial(open_encoder, resolve_model(arguments.model), EngineSettings(), arguments.encoder)
    rows = Rows(short_rows(arguments), arguments.runs / Path(arguments.model).name / "rows", open_one)
    wanted = targets(rows.rows)[: arguments.targets]
    print(f"targets: {', '.join(target.template for target in wanted)}", file=sys.stderr)
    for target in wanted:
        for series in arguments.series:
            path = arguments.results / Path(arguments.model).name / series / f"{target.template}.json"
            known = storage.read_json(path)["seeds"] if path.exists() else 0
            if known >= arguments.seeds or (arguments.only and target.template not in arguments.only):
                continue
            print(f"== {series} {target.template}", file=sys.stderr, flush=True)
            storage.write_json(path, _measured(arguments, rows, target, series))
            storage.write_json(arguments.results / "means.json", means(arguments.results))
    print(json.dumps({"results": str(arguments.results), "targets": [target.template for target in wanted]}))


def short_rows(arguments: argparse.Namespace) -> list[Row]:
    """Return the rows that are short enough by the student's tokenizer."""
    data: Path = arguments.data
    rows = [
        Row(r["template"], data_set(r["template"]), r["prompt"], r["completion"].removesuffix("<|endoftext|>").strip())
        for r in pyarrow.parquet.read_table(data / "instruct" / "p3_sample.parquet").to_pylist()
    ]
    rows += _of_superni(data)
    rows = [row for row in rows if row.prompt.strip() and row.completion]
    tokenizer = AutoTokenizer.from_pretrained(resolve_model(arguments.model).path)
    whole = tokenizer([f"{row.prompt}\n{row.completion}" for row in rows], add_special_tokens=False)["input_ids"]
    short = [row for row, ids in zip(rows, whole, strict=True) if len(ids) <= arguments.row_tokens]
    return list({row.prompt: row for row in short}.values())


def _of_superni(data: Path) -> Iterable[Row]:
    """Yield up to so many rows of each task, each prompt with its task's definition."""
    lines = (data / "superni" / "definitions.jsonl").read_text(encoding="utf-8").splitlines()
    told = {line["task"]: line for line in map(json.loads, lines)}
    table = pyarrow.parquet.read_table(data / "superni" / "instances.parquet").to_pylist()
    random.Random(0).shuffle(table)
    taken: Counter[str] = Counter()
    for r in table:
        if r["task"] in told and r["outputs"] and taken[r["task"]] < _EACH:
            taken[r["task"]] += 1
            task = told[r["task"]]
            definition = task["definition"] if isinstance(task["definition"], str) else task["definition"][0]
            yield Row(r["task"], task["categories"][0], f"{definition}\n\n{r['input']}", r["outputs"][0].strip())


def targets(rows: Sequence[Row]) -> list[Target]:
    """Return a target for each group of at least two templates: its template with most rows; the order is drawn."""
    by_group: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        by_group[row.group][row.template].append(row)
    found = []
    for group, templates in sorted(by_group.items()):
        template, own = max(sorted(templates.items()), key=lambda item: len(item[1]))
        if len(templates) >= 2 and len(own) >= _LEAST:
            found.append(_target(template, group, own))
    random.Random(0).shuffle(found)
    return found


def _target(template: str, group: str, own: Sequence[Row]) -> Target:
    rows = list(own)
    random.Random(storage.seed_of(0, template)).shuffle(rows)
    counts = Counter(row.completion for row in rows)
    labels = tuple(sorted(counts)) if 2 <= len(counts) <= _MOST_LABELS else None
    if labels and min(counts.values()) < _RAREST * len(rows):
        labels = None
    # With labels, an example of each as far as there is room for them.
    first = list({row.completion: row for row in reversed(rows)}.values())[:_SHOWN] if labels else []
    rows = [*first, *(row for row in rows if row not in first)]
    return Target(
        template,
        group,
        tuple(rows[:_SHOWN]),
        tuple(rows[_SHOWN : _SHOWN + _INPUTS]),
        tuple(rows[_SHOWN + _INPUTS :]),
        labels,
    )


def pool_for(rows: Sequence[Row], target: Target, series: Series) -> list[Row]:
    """Return what may be chosen for a target: nothing of its template, and nothing that holds part of a test row."""
    own = [row for row in rows if row.template == target.template]
    common = Counter(gram for row in own for gram in grams(row.prompt))
    tested = {gram for row in target.test for gram in grams(row.prompt) if common[gram] < _COMMON}
    return [
        row
        for row in rows
        if row.template != target.template
        and (series == "related" or row.group != target.group)
        and not tested & grams(row.prompt)
    ]


def grams(text: str) -> set[tuple[str, ...]]:
    """Return every run of eight words of a text."""
    words = text.lower().split()
    return {tuple(words[i : i + _GRAM]) for i in range(len(words) - _GRAM + 1)}


def _measured(arguments: argparse.Namespace, rows: Rows, target: Target, series: Series) -> dict[str, Any]:
    folder = arguments.runs / Path(arguments.model).name / series / target.template
    pool = pool_for(rows.rows, target, series)
    task = _task(arguments, target, pool, folder)
    found = gather(of_one(task))
    reporter = Reporter()
    told: dict[str, Any] = {"group": target.group, "labels": target.labels, "metric": task.main_metric}
    with open_run(folder) as run:
        c = open_context(of_one(task), run, reporter)
        opened = open_task_pool(c, task, [row.input for row in found[task.name].test])
        order = [row.input for piece in opened.pieces() for row in piece]
        encodings = encodings_folder(c, opened, encoder_digest(c.files, arguments.encoder))
        if not (encodings / "done.json").exists():
            keep(np.stack([rows.codes[text] for text in order]), encodings)
        told["pool_rows"] = opened.rows
        measured = [measure_variant(v, found, run, reporter) for v in _variants(arguments, task, target, pool, folder)]
    told["variants"] = {v.name: _rows_of(v, target.template) for v in measured}
    about = {"seeds": arguments.seeds, "share": arguments.share, "epochs": arguments.epochs}
    return {**told, **about, "machine": encode(machine())}


def _variants(
    arguments: argparse.Namespace, task: Task, target: Target, pool: Sequence[Row], folder: Path
) -> list[Variant]:
    """Return everything that is compared, chance first of what is tuned."""
    plan = RowsPlan(tuple(arguments.strategies), (arguments.share,), arguments.seeds)
    every = variants_of(task, plan)
    published = task.but(selection=task.selection.but(related="clusters", controls=()))
    budget = f", {100 * arguments.share:g}%"
    every = [dataclasses.replace(variant, name=variant.name.removesuffix(budget)) for variant in every]
    if "k_center" in plan.strategies:
        _, _, core = variants_of(published, dataclasses.replace(plan, strategies=("k_center",)))
        every.append(dataclasses.replace(core, name=PUBLISHED))
    if own := [row for row in pool if row.group == target.group]:
        path = folder / "own.jsonl"
        _write(path, own)
        rows = min(len(own), max(1, round(arguments.share * len(pool))))
        selection = task.selection.but(strategy="random", share=None, rows=rows, controls=())
        alone = of_one(task.but(pool=str(path.resolve()), selection=selection))
        every.append(Variant(OWN, alone, tuple(range(task.seed, task.seed + arguments.seeds))))
    return every


def _rows_of(variant: variants.Variant, task: str) -> dict[str, Any]:
    """Return each seed's score on every test row, as numbers with spaces between, and what was trained on."""
    scores = {str(seed): row_scores.written(one.rows) for seed, one in variant.scores[task].items()}
    return {"rows": scores, "facts": dict(variant.facts)}


def _task(arguments: argparse.Namespace, target: Target, pool: Sequence[Row], folder: Path) -> Task:
    for name, rows in (("pool", pool), ("test", target.test)):
        _write(folder / f"{name}.jsonl", rows)
    storage.write_lines(folder / "inputs.jsonl", [{"input": row.prompt} for row in target.inputs])
    settings = recipe_settings("low-data", classification=target.labels is not None)
    settings["training"] |= {"epochs": arguments.epochs}
    settings["evaluation"] |= {"limit": arguments.limit}
    return Task.model_validate(
        {
            "name": target.template,
            "instruction": "Do what the text asks.",
            "labels": target.labels,
            "examples": [{"input": row.prompt, "output": row.completion} for row in target.examples],
            "model": arguments.model,
            "recipe": "low-data",
            "pool": str((folder / "pool.jsonl").resolve()),
            "unlabelled": str((folder / "inputs.jsonl").resolve()),
            "test": str((folder / "test.jsonl").resolve()),
            "selection": {"encoder": arguments.encoder, "controls": ["related"]},
            **settings,
        }
    )


def _write(path: Path, rows: Sequence[Row]) -> None:
    if not path.exists():  # a pool that is written again would count as another
        storage.write_lines(path, [{"input": row.prompt, "output": row.completion} for row in rows])


def means(results: Path) -> dict[str, Any]:
    """Return by model and series what each way comes to over the targets, from the result files alone."""
    found: dict[str, Any] = {}
    for model in sorted(path for path in results.iterdir() if path.is_dir()):
        for series in sorted(path for path in model.iterdir() if path.is_dir()):
            told = {path.stem: storage.read_json(path)["variants"] for path in sorted(series.glob("*.json"))}
            found.setdefault(model.name, {})[series.name] = _over_targets(told)
    return found


def _over_targets(told: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    every = dict.fromkeys(name for variants in told.values() for name in variants)
    found: dict[str, Any] = {}
    for name in every:
        pairs = [
            (_together(one[name]), _together(one[CHANCE])) for one in told.values() if name in one and CHANCE in one
        ]
        gains = [ours.corpus - chance.corpus for ours, chance in pairs]
        won, lost = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
        found[name] = {"targets": len(pairs), "mean": round(float(np.mean([ours.corpus for ours, _ in pairs])), 2)}
        if name != CHANCE:
            sign = float(binomtest(won, won + lost).pvalue) if won + lost else None
            found[name] |= {"over_chance": encode(mean_over_tasks(pairs)), "won": won, "lost": lost, "sign_p": sign}
    return found


def _together(variant: Mapping[str, Any]) -> Any:
    """Return the mean over seeds of each row's score, as one score."""
    return mean_of(np.mean([row_scores.read(text) for text in variant["rows"].values()], axis=0))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with instruct/ and superni/")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--targets", type=int, default=12, help="how many, of those that there are")
    parser.add_argument("--only", nargs="+", metavar="TARGET", help="of them, these")
    parser.add_argument("--series", nargs="+", choices=SERIES, default=list(SERIES))
    parser.add_argument("--strategies", nargs="+", default=["nearest", "k_center", "less"], help="ways to choose")
    parser.add_argument("--share", type=float, default=0.005)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--limit", type=int, default=100, help="test rows of a target, at most")
    parser.add_argument("--row-tokens", type=int, default=128, help="longest row")
    parser.add_argument("--encoder", default="all-minilm-l6-v2", help="catalogue name, folder, or student")
    parser.add_argument("--runs", type=Path, default=Path("runs/low-data-targets"))
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/low_data_targets"))
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
