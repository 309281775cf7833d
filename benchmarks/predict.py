"""What `metier predict` takes in time and memory: a TF-IDF product over files of more and more rows.

Run it with: python benchmarks/predict.py [--rows 10000 200000 1000000] [--format jsonl] [--out results/predict.json]

The product is learnt from the sentences of examples/newspaper-sections, and the rows are made of their words. Each file
is answered by the command in a process of its own, whose peak memory is what is reported: it has to stay where it is
while the file grows. Results are added to the file by input format and number of rows; a processor's seconds are those
of the whole process, its start included.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from metier import __version__
from metier.core.progress import Reporter
from metier.core.records import Example
from metier.core.run_folder import Run, peak_memory
from metier.core.step import Artifact
from metier.data.pairs import read_examples
from metier.evaluation.records import Confidence
from metier.runs.machine import machine
from metier.systems import tfidf
from metier.systems.base import Keep, Material, Tools
from metier.systems.product import save_product
from metier.systems.product_record import FORMAT, Product

_ROOT = Path(__file__).resolve().parents[1]
_SENTENCES = _ROOT / "examples" / "newspaper-sections" / "test.jsonl"
_RESULTS = _ROOT / "benchmarks" / "results" / "predict.json"


def main(argv: Sequence[str] | None = None) -> None:
    """Answer a file of each size, and write down what each took."""
    arguments = _arguments(argv)
    with tempfile.TemporaryDirectory() as folder:
        product = make_product(Path(folder) / "product")
        measured = {}
        for rows in arguments.rows:
            source = write_rows(Path(folder) / f"rows.{arguments.format}", rows)
            code = f"from benchmarks.predict import answer; answer({str(product)!r}, {str(source)!r})"
            told = subprocess.run([sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=True)
            measured[f"{arguments.format}, {rows}"] = json.loads(told.stdout.splitlines()[-1]) | {"rows": rows}
            print(f"{rows:,} rows: {told.stdout.splitlines()[-1]}", flush=True)
            source.unlink()
    earlier = json.loads(arguments.out.read_text(encoding="utf-8"))["measured"] if arguments.out.exists() else {}
    result = {"machine": dataclasses.asdict(machine()), "measured": earlier | measured}
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


def answer(product: str, source: str) -> None:
    """Answer a file by the command, and print what it took."""
    from metier.cli import run_cli

    rows = Path(source)
    out = rows.with_name(f"answers{rows.suffix}")
    begin = time.perf_counter()
    code = run_cli(["predict", product, source, "-o", str(out), "--quiet"])
    seconds = time.perf_counter() - begin
    facts = {"seconds": round(seconds, 2), "processor_seconds": round(time.process_time(), 2)}
    print(json.dumps(facts | {"peak_bytes": _own_peak(), "out_bytes": out.stat().st_size, "code": code}))
    out.unlink()


def _own_peak() -> int:
    """Return the most memory that this process has held; the usual count also holds what its parent had."""
    status = Path("/proc/self/status")
    if not status.exists():
        return peak_memory()
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def make_product(folder: Path) -> Path:
    """Learn a TF-IDF product and save it."""
    pairs = read_examples(_SENTENCES, labels=None).examples
    labels = tuple(sorted({pair.output for pair in pairs}))
    learned = tfidf.learn(Material(labels, labelled=pairs), _tools(folder), source="labelled")
    confidence = Confidence(temperature=1.5, brier=0.1, calibration_error=0.1, rows=len(pairs))
    product = Product(
        FORMAT, __version__, "newspaper-sections", "Name the section.", labels, "tfidf_train", "TF-IDF on train",
        "classic", learned.form, None, None, confidence, None, "it is what is measured here", learned.nbytes,
    )  # fmt: skip
    save_product(product, learned, None, folder)
    return folder


def write_rows(path: Path, rows: int) -> Path:
    """Write a file of rows with a number and a text of the sentences' words; JSON Lines, CSV or Parquet."""
    pairs = read_examples(_SENTENCES, labels=None).examples
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        schema = pyarrow.schema([("id", pyarrow.int64()), ("input", pyarrow.string())])
        with pyarrow.parquet.ParquetWriter(path, schema) as writer:
            batch: list[dict[str, object]] = []
            for number, text in _texts(pairs, rows):
                batch.append({"id": number, "input": text})
                if len(batch) == 50_000 or number == rows - 1:
                    writer.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema))
                    batch = []
        return path
    with path.open("w", encoding="utf-8") as file:
        if path.suffix == ".csv":
            file.write("id,input\n")
        for number, text in _texts(pairs, rows):
            line = json.dumps({"id": number, "input": text}) if path.suffix == ".jsonl" else f'{number},"{text}"'
            file.write(line + "\n")
    return path


def _texts(pairs: Sequence[Example], rows: int) -> Iterator[tuple[int, str]]:
    draw = random.Random(0)
    words = [word.replace('"', "") for pair in pairs for word in pair.input.split()]
    for number in range(rows):
        yield number, " ".join(draw.choices(words, k=draw.randint(6, 18)))


def _tools(folder: Path) -> Tools:
    def none(*_: object) -> None:
        raise AssertionError("no model is asked")

    keep = Keep(Run(folder), Reporter(quiet=True))
    return Tools(Artifact("", folder), none, none, none, keep)  # type: ignore[arg-type]


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 200_000, 1_000_000])
    parser.add_argument("--format", choices=("jsonl", "csv", "parquet"), default="jsonl")
    parser.add_argument("--out", type=Path, default=_RESULTS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
