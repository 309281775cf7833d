"""Compares Metier's training with TRL's SFTTrainer on its own defaults: same model, data, examples, rate, in one run.

Both tune a LoRA of the same shape on the rows of a task's test file (this measures speed, nothing is tested here) and
see every example equally often. What SFTTrainer does by default stays: padded batches in random order, gradient
checkpointing, mixed precision, its own head. Rates are taken from step to step, so that loading is left out; each
result is then scored on rows neither has seen, by the same code.

The last line is a JSON object with the ratio, both loss curves and both losses on the unseen rows.

    python benchmarks/training.py --rows 120 --epochs 2
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metier.core.records import Example
from metier.core.run_folder import peak_memory
from metier.data.pairs import read_examples
from metier.engines.base import ScoringRequest
from metier.engines.prompts import PromptFormat
from metier.engines.transformers import TransformersEngine
from metier.models.locate import resolve_model
from metier.runs.machine import machine
from metier.tasks.read_task import load_task
from metier.tasks.task import Task
from metier.training.examples import EncodedExample, encode_examples
from metier.training.tune import TuningJob, default_learning_rate, tune


def main(argv: Sequence[str] | None = None) -> None:
    """Train twice and print what each did."""
    arguments = _arguments(argv)
    task = load_task(arguments.task, arguments.set)
    model = resolve_model(task.model).path
    prompts, rate = _parts(task, model)
    rows = list(read_examples(str(task.test), labels=task.labels).examples)
    random.Random(task.seed).shuffle(rows)
    seen, unseen = rows[: arguments.rows], rows[arguments.rows : arguments.rows + 64]
    shown = [Example(e.input, e.output) for e in task.examples] if task.prompt.specialist_demonstrations else []
    encoded, _ = encode_examples(seen, task.instruction, shown, prompts, max_length=task.training.max_length)
    # SFTTrainer warms up over no steps.
    settings = task.training.but(learning_rate=rate, epochs=arguments.epochs, warmup_share=0.0)
    task = task.but(training=settings)
    done: dict[str, dict[str, Any]] = {}
    for name, train in (("trl", _trl), ("metier", _metier)):
        with tempfile.TemporaryDirectory() as folder:
            times, losses, adapter = train(task, model, encoded, Path(folder))
            gc.collect()
            engine = TransformersEngine(model, adapter=adapter, dtype=task.engine.dtype, device=task.engine.device)
            held = _loss(task, engine, prompts, shown, unseen)
        done[name] = _facts(times, losses, encoded, arguments.epochs, held)
        print(f"{name}: { ({k: v for k, v in done[name].items() if k != 'curve'}) }")
    ratio = done["metier"]["answer_tokens_a_second"] / done["trl"]["answer_tokens_a_second"]
    gap = done["metier"]["unseen_loss"] - done["trl"]["unseen_loss"]
    about = {"task": task.name, "model": task.model, "rows": len(encoded), "epochs": arguments.epochs}
    about |= {"seed": task.seed, "machine": dataclasses.asdict(machine())}
    print(json.dumps({**about, "speedup": round(ratio, 2), "unseen_loss_difference": round(gap, 4), "trainers": done}))


def _metier(
    task: Task, model: Path, encoded: Sequence[EncodedExample], folder: Path
) -> tuple[list[float], list[float], Path]:
    times: list[float] = []
    job = TuningJob(model, encoded, (), task.training, task.engine, task.seed)
    tuned = tune(job, folder, lambda done, tokens: times.append(time.perf_counter()))
    return times, [p.train for p in tuned.losses if p.train is not None], tuned.folder


def _trl(
    task: Task, model: Path, encoded: Sequence[EncodedExample], folder: Path
) -> tuple[list[float], list[float], Path]:
    """SFTTrainer as its documentation starts it, with the rate, batch, epochs and adapter that Metier has."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    times: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            times.append(time.perf_counter())

    settings = task.training
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(str(model), dtype="auto"),
        args=SFTConfig(
            output_dir=str(folder),
            num_train_epochs=settings.epochs,
            per_device_train_batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            use_cpu=not torch.cuda.is_available(),  # its mixed precision refuses a processor that is not asked for
            logging_steps=1,
            disable_tqdm=True,
            report_to="none",
            seed=task.seed,
        ),
        train_dataset=Dataset.from_dict(
            {"input_ids": [list(e.input_ids) for e in encoded], "labels": [list(e.labels) for e in encoded]}
        ),
        processing_class=AutoTokenizer.from_pretrained(str(model)),
        peft_config=LoraConfig(
            r=settings.lora_rank,
            lora_alpha=settings.lora_alpha,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
        callbacks=[Clock()],
    )
    trainer.train()
    trainer.save_model(str(folder / "adapter"))
    return times, [e["loss"] for e in trainer.state.log_history if "loss" in e], folder / "adapter"


def _facts(
    times: Sequence[float], losses: Sequence[float], encoded: Sequence[EncodedExample], epochs: int, held: float
) -> dict[str, Any]:
    """Return what one trainer did; the first step, which warms up, is left out of the rate of both."""
    answer = sum(e.trained_tokens for e in encoded) * epochs
    whole = sum(len(e.input_ids) for e in encoded) * epochs
    share = (len(times) - 1) / len(times)
    seconds = times[-1] - times[0]
    return {
        "steps": len(times),
        "seconds_a_step": round(seconds / (len(times) - 1), 3),
        "answer_tokens_a_second": round(answer * share / seconds, 2),
        "tokens_a_second": round(whole * share / seconds, 1),
        "unseen_loss": round(held, 4),
        "peak_memory_gb": round(peak_memory() / 1e9, 2),
        "curve": [round(loss, 4) for loss in losses],
    }


def _loss(
    task: Task, engine: TransformersEngine, prompts: PromptFormat, shown: Sequence[Example], rows: Sequence[Example]
) -> float:
    """Return the mean loss of an answer token on rows that were not trained on."""
    asked = [ScoringRequest(prompts.task(task.instruction, shown, r.input), (prompts.answer(r.output),)) for r in rows]
    scores = engine.score(asked)
    return -sum(s.logprobs[0] for s in scores) / sum(s.tokens[0] for s in scores)


def _parts(task: Task, model: Path) -> tuple[PromptFormat, float]:
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(model))
    config: Any = AutoConfig.from_pretrained(str(model))
    rate = default_learning_rate(task.training.method, config.get_text_config().hidden_size)
    return PromptFormat(tokenizer, task.prompt.style), task.training.learning_rate or rate


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", type=Path, default=Path("examples/newspaper-sections/task.yaml"))
    parser.add_argument("--rows", type=int, default=86, help="rows to train on; up to 64 others are scored")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument(
        "--set", nargs="+", default=[], help="settings of the task: prompt.specialist_demonstrations=true"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
