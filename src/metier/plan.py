"""Says beforehand how long a run takes and what memory it needs, and fits a run to a time.

The estimate is arithmetic on token counts and three rates (reading, writing, training tokens a second) that are
measured here in a few seconds with the task's own model. Knows nothing about how stages do their work.
"""

from __future__ import annotations

import dataclasses
import re
import time
from pathlib import Path
from typing import Any

from metier import storage
from metier.errors import UserError
from metier.records import Example
from metier.task import Task

_TRAIN_SHARE = 0.3  # training reads a token this much as fast as inference: forward, backward, and LoRA's own work
_TAILS = 2.5  # a batch of inputs lasts until its longest has ended, long after most have
_UNITS = {"s": 1, "m": 60, "h": 3600}
_SURVIVE = {"backward": 0.5, "self-guide": 0.4}  # share of raw inputs that becomes training pairs


@dataclasses.dataclass(frozen=True, slots=True)
class Rates:
    """What this machine does with this model, in tokens a second, and the bytes it holds with the model loaded."""

    read: float
    write: float
    train: float
    memory_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """An estimate of one run.

    Attributes:
        stages: Seconds by stage.
        counts: Raw inputs, training pairs and test rows it was made for.
        rates: What was measured.
        memory_bytes: About the most memory the run will hold.
    """

    stages: dict[str, float]
    counts: dict[str, int]
    rates: Rates
    memory_bytes: int

    @property
    def seconds(self) -> float:
        """The whole run."""
        return sum(self.stages.values())

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {**dataclasses.asdict(self), "seconds": self.seconds}


