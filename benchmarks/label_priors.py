"""What is best taken off a label's likelihood: a tuned model's labels read in every way, beside what it writes.

Takes the folders of finished runs of classification tasks, opens each run's tuned model once, and answers its test rows
by the likeliest label after taking off

- nothing: by the mean over a label's tokens (``mean``) or their sum (``total``);
- ``content_free``: how likely each label is after inputs that say nothing;
- ``synthetic``: the same after up to 200 of the model's own synthetic inputs, every label counting alike;
- ``real``: the same after real inputs without their answers: the test's own, half of them for the prior and the other
  half answered, then the other way round.

For each way: the accuracy on each task, its paired gain over writing (``writing``) with a 95% interval, and the means
over the tasks of a model. With ``--skew 0.8`` test rows are drawn so that the commonest label has that share: a prior
from real inputs takes a test's own balance off with the model's bias, and this shows what that costs.

    python benchmarks/label_priors.py runs/A runs/B [--skew 0.8]

What the model is asked is kept in the run folders: the same command asks nothing twice. Results of other skews stay in
the file.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import metier
from metier.core import storage
from metier.core.codec import encode
from metier.core.errors import UserError
from metier.core.progress import Reporter
from metier.core.records import Example
from metier.core.run_folder import open_run
from metier.evaluation.measure import Measure, score_main
from metier.evaluation.scored import Scored
from metier.evaluation.statistics import mean_over_tasks
from metier.runs.load import load_facts
from metier.runs.machine import machine
from metier.steps.answer import material_of
from metier.steps.context import Context, open_context
from metier.steps.gather import TaskRows, gather
from metier.steps.mix import mix_pairs
from metier.steps.pairs import choose_pairs, write_pairs
from metier.steps.train import train, weights_of
from metier.systems import scored, written
from metier.systems.asker import LabelScores, open_asker
from metier.systems.base import Material
from metier.systems.registry import SPECIALIST, SYSTEMS
from metier.tasks.scenario import Scenario, of_one
from metier.tasks.task import Task

WRITING = "writing"
WAYS = ("mean", "total", "content_free", "synthetic", "real")


@dataclasses.dataclass(frozen=True)
class Measured:
    """One run's answers, scored.

    Attributes:
        task: The task.
        model: The base model.
        rows: Test rows.
        commonest: The share of the commonest label among them.
        scores: Accuracy by way, ``writing`` among them; a way that cannot be had is left out.
        measure: How they were scored.
    """

    task: str
    model: str
    rows: int
    commonest: float
    scores: Mapping[str, Scored]
    measure: Measure

    def told(self) -> dict[str, Any]:
        """Return accuracies and gains, ready for JSON."""
        ways = {}
        for way, score in self.scores.items():
            gain = None if way == WRITING else self.measure.gain(score, self.scores[WRITING])
            ways[way] = {"accuracy": round(score.corpus, 2), "gain_over_writing": encode(gain)}
        about = {"task": self.task, "model": self.model, "rows": self.rows}
        return {**about, "share_of_commonest_label": round(self.commonest, 3), "ways": ways}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure every run and write the results."""
    arguments = _arguments(argv)
    measured = [
        measure_run(folder, skew=arguments.skew, rows=arguments.rows, reporter=Reporter(quiet=arguments.quiet))
        for folder in arguments.runs
    ]
    result = {
        "metier_version": metier.__version__,
        "machine": encode(machine()),
        "runs": [one.told() for one in measured],
        "mean": means(measured),
    }
    results: dict[str, Any] = storage.read_json(arguments.out) if arguments.out.exists() else {}
    name = "as in the test file" if arguments.skew is None else f"skew {arguments.skew:g}"
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    storage.write_json(arguments.out, results | {name: result})
    print(json.dumps({"results": str(arguments.out), "test rows": name, "mean": result["mean"]}))


def means(measured: Sequence[Measured]) -> dict[str, dict[str, Any]]:
    """Return, by model and way, the mean accuracy over the tasks and the mean gain over writing, with its interval.

    The interval is over tasks and rows; a single task has none.
    """
    found: dict[str, dict[str, Any]] = {}
    for model in sorted({one.model for one in measured}):
        for way in (WRITING, *WAYS):
            own = [one for one in measured if one.model == model and way in one.scores]
            if not own:
                continue
            gain = None if way == WRITING else mean_over_tasks([(o.scores[way], o.scores[WRITING]) for o in own])
            accuracy = float(np.mean([one.scores[way].corpus for one in own]))
            found.setdefault(model, {})[way] = {
                "tasks": len(own),
                "accuracy": round(accuracy, 2),
                "gain_over_writing": encode(gain),
            }
    return found


