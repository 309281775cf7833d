"""Synthesis and label scoring on several engines, in one run: same task, same model, same prompts.

Run it with: python benchmarks/generation.py [--task FILE] [--inputs 60] [--rows 60] [--engines plain metier llamacpp]
(--engines … vllm --vllm FOLDER: vLLM's own server too, in the environment that ``make vllm-env`` has made)

``plain`` is what a script around transformers does: ``generate()`` on padded batches in the order they come, every
prompt read from its first token. Each engine runs SELF-GUIDE's procedure (inputs, twenty sampled answers each, filters,
vote); Metier's own also runs its default recipe. Then labels are chosen for some rows, by generating and by scoring.
The last line is a JSON object with the ratios.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from metier.core.progress import Reporter
from metier.core.records import Candidate, Example
from metier.core.step import Artifact
from metier.data.pairs import read_examples
from metier.engines.base import Engine, EngineStats, Generation, GenerationRequest, Progress, Scores, ScoringRequest
from metier.engines.end_tokens import end_tokens_in
from metier.engines.prompts import PromptFormat, fitting_demonstrations
from metier.engines.shards import unkept
from metier.engines.vllm_process import BASE, VllmModel, VllmProcess, python_with_vllm
from metier.engines.vllm_server import VllmServerEngine
from metier.models.locate import ModelFiles, resolve_model
from metier.runs.machine import machine
from metier.steps.slot import Slot, running
from metier.synthesis import agreement, backward, checks, inputs, outputs
from metier.synthesis.brief import Brief
from metier.systems.asker import Asker, answer_length
from metier.systems.base import Asked
from metier.tasks.read_task import load_task
from metier.tasks.recipes import recipe_settings
from metier.tasks.task import RecipeName, Task

_BATCH = 16  # rows of a padded batch: what such scripts take


class PlainGenerate:
    """`generate()` of transformers on padded batches: the engine that others are measured against."""

    def __init__(self, folder: Path) -> None:
        from metier.models.load import load_causal

        self._model, tokenizer = load_causal(folder, dtype="auto", device="cpu")
        self.tokenizer = cast(Any, tokenizer)  # padding is no part of what Metier asks of a tokenizer
        self.tokenizer.padding_side = "left"
        self.stats = EngineStats()

    @property
    def context_length(self) -> int:
        """The model's context."""
        return int(self._model.config.get_text_config().max_position_embeddings)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        return [len(self.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Generation]:
        """Continue every prompt, so many rows at a time."""
        import torch

        torch.manual_seed(requests[0].seed % 2**31 if requests else 0)
        rows = [(i, r) for i, r in enumerate(requests) for _ in range(r.samples)]
        found: list[list[tuple[str, bool]]] = [[] for _ in requests]
        for begin in range(0, len(rows), _BATCH):
            part = rows[begin : begin + _BATCH]
            first = part[0][1]
            batch = self.tokenizer(
                [r.prompt.text for _, r in part], return_tensors="pt", padding=True, add_special_tokens=False
            )
            sampling: dict[str, Any] = {"do_sample": False}
            if first.temperature:
                sampling = {"do_sample": True, "temperature": first.temperature, "top_k": first.top_k or None}
            if first.stop:
                sampling |= {"stop_strings": list(first.stop), "tokenizer": self.tokenizer}
            with torch.inference_mode():
                out = self._model.generate(**batch, max_new_tokens=max(r.max_tokens for _, r in part), **sampling)
            for (i, r), tokens in zip(part, out[:, batch["input_ids"].shape[1] :], strict=True):
                new = [t for t in tokens.tolist() if t != self.tokenizer.pad_token_id][: r.max_tokens]
                self.stats.generated_tokens += len(new)
                found[i].append((self.tokenizer.decode(new, skip_special_tokens=True), len(new) < r.max_tokens))
        return [Generation(tuple(t for t, _ in one), tuple(ended for _, ended in one)) for one in found]

    def score(self, requests: Sequence[ScoringRequest], progress: Progress | None = None) -> list[Scores]:
        """Not what it is for."""
        raise NotImplementedError


def main(argv: Sequence[str] | None = None) -> None:
    """Run every engine and print what each did."""
    arguments = _arguments(argv)
    task = load_task(arguments.task, arguments.set)
    files = resolve_model(task.model)
    rows = list(read_examples(str(task.test), labels=task.labels).examples)[: arguments.rows]
    done: dict[str, dict[str, float]] = {}
    for name in arguments.engines:
        own = task.but(engine=task.engine.but(kind="llamacpp" if name == "llamacpp" else "transformers", device="cpu"))
        slot = Slot(running(own), files)
        server = VllmProcess(python_with_vllm(arguments.vllm)) if name == "vllm" else None
        engine: Engine
        if server is not None:
            engine = _on_vllm(server, own, files, slot)
        else:
            engine = PlainGenerate(files.path) if name == "plain" else slot.open()
        done[name] = _synthesis(_brief(task, "self-guide", arguments.inputs), engine, slot.prompts, name)
        if name == "metier":
            brief = _brief(task, "backward", arguments.inputs)
            done["metier, backward"] = _synthesis(brief, engine, slot.prompts, "metier, backward")
        if task.labels and name != "llamacpp":
            asker = _asker(own, engine, slot.prompts, files)
            done[name] |= _labels(asker, [row.input for row in rows], scores=name != "plain")
        slot.close()
        if server is not None:
            server.close()
    ratios = _ratios(done)
    about = {"task": task.name, "model": files.name, "inputs": arguments.inputs, "rows": len(rows), "seed": task.seed}
    print(json.dumps({**about, "engines": done, "machine": dataclasses.asdict(machine()), **ratios}))


def _on_vllm(server: VllmProcess, task: Task, files: ModelFiles, slot: Slot) -> Engine:
    """Start vLLM's server with the model, and return an engine that asks it."""
    model = VllmModel(files.path, slot.context_length, task.engine.float_dtype)
    server.start(model, {}, Reporter())
    ends = end_tokens_in(files.path, slot.tokenizer)
    return VllmServerEngine(server, BASE, slot.tokenizer, ends, slot.context_length)


def _synthesis(brief: Brief, engine: Engine, prompts: PromptFormat, name: str) -> dict[str, float]:
    """Return pairs a minute and tokens a second of one engine writing and judging its own data."""
    before, start = engine.stats.generated_tokens, time.perf_counter()
    kept: list[Candidate]
    if brief.settings.method == "backward":
        written = checks.filter_inputs(brief, backward.write_pairs(brief, engine, prompts, unkept))
        kept = [c for c in agreement.agree(brief, engine, prompts, written, unkept) if c.kept]
    else:
        written = inputs.write_inputs(brief, engine, prompts, unkept)
        answered = outputs.answer_inputs(brief, engine, prompts, written, unkept)
        kept = [c for c in outputs.vote(brief, answered) if c.kept]
    seconds = time.perf_counter() - start
    tokens = engine.stats.generated_tokens - before
    facts = {"seconds": round(seconds, 4), "pairs": float(len(kept))}
    facts["pairs_a_minute"] = round(60 * len(kept) / seconds, 2)
    facts |= {"answered": float(sum(c.kept for c in written)), "tokens_a_second": round(tokens / seconds, 1)}
    print(f"{name}: {facts}")
    return facts


def _labels(asker: Asker, texts: Sequence[str], *, scores: bool) -> dict[str, float]:
    """Return the rows a second at which labels are generated, and, if asked for, scored."""
    start = time.perf_counter()
    asker.write(texts)
    facts = {"labels_generated_a_second": round(len(texts) / (time.perf_counter() - start), 2)}
    if scores:
        start = time.perf_counter()
        asker.score(texts)
        facts["labels_scored_a_second"] = round(len(texts) / (time.perf_counter() - start), 2)
    return facts


def _ratios(done: dict[str, dict[str, float]]) -> dict[str, float]:
    plain, ours = done.get("plain"), done.get("metier")
    ratios: dict[str, float] = {}
    if plain and ours:
        best = max(ours["pairs_a_minute"], done["metier, backward"]["pairs_a_minute"])
        if plain["pairs_a_minute"]:
            ratios["pairs_over_plain"] = round(best / plain["pairs_a_minute"], 2)
            ratios["same_procedure_over_plain"] = round(ours["pairs_a_minute"] / plain["pairs_a_minute"], 2)
        ratios["same_procedure_faster"] = round(plain["seconds"] / ours["seconds"], 2)
        if "labels_scored_a_second" in ours:
            ratios["scoring_over_plain_generating"] = round(
                ours["labels_scored_a_second"] / plain["labels_generated_a_second"], 2
            )
            ratios["scoring_over_generating"] = round(
                ours["labels_scored_a_second"] / ours["labels_generated_a_second"], 2
            )
    for other in ("llamacpp", "vllm"):
        if ours and other in done:
            ratios[f"metier_faster_than_{other}"] = round(done[other]["seconds"] / ours["seconds"], 2)
    return ratios


def _brief(task: Task, recipe: RecipeName, count: int) -> Brief:
    """Return what a recipe's synthesis is told for a task."""
    settings = recipe_settings(recipe, classification=task.labels is not None)
    changed = task.synthesis.but(**{**settings["synthesis"], "inputs": count})
    return Brief(task.instruction, task.labels, _examples(task), changed, task.seed)


def _asker(task: Task, engine: Engine, prompts: PromptFormat, files: ModelFiles) -> Asker:
    """Return an engine's model under the few-shot prompt."""
    examples = _examples(task)
    model = Artifact(files.digest, files.path)
    asked = Asked(model, task.prompt.style, task.engine, task.instruction, task.evaluation.max_tokens, task.seed)
    shown = fitting_demonstrations(examples, engine.count_tokens, engine.context_length // 2)
    longest = answer_length(task.labels, examples, task.evaluation.max_tokens, engine.count_tokens)
    return Asker(engine, prompts, asked, None, task.labels, shown, longest)


def _examples(task: Task) -> tuple[Example, ...]:
    return tuple(Example(e.input, e.output) for e in task.examples)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", type=Path, default=Path("examples/newspaper-sections/task.yaml"))
    parser.add_argument("--inputs", type=int, default=60, help="raw inputs to ask for")
    parser.add_argument("--rows", type=int, default=60, help="test rows to label")
    parser.add_argument("--engines", nargs="+", default=["plain", "metier", "llamacpp"])
    parser.add_argument("--vllm", type=Path, help="vLLM's environment; default: .venv-vllm here, or that of the PATH's")
    parser.add_argument("--set", nargs="+", default=[], help="settings of the task: synthesis.output_samples=4")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
