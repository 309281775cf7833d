"""Reckons what many tasks and large pools need, from the sizes of one task and the speed of one machine.

Prints the tables of docs/scale.md (a test holds the page to them). Nothing is measured here: the sizes of a task are
those of the demonstration run, the CPU's rates are those of docs/results.md, and a GPU's rates follow from its
arithmetic, at the share of it that is usually reached. Change the constants to what you have.

    python benchmarks/scale.py
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence

# One task of the default recipe (examples/newspaper-sections): 480 raw inputs, 245 pairs, 3 epochs, 150 test rows.
WRITTEN = 480 * 22 + 150 * 8 * 6  # tokens: raw inputs, and the answers of the prompted systems
READ = 480 * 6 * 40 + 150 * 8 * 45 + 150 * 5 * 10  # tokens: judging every input for every label, prompts, labels
TRAINED = 245 * 3 * 65  # tokens: prompt and answer, once an epoch
FIXED = 20.0  # seconds: opening the model four times, the encoder, the report; twice that where a GPU is set up
RUN_BYTES = 12e6  # adapter of rank 16, records, report; checkpoints are removed at the end

ROW_TOKENS = 64  # of a pool's row
ROW_BYTES = 300  # of its text, compressed
WIDTH = 384  # of its encoding
ENCODER = 22e6  # parameters
CHOSEN = 0.005  # share of a pool that is picked


@dataclasses.dataclass(frozen=True)
class Machine:
    """What a machine does: FLOP/s of dense bfloat16, and the shares of it that reading, writing and training reach."""

    name: str
    flops: float
    reading: float
    writing: float
    training: float
    per_hour: str


@dataclasses.dataclass(frozen=True)
class Model:
    """A causal model by its parameters."""

    name: str
    parameters: float


MODELS = (Model("135M", 135e6), Model("0.5B", 494e6), Model("1.5B", 1540e6), Model("7B", 7.6e9))
# 2 cores: 375 tokens/s written and about 1,900 read with 135M, 800 trained (docs/results.md), at 2 FLOP a parameter.
CPU = Machine("2 CPU cores", 1.0e12, 0.51, 0.10, 0.65, "core-hours x 2")
GPU = Machine("one 400 TFLOP/s GPU", 400e12, 0.4, 0.05, 0.3, "GPU-hours")


def task_seconds(model: Model, machine: Machine) -> float:
    """Return the seconds of one task: 2 FLOP a parameter and token forwards, 6 in training, and the fixed ones."""
    work = machine.flops / model.parameters / 2
    fixed = FIXED if machine is CPU else 2 * FIXED
    return (
        fixed
        + READ / (work * machine.reading)
        + WRITTEN / (work * machine.writing)
        + 3 * TRAINED / (work * machine.training)
    )


def tasks_table() -> str:
    """Return hours for 10, 1,000 and 100,000 tasks, by model and machine."""
    lines = [
        "| model | machine | one task | 10 tasks | 1,000 tasks | 100,000 tasks |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for model in MODELS:
        for machine in (CPU, GPU):
            one = task_seconds(model, machine)
            hours = [f"{_number(n * one / 3600)} h" for n in (10, 1_000, 100_000)]
            lines.append(f"| {model.name} | {machine.name} | {_time(one)} | {' | '.join(hours)} |")
    return "\n".join(lines)


def bytes_table() -> str:
    """Return what tasks leave on disk."""
    lines = ["| tasks | tokens written | tokens trained on | bytes kept |", "| ---: | ---: | ---: | ---: |"]
    for n in (10, 1_000, 100_000):
        lines.append(f"| {n:,} | {_number(n * WRITTEN)} | {_number(n * TRAINED)} | {_bytes(n * RUN_BYTES)} |")
    return "\n".join(lines)


def pools_table() -> str:
    """Return what selecting from pools of 10^6 to 10^9 rows takes."""
    lines = [
        "| rows | text | encodings, float16 | encode, 2 cores | encode, one GPU | distances of plain k-centre, 0.5% |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for power in (6, 7, 8, 9):
        rows = 10**power
        flop = 2 * ENCODER * ROW_TOKENS * rows
        seconds = [flop / (m.flops * m.reading * 0.5) for m in (CPU, GPU)]  # short texts fill a machine half
        distances = 2.0 * WIDTH * rows * rows * CHOSEN
        lines.append(
            f"| 10^{power} | {_bytes(rows * ROW_BYTES)} | {_bytes(rows * WIDTH * 2)} | {_time(seconds[0])} | "
            f"{_time(seconds[1])} | {_number(distances)} FLOP, {_time(distances / (GPU.flops * 0.1))} of one GPU |"
        )
    return "\n".join(lines)


def _number(value: float) -> str:
    for size, name in ((1e18, "e18"), (1e15, "e15"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _bytes(value: float) -> str:
    return f"{_number(value)}B"


def _time(seconds: float) -> str:
    for size, name in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.2g} s"


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(argv)
    print("\n\n".join((tasks_table(), bytes_table(), pools_table())))


if __name__ == "__main__":
    main()