def measure_run(folder: Path, *, skew: float | None, rows: int | None, reporter: Reporter) -> Measured:
    """Answer a finished run's test rows in every way.

    Args:
        folder: The run folder of one task file.
        skew: The share of the commonest label among the rows; None: the rows the run was tested on.
        rows: How many rows to draw with ``skew``, at most; None: as many as the run was tested on.
        reporter: Where progress goes.

    Raises:
        UserError: There is no finished run of a classification task with a test file in the folder.
    """
    facts = load_facts(folder)
    if facts.metier_version != metier.__version__:
        raise UserError(
            f"{folder}: made by Metier {facts.metier_version}, and this is {metier.__version__}",
            hint="the same metier run command makes it again",
        )
    if facts.settings != storage.read_json(folder / "task.json"):
        # Another run was begun in the folder and did not end: going on would make its data and its model.
        raise UserError(
            f"{folder}: task.json has other settings than the finished run",
            hint="the same metier run command brings the run up to date",
        )
    task = Task.model_validate(facts.settings)
    if task.labels is None:
        raise UserError(f"{folder}: this task has no labels")
    scenario = of_one(task)
    given = gather(scenario)[task.name]
    if not given.tested:
        raise UserError(f"{folder}: this run had no test set", hint="name one with test: and run it again")
    tested = given.tested if skew is None else skewed(given.test, skew, rows or len(given.tested), task.seed)
    with open_run(folder) as run:
        c = open_context(scenario, run, reporter)
        texts = _answers(c, task, _material(c, scenario, given), tested)
        c.slot.close()
    measure = Measure("exact_match", task.labels, task.evaluation.resamples, task.seed)
    scores = {way: score_main(measure, tested, found) for way, found in texts.items()}
    commonest = max(Counter(row.output for row in tested).values()) / len(tested)
    return Measured(task.name, facts.model.name, len(tested), commonest, scores, measure)


def skewed(rows: Sequence[Example], share: float, several: int, seed: int) -> tuple[Example, ...]:
    """Return rows drawn by the seed so that the commonest label has a share, in their order.

    Args:
        rows: What to draw from.
        share: Of the commonest label; of equally common ones the first.
        several: How many rows, at most: fewer where there are too few of one kind.
        seed: Seeds the draw.

    Raises:
        UserError: There are no rows of one kind or the other.
    """
    ((label, _),) = Counter(row.output for row in rows).most_common(1)
    common = [i for i, row in enumerate(rows) if row.output == label]
    others = [i for i, row in enumerate(rows) if row.output != label]
    size = min(several, int(len(common) / share + 1e-9), int(len(others) / (1 - share) + 1e-9))
    of_common = round(share * size)
    if not 0 < of_common < size:
        raise UserError(f"--skew {share:g}: {len(rows)} test rows, {len(common)} of them {label!r}, are too few")
    rng = random.Random(storage.seed_of(seed, "skew"))
    return tuple(rows[i] for i in sorted(rng.sample(common, of_common) + rng.sample(others, size - of_common)))


def _material(c: Context, scenario: Scenario, rows: TaskRows) -> Material:
    """Return what the run's specialist had, from the run's own steps; all of them are on file."""
    pairs = choose_pairs(c, scenario, rows, write_pairs(c, scenario, rows))
    mixture = mix_pairs(c, scenario, [pairs.part], {rows.task.name: rows})
    trained = train(c, rows.task, mixture.value.rows)
    if not trained.before:
        raise UserError(
            f"{c.run.folder}: its model was not on file and has been made again",
            hint="the same metier run command brings the run up to date; then measure it again",
        )
    return material_of(c, rows, mixture.value.of(rows.task.name), {"task": weights_of(trained)})


def _answers(c: Context, task: Task, material: Material, rows: Sequence[Example]) -> dict[str, Sequence[str]]:
    """Return the tuned model's answers to some rows, by way; without synthetic pairs there is no such prior."""
    tools = c.tools(c.of(task.name))
    seen = SYSTEMS[SPECIALIST].seen(material)
    texts = [row.input for row in rows]
    found: dict[str, Sequence[str]] = {}
    found[WRITING] = written.learn(seen, tools, tuned="task").answer(texts, tools.keep).texts
    readings: tuple[scored.Reading, ...] = ("mean", "total")
    for reading in readings:
        found[reading] = scored.learn(seen, tools, tuned="task", reading=reading).answer(texts, tools.keep).texts
    for prior in ("content_free", "synthetic"):
        if prior == "content_free" or material.synthetic:
            learned = scored.learn(dataclasses.replace(seen, label_prior=prior), tools, tuned="task")
            found[prior] = learned.answer(texts, tools.keep).texts
    asker = open_asker(seen, tools, tuned="task", shows="as trained")
    found["real"] = by_the_other_half(asker.score(texts, tools.keep), task.labels or (), task.seed)
    return found


def by_the_other_half(given: LabelScores, labels: Sequence[str], seed: int) -> list[str]:
    """Return the likeliest labels of each half of the rows, after taking off their mean over the other half.

    Args:
        given: How likely each label is after each input.
        labels: The labels.
        seed: Seeds the halves.
    """
    there = [i for i, row in enumerate(given.logprobs) if row]
    random.Random(storage.seed_of(seed, "halves")).shuffle(there)
    halves = there[: len(there) // 2], there[len(there) // 2 :]
    answers = [""] * len(given.logprobs)
    for own, other in (halves, halves[::-1]):
        prior = _mean([given.logprobs[i] for i in other], len(labels))
        for i in own:
            answers[i] = labels[int((np.array(given.logprobs[i]) - prior).argmax())]
    return answers


def _mean(rows: Sequence[Sequence[float]], labels: int) -> npt.NDArray[np.float64]:
    """Return the mean over rows; nothing, where there are none."""
    found: npt.NDArray[np.float64] = np.array(rows).mean(axis=0) if rows else np.zeros(labels)
    return found


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError("it must be between 0 and 1")
    return share


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs")
    parser.add_argument("--skew", type=_share, help="share of the commonest label; default: the rows of the run")
    parser.add_argument("--rows", type=int, help="with --skew: test rows at most; default: as many as the run's")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/label_priors.json"))
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
