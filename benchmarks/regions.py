"""How well the task's part of a pool is found, and a core set of it, on tasks of which the right rows are known.

The pool is P3, whose templates say which data set a row is from. A task is one template of a data set that has others:
a few of its prompts show it, its own rows are taken out of the pool, and right is whatever is of the same data set. For
each way of finding the task's part: the share of right rows in it, and in the core set that k-centre takes of it.

    python benchmarks/regions.py --data FOLDER

The last line is a JSON object: by way, ``rows``, ``precision`` and ``core_set_precision``, means over the tasks.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet
from rich.console import Console
from rich.table import Table

from metier.core.progress import Reporter
from metier.core.records import Example
from metier.models.encoder import SentenceEncoder
from metier.models.locate import resolve_model
from metier.selection import kcenter
from metier.selection.cluster import Clusters, Region, cluster, region_fallen_into, region_of_share
from metier.selection.encodings import encode_here, encoded, vectors_of
from metier.selection.pool import pool_of
from metier.selection.strategies.k_center import core_set

_DATA_SETS = (
    "adversarial_qa",
    "ag_news",
    "amazon_polarity",
    "app_reviews",
    "common_gen",
    "commonsense_qa",
    "cosmos_qa",
    "dbpedia_14",
    "dream",
    "gigaword",
    "glue_mrpc",
    "glue_qqp",
    "imdb",
    "kilt_tasks_hotpotqa",
    "paws",
    "qasc",
    "quarel",
    "quartz",
    "ropes",
    "rotten_tomatoes",
    "samsum",
    "sciq",
    "social_i_qa",
    "trec",
    "wiki_bio",
    "wiki_qa",
    "wiqa",
    "xsum",
    "yelp_review",
)
_LEAST = 100  # right rows, for a task to count
_TEMPLATES = 4  # of a data set, at most

Find = Callable[[Clusters, npt.NDArray[np.float32], float], Region]
WAYS: dict[str, Find] = {
    "clusters that a text falls into": lambda clusters, target, budget: region_fallen_into(clusters, target),
    "most like all texts, twice the budget": lambda c, target, budget: region_of_share(c, target, 2 * budget),
    "most like all texts, four times": lambda c, target, budget: region_of_share(c, target, 4 * budget),
    "most like all texts, ten times": lambda c, target, budget: region_of_share(c, target, 10 * budget),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Encode the pool, try every way on every task, and print the means."""
    arguments = _arguments(argv)
    table = pyarrow.parquet.read_table(arguments.data / "instruct" / "p3_sample.parquet").to_pylist()
    template_of = {r["prompt"]: r["template"] for r in table if len(r["prompt"]) <= arguments.characters}
    with tempfile.TemporaryDirectory() as folder:
        pool = pool_of([Example(text, "-") for text in template_of], Path(folder) / "pool", "")
        encoder = SentenceEncoder(resolve_model(arguments.encoder).path)
        with Reporter(quiet=False).track("encoding", pool.rows, "rows") as update:
            codes = np.array(encoded(pool, encode_here(encoder), Path(folder) / "codes", update))
        templates = np.array([template_of[row.input] for rows in pool.pieces() for row in rows])
    measured = measure(codes, templates, cluster(codes, None, 0), arguments.texts, arguments.budget)
    shown = Table("the task's part", "rows", "right", "right in the core set", box=None, pad_edge=False)
    told = {}
    for name, values in measured.items():
        means = np.mean(values, axis=0)
        shown.add_row(name, f"{means[0]:.0f}", f"{means[1]:.2f}", f"{means[2]:.2f}")
        told[name] = dict(zip(("rows", "precision", "core_set_precision"), means.round(4).tolist(), strict=True))
    Console().print(shown)
    tasks = len(next(iter(measured.values())))
    print(json.dumps({"pool_rows": len(templates), "tasks": tasks, "texts": arguments.texts, "by": told}))


def measure(
    codes: kcenter.Codes, templates: npt.NDArray[np.str_], clusters: Clusters, texts: int, budget: float
) -> dict[str, list[tuple[int, float, float]]]:
    """Return, by way, for every task: rows in its part, the share of them that is right, and that of the core set."""
    rng = np.random.default_rng(0)
    sets = np.array([data_set(str(template)) for template in templates])
    found: dict[str, list[tuple[int, float, float]]] = {name: [] for name in WAYS}
    for name in _DATA_SETS:
        for template in sorted(set(templates[sets == name].tolist()))[:_TEMPLATES]:
            own = np.flatnonzero(templates == template)
            others = np.flatnonzero(templates != template)
            right = sets[others] == name
            if right.sum() < _LEAST or len(own) < texts:
                continue
            target = vectors_of(codes[rng.choice(own, texts, replace=False)])
            rest = Clusters(clusters.centres, clusters.of[others])
            for way, find in WAYS.items():
                part = find(rest, target, budget)
                rows = kcenter.Budget(round(budget * len(others)))
                core = np.asarray(core_set(codes[others[part.rows]], rest, part, rows), np.int64)
                found[way].append((len(part.rows), right[part.rows].mean(), right[part.rows[core]].mean()))
    return found


def data_set(template: str) -> str:
    """Return the data set that a P3 template's name begins with; its own name where none is known."""
    return next((name for name in _DATA_SETS if template.startswith(name)), template)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with instruct/p3_sample.parquet")
    parser.add_argument("--characters", type=int, default=500, help="longest prompt that is taken")
    parser.add_argument("--texts", type=int, default=5, help="prompts that show a task")
    parser.add_argument("--encoder", default="all-minilm-l6-v2", help="catalogue name or folder")
    parser.add_argument("--budget", type=float, default=0.005, help="rows of a core set, as a share of the pool")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
