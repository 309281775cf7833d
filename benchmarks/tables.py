"""Writes the tables of the pages from the result files, between markers; the rest of a page stays as it is.

    python benchmarks/tables.py            # rewrites the pages that are out of date
    python benchmarks/tables.py --check    # changes nothing; exits with 1 if a page is out of date

A page says where a table goes: ``<!-- table: NAME -->`` on one line and ``<!-- end -->`` on another. Needs the standard
library alone.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import tables_products
import tables_runs
import tables_selection
import tables_self_guide
import tables_serving
import tables_writing
from tables_format import ROOT

PAGES = ("README.md", "docs/results.md", "docs/experiments.md", "docs/products.md", "docs/scale.md", "docs/serving.md")
TABLES: Mapping[str, Callable[[], str]] = {
    "demo": tables_runs.demo,
    "demo-verdict": tables_runs.demo_verdict,
    "examples": tables_runs.examples,
    "example-seconds": tables_runs.example_seconds,
    "products": tables_products.products,
    "product-means": tables_products.product_means,
    "product-costs": tables_products.product_costs,
    "tolerance": tables_products.tolerance,
    "encoders": tables_products.encoders,
    "input-form": tables_runs.input_form,
    "readings": tables_self_guide.readings,
    "self-guide-tasks": partial(tables_self_guide.tasks, "qwen2.5-coder-0.5b-instruct"),
    "self-guide-task-means": tables_self_guide.means,
    "self-guide-variants": tables_self_guide.variants,
    "beginnings": tables_serving.beginnings,
    "serving": tables_serving.serving,
    "serving-answers": tables_serving.same_answers,
    "self-guide": tables_runs.self_guide,
    "self-guide-means": tables_runs.self_guide_means,
    "need": tables_runs.need,
    **{f"need-{name}": partial(tables_runs.need_in_full, name) for name in tables_runs.NEED_TASKS},
    "speed": tables_selection.speed,
    "generation": tables_selection.generation,
    "precision": tables_selection.precision,
    "side-by-side": tables_selection.side_by_side,
    "training": tables_selection.training,
    "training-loss": tables_selection.training_loss,
    "k-centre": tables_selection.k_centre,
    "regions": tables_selection.regions,
    "published-low-data": tables_selection.published,
    "low-data": tables_selection.low_data,
    "low-data-budgets": tables_selection.low_data_budgets,
    "writing-smollm2": partial(tables_writing.outcomes, "smollm2"),
    "writing-qwen": partial(tables_writing.outcomes, "qwen"),
    "writing-edit-weight": tables_writing.edit_weight,
    "writing-labels": tables_writing.labels,
    "writing-variants": tables_writing.variants,
    "writing-sizes": tables_writing.sizes,
    "writing-left-out": tables_writing.left_out,
}
BLOCK = re.compile(r"<!-- table: (?P<name>[^ ]+) -->\n(?P<body>.*?)<!-- end -->", re.DOTALL)
_MARKERS = re.compile(r"<!-- (?:table: [^ ]+|end) -->")


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Rewrite the pages, or say which are out of date, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a page is out of date")
    check = parser.parse_args(arguments).check
    changed = 0
    for page in PAGES:
        path = root / page
        before = path.read_text(encoding="utf-8")
        after = rewritten(before, page)
        if before == after:
            continue
        changed += 1
        if check:
            print(f"{page} is out of date: run make results", file=sys.stderr)
        else:
            path.write_text(after, encoding="utf-8")
            print(f"{page} rewritten")
    return 1 if check and changed else 0


def rewritten(text: str, page: str) -> str:
    """Return a page's text with its tables made again.

    Raises:
        ValueError: It names a table that there is none of, or a marker has no partner.
    """
    blocks = list(BLOCK.finditer(text))
    if len(_MARKERS.findall(text)) != 2 * len(blocks):
        raise ValueError(f"{page}: a table's marker has no <!-- end -->, or the other way round")
    unknown = {block["name"] for block in blocks} - TABLES.keys()
    if unknown:
        raise ValueError(f"{page}: no such table: {', '.join(sorted(unknown))}")
    return BLOCK.sub(
        lambda block: f"<!-- table: {block['name']} -->\n\n{TABLES[block['name']]()}\n\n<!-- end -->", text
    )


if __name__ == "__main__":
    sys.exit(main())
