"""Writes the model card beside the weights, in the hub's format. Knows nothing of how scores came to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from metier import storage
from metier.report.facts import RunFacts
from metier.report.table import METRIC_TITLES, interval_text, verdict_sentence


def write_card(facts: RunFacts, folder: Path, base_model: str) -> Path:
    """Write ``README.md`` into the folder of the adapter or model and return its path.

    Args:
        facts: What to say.
        folder: The weights' folder.
        base_model: The base model's hub id, or its name.
    """
    path = folder / "README.md"
    header = yaml.safe_dump(_header(facts, base_model), sort_keys=False, allow_unicode=True)
    storage.write_text(path, f"---\n{header}---\n\n{_body(facts, base_model)}")
    return path


def _header(facts: RunFacts, base_model: str) -> dict[str, Any]:
    header: dict[str, Any] = {
        "base_model": base_model,
        "library_name": "peft" if facts.tuning == "lora" else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["metier", "self-synthesized-data", *(["lora"] if facts.tuning == "lora" else [])],
    }
    if facts.model.licence:
        header["license"] = facts.model.licence
    if facts.datasets:
        header["datasets"] = list(facts.datasets)
    ours = next((s for s in facts.systems if s.system == "specialist"), None)
    if ours is not None:
        task = {"type": "text-classification" if facts.labels else "text-generation"}
        metrics = [
            {"type": name, "name": METRIC_TITLES[name], "value": round(ours.scores[name], 2)} for name in facts.metrics
        ]
        dataset = {"name": facts.test_source or facts.name, "type": facts.name}
        header["model-index"] = [
            {"name": facts.name, "results": [{"task": task, "dataset": dataset, "metrics": metrics}]}
        ]
    return header


def _body(facts: RunFacts, base_model: str) -> str:
    parts = [f"# {facts.name}", verdict_sentence(facts)]
    if not facts.better:
        parts.append(
            "> **Warning: this model was not shown to be better than its base under a good prompt.** "
            "Use the base model instead."
        )
    parts += ["## What it does", _quoted(facts.instruction)]
    if facts.labels:
        parts.append("It answers with one of: " + ", ".join(f"`{label}`" for label in facts.labels) + ".")
    if facts.systems:
        names = [METRIC_TITLES[m] for m in facts.metrics]
        rows = ["| system | " + " | ".join(names) + " | specialist's gain [95% interval] |"]
        rows.append("|---|" + "---:|" * (len(names) + 1))
        for s in facts.systems:
            scores = " | ".join(f"{s.scores[m]:.1f}" for m in facts.metrics)
            rows.append(f"| {s.title} | {scores} | {interval_text(s.gain) if s.gain else ''} |")
        parts += [f"## How good it is ({facts.test_rows} test rows)", "\n".join(rows)]
    parts += [
        "## How it was made",
        f"`{base_model}` wrote {facts.funnel[0].kept if facts.funnel else 0} raw pairs for the task itself, "
        f"from the instruction and a few examples; {facts.kept_pairs} pairs were trained on "
        f"({'LoRA' if facts.tuning == 'lora' else 'all weights'}, recipe `{facts.recipe}`, seed {facts.seed}, "
        f"Metier {facts.metier_version}).",
    ]
    if facts.prompt is not None:
        parts += ["## How to ask it", "It was trained on this prompt, and answers well to no other:"]
        parts.append(_fenced(f"{facts.prompt.before}{{input}}{facts.prompt.after}", "text"))
    parts += [
        _fenced(_snippet(facts, base_model), "python"),
        "## Limits",
        "It was trained on text that a small model wrote, and knows one task. Its scores hold for inputs like those of "
        "the test set, and were measured with temperature 0.",
    ]
    return "\n\n".join(parts) + "\n"


def _snippet(facts: RunFacts, base_model: str) -> str:
    load = (
        [
            "from peft import AutoPeftModelForCausalLM",
            'model = AutoPeftModelForCausalLM.from_pretrained("PATH")',
        ]
        if facts.tuning == "lora"
        else [
            "from transformers import AutoModelForCausalLM",
            'model = AutoModelForCausalLM.from_pretrained("PATH")',
        ]
    )
    most = facts.prompt.max_tokens if facts.prompt else 128
    return "\n".join(
        [
            *load[:1],
            "from transformers import AutoTokenizer",
            "",
            *load[1:],
            'tokenizer = AutoTokenizer.from_pretrained("PATH")',
            'prompt = "…"  # as above, with the input in its place',
            'tokens = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")',
            f"answer = model.generate(**tokens, max_new_tokens={most}, do_sample=False)",
            'print(tokenizer.decode(answer[0, tokens["input_ids"].shape[1]:], skip_special_tokens=True))',
        ]
    )


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in text.split("\n") if set(run.strip()) == {"`"}), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