def estimate(task: Task, rates: Rates | None = None) -> Plan:
    """Estimate a run of the task on this machine.

    Args:
        task: What would run.
        rates: What was measured before; None: measure now (loads the model, takes about ten seconds).
    """
    from metier.data import read_examples
    from metier.models.locate import resolve_model
    from metier.pipeline.bench import Bench

    files = resolve_model(task.model, trust_remote_code=task.engine.trust_remote_code)
    bench = Bench(task, files)
    tokenizer, prompts = bench.tokenizer, bench.prompts

    def tokens(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    if rates is None:
        rates = measure(task, bench)
    test = read_examples(task.test, labels=task.labels) if task.test else None
    train = read_examples(task.train, labels=task.labels) if task.train else None
    rows = min(len(test.examples), task.evaluation.limit or len(test.examples)) if test else 0
    examples = [Example(e.input, e.output) for e in task.examples]
    size = _mean(tokens(e.input) for e in examples)
    answer = _mean(tokens(e.output) for e in examples) + 1
    few_shot = tokens(prompts.task(task.instruction, examples, "").text)
    bare = tokens(prompts.task(task.instruction, (), "").text)
    settings = task.synthesis
    synthetic = 0 if task.train_use == "instead" and train else settings.inputs
    kept = round(synthetic * _SURVIVE[settings.method])
    pairs = kept + (len(train.examples) if train else 0) + len(examples)
    labels = len(task.labels or ())
    if settings.method == "self-guide":
        prompt = few_shot + size * settings.earlier_inputs / 2
        writing = synthetic * (prompt / rates.read + size / _slow(rates.write, settings.prompts_per_round))
        writing += kept * (size / rates.read + settings.output_samples * answer / rates.write)
    else:
        own = 1.0 if task.labels else 2.0
        writing = own * synthetic * size * _TAILS / rates.write
        # Reading backwards needs logits at every token of an input, which costs what writing it does.
        read_back = labels * size if labels else 4 * answer
        writing += synthetic * (read_back / rates.write + (1 if labels else 4) * size / rates.read)
    shown = few_shot if task.prompt.specialist_demonstrations else bare
    training = task.seeds * pairs * (shown + size + answer) * task.training.epochs * 1.1 / rates.train
    test_size = _mean(tokens(e.input) for e in test.examples[:200]) if test else 0.0
    asked = rows * (test_size / rates.read + (answer + 8) / rates.write)
    scored = rows * (test_size + labels * answer) / rates.read if labels else 0.0
    wanted = set(task.evaluation.baselines)
    alone = min(rows, task.evaluation.timed_rows) * (test_size / rates.read + (answer + 8) / _slow(rates.write, 1))
    written = sum(name in wanted for name in ("zero_shot", "few_shot", "few_shot_best", "self_icl"))
    sampled = rows * (test_size / rates.read + 10 * (answer + 8) / rates.write) if "sampled_majority" in wanted else 0.0
    on_examples = "tuned_on_examples" in wanted
    few = len(examples) * (shown + size + answer) * 10 / rates.train if on_examples else 0.0
    stages = {
        "synthesis": writing,
        "training": training + (few if rows else 0.0),
        "baselines": written * asked + sampled + (scored if "label_scoring" in wanted else 0.0) + alone,
        "evaluation": asked * (2 if on_examples else 1) + scored + alone,
    }
    weights = rates.memory_bytes
    working = task.training.batch_size * (shown + size + answer) * 60_000
    return Plan(
        stages=stages,
        counts={"inputs": synthetic, "pairs": pairs, "test_rows": rows},
        rates=rates,
        memory_bytes=int(weights * (1.0 if task.training.method == "lora" else 8.0) + working),
    )


def measure(task: Task, bench: Any) -> Rates:
    """Measure reading and writing speed with the task's model on prompts of the task's own length."""
    from metier.engines.base import GenerationRequest
    from metier.runs import peak_memory

    engine, prompts = bench.base(), bench.prompts
    texts = [e.input for e in task.examples]
    rows = min(32, task.engine.batch_rows)

    def ask(new: int) -> float:
        asked = [
            GenerationRequest(
                prompts.task(task.instruction, (), f"{i} {texts[i % len(texts)]}"),
                max_tokens=new,
                temperature=1.0,
                seed=i,
            )
            for i in range(rows)
        ]
        start = time.perf_counter()
        engine.generate(asked)
        return time.perf_counter() - start

    ask(1)  # warm up: first-use costs are not the run's
    prompt_tokens, written = engine.stats.prompt_tokens, engine.stats.generated_tokens
    reading = ask(1)
    read = (engine.stats.prompt_tokens - prompt_tokens) / reading
    written = engine.stats.generated_tokens
    writing = ask(24) - reading
    write = (engine.stats.generated_tokens - written) / max(writing, 1e-3)
    bench.close()
    return Rates(read=read, write=write, train=read * _TRAIN_SHARE, memory_bytes=peak_memory())


def fit_to_budget(task: Task, seconds: float, folder: Path, rates: Rates | None = None) -> Task:
    """Return the task with fewer inputs, and then fewer test rows, so that it fits a time (measured with ``rates``).

    The choice is kept in the run folder: the same command with the same budget makes the same run again.

    Raises:
        UserError: Not even a small run (a tenth of the inputs, 50 test rows) fits.
    """
    path = folder / "budget.json"
    key = storage.digest([task.model_dump(mode="json"), seconds])
    if path.exists() and storage.read_json(path)["key"] == key:
        chosen = storage.read_json(path)
    else:
        chosen = {"key": key, **_choose(estimate(task, rates), task, seconds)}
        storage.write_json(path, chosen)
    synthesis = task.synthesis.model_copy(update={"inputs": chosen["inputs"]})
    evaluation = task.evaluation.model_copy(update={"limit": chosen["limit"]})
    return task.model_copy(update={"synthesis": synthesis, "evaluation": evaluation})


def _choose(first: Plan, task: Task, seconds: float) -> dict[str, int | None]:
    allowed = seconds * 0.85  # loading, writing and what the estimate misses
    rows = first.counts["test_rows"]
    limits = [None, *(limit for limit in (200, 100, 50) if limit < rows)]
    for limit in limits:
        share = (limit or rows) / rows if rows else 1.0
        fixed = share * (first.stages["baselines"] + first.stages["evaluation"])
        scalable = first.stages["synthesis"] + first.stages["training"]
        scale = (allowed - fixed) / scalable if scalable else 1.0
        least = 0.1 if limit == limits[-1] else 0.5  # rather fewer test rows than fewer than half of the inputs
        if scale >= least:
            inputs = max(1, int(task.synthesis.inputs * min(1.0, scale)))
            return {"inputs": inputs, "limit": limit or task.evaluation.limit}
    raise UserError(
        f"--budget: the run takes about {first.seconds:.0f} s here; even a tenth of it does not fit {seconds:.0f} s",
        hint="give it more time, or take a smaller model",
    )


def parse_time(text: str) -> float:
    """Return the seconds in a text such as 90s, 10m, 1.5h.

    Raises:
        UserError: The text is not a time.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if not match or float(match[1]) <= 0:
        raise UserError(f"--budget: {text!r} is not a time", hint="write 90s, 10m or 2h")
    return float(match[1]) * _UNITS[match[2]]


def print_plan(task: Task, plan: Plan) -> None:
    """Print a plan for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    table.add_column("about", justify="right")
    for name, seconds in plan.stages.items():
        table.add_row(name, f"{seconds:.0f} s")
    table.add_row("together", f"{plan.seconds:.0f} s")
    console = Console()
    console.print(table)
    c, r = plan.counts, plan.rates
    console.print(
        f"{c['inputs']} inputs, about {c['pairs']} training pairs, {c['test_rows']} test rows; "
        f"memory about {plan.memory_bytes / 1e9:.1f} GB",
        highlight=False,
    )
    console.print(
        f"measured with {task.model}: reads {r.read:.0f}, writes {r.write:.0f}, trains about {r.train:.0f} tokens/s",
        highlight=False,
    )


def _slow(rate: float, rows: int) -> float:
    """Return the writing rate with so few rows at once: a small batch fills the machine less."""
    return rate * min(1.0, 0.35 + 0.65 * rows / 32)


def _mean(values: Any) -> float:
    held = list(values)
    return sum(held) / len(held) if held else 0.0
