"""Makes what whole runs need: tiny tasks and scenarios with their data, and what a run folder holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from metier.core import storage
from metier.core.codec import decode
from metier.report.facts import RunFacts
from metier.report.scenario_facts import ScenarioFacts
from metier.runs.calibrate import UnitCosts
from metier.systems.registry import SYSTEMS

TASK = """\
name: tiny
instruction: Name the team.
labels: [billing, delivery]
examples:
  - {{input: I was charged twice, output: billing}}
  - {{input: the parcel is late, output: delivery}}
model: {model}
test: test.jsonl
engine: {{dtype: float32, device: cpu}}
synthesis:
  inputs: 48
  input_max_tokens: 24
  noise_filter: false
  near_duplicates: null
  output_max_tokens: 6
  output_samples: 4
  min_pairs: 1
training: {{epochs: 2, batch_size: 2, checkpoint_steps: 2, holdout_share: 0.2}}
evaluation: {{resamples: 200, max_tokens: 6, timed_rows: 2, demonstration_tokens: 128}}
"""
FEW = ("evaluation.baselines=[few_shot]", "training.epochs=1", "evaluation.timed_rows=0")
"""Overrides of a run in which what is compared is beside the point."""
LOW_DATA = """\
recipe: low-data
pool: pool.jsonl
selection: {rows: 6, clusters: 4, controls: [random, related, pool], control_rows: 20}
"""
TEAMS = ("delivery", "billing")
_ASKING = [entry.key for entry in SYSTEMS.values() if entry.kind in ("prompted", "tuned", "specialist")]
COSTS = UnitCosts(
    load=1.0,
    raw_input=0.2,
    survive=0.5,
    answer=dict.fromkeys(_ASKING, 0.01),
    alone=dict.fromkeys(_ASKING, 0.1),
    example=0.05,
    tuning=4.0,
    pool_row=0.0,
    input_tokens=20,
    answer_tokens=3,
    example_tokens=60,
    memory_bytes=10**9,
)
"""What pieces of work might cost on some machine."""


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def make_task(folder: Path, model: Path, extra: str = "") -> Path:
    """Write a classification task of two labels and its ten test rows, and return the task file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "task.yaml"
    path.write_text(TASK.format(model=model) + extra)
    write_rows(folder / "test.jsonl", ({"input": f"case {i} charged", "output": TEAMS[i % 2]} for i in range(10)))
    return path


def make_labelled(folder: Path, rows: int = 12) -> None:
    """Write labelled rows of the task's into ``train.jsonl``."""
    write_rows(folder / "train.jsonl", ({"input": f"line {i} is down", "output": TEAMS[i % 2]} for i in range(rows)))


def make_pool(folder: Path, rows: int = 60) -> None:
    """Write a pool: half of it the task's, half another's, and one of the test rows."""
    half = rows // 2
    pool = [{"prompt": f"Which team? charged {i}", "completion": "billing"} for i in range(half)]
    pool += [{"prompt": f"Translate the word {i}", "completion": f"mot {i}"} for i in range(half)]
    pool.append({"prompt": "case 3 charged", "completion": "billing"})
    write_rows(folder / "pool.jsonl", pool)


REWRITING = """\
name: {name}
instruction: Do {name}.
wordings: [Please do {name}., Do the {name} now.]
unseen_wordings: [Kindly do {name}.]
examples:
  - {{input: the parcel come late, output: the parcel came late}}
  - {{input: I was charge twice, output: I was charged twice}}
metric: {metric}
train_where: {{task: {name}, split: [train]}}
test_where: {{task: {name}, split: test}}
"""
MIXTURE = """\
name: tiny
model: {model}
data: rows.jsonl
tasks: {{mend: , shorten: {{unchanged: 0.5}}}}
engine: {{dtype: float32, device: cpu}}
training: {{epochs: 1, batch_size: 4, holdout_share: 0.2, demonstrations: false}}
evaluation: {{resamples: 200, max_tokens: 6, timed_rows: 1, baselines: [zero_shot, few_shot, replacements]}}
"""
WORDS = ("parcel", "order", "app", "page", "search", "month", "input", "answer")


def make_scenario(folder: Path, model: Path) -> Path:
    """Write a scenario of two rewriting tasks, with generic data beside it, and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, metric in (("mend", "gleu"), ("shorten", "sari")):
        (folder / f"{name}.yaml").write_text(REWRITING.format(name=name, metric=metric))
    rows = []
    for task in ("mend", "shorten"):
        for i in range(24):
            said = f"the {task} {WORDS[i % 8]} {WORDS[i // 8]}"
            split = "train" if i < 16 else "test"
            row = {"input": f"{said} come late {i}", "references": [f"{said} came late {i}"]}
            rows.append({"task": task, "split": split, **row})
    write_rows(folder / "rows.jsonl", rows)
    generic = [{"instruction": f"Say {w}", "input": "", "output": w} for w in (*WORDS, *(w * 2 for w in WORDS))]
    write_rows(folder / "generic.jsonl", generic * 3)
    (folder / "mixture.yaml").write_text(MIXTURE.format(model=model))
    return folder


def contents(run: Path) -> dict[str, bytes]:
    """Return the files of a run folder that a repeated run must repeat to the byte.

    Times, and what is drawn from them (what is said of a product, and its digest, too), differ from run to run;
    everything else must not. A step's ``result.json`` is part of that, the run's own is not.
    """
    return {
        str(f.relative_to(run)): f.read_bytes()
        for f in sorted(run.rglob("*"))
        if f.is_file()
        and f.name not in ("cost.json", "report.html", ".lock", "product.json", "files.json", "made-from.json")
        and not f.name.startswith("events.out")
        and not (f.name == "result.json" and not (f.parent / "manifest.json").exists())
    }


def steps(run: Path) -> set[str]:
    """Return the step folders of a run, those of its tasks included."""
    return {str(f.parent.relative_to(run)) for f in run.rglob("manifest.json")}


def facts_of(run: Path) -> RunFacts:
    """Return the facts of a finished run of one task."""
    return decode(RunFacts, storage.read_json(run / "result.json"))


def scenario_of_run(run: Path) -> ScenarioFacts:
    """Return the facts of a finished run of several tasks."""
    return decode(ScenarioFacts, storage.read_json(run / "result.json"))


def mixed(run: Path) -> list[dict[str, Any]]:
    """Return the training set of a run that has one."""
    (path,) = run.glob("mixture-*/rows.jsonl")
    return read_rows(path)


def cost(run: Path, step: str) -> float:
    """Return the seconds of the one step of that name."""
    (path,) = run.glob(f"{step}-*/cost.json")
    return float(json.loads(path.read_text())["seconds"])
