"""Writes the model card beside the weights, in the hub's format. Knows nothing of how scores came to be.

What it says is here; how it is written so that no text becomes markup is in ``markdown.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metier.core import storage
from metier.report import words
from metier.report.facts import RunFacts
from metier.report.markdown import base_header, base_name, card

_HUB_METRICS = {"rouge_l": "rouge"}  # the hub's identifier where it is not ours


def write_card(facts: RunFacts, adapter_folder: Path, base_model: str) -> Path:
    """Write ``README.md`` into the folder of the adapter (or of the whole model) and return its path.

    Args:
        facts: What to say.
        adapter_folder: The folder of the weights.
        base_model: The base model's hub id. Anything else (a path) is kept out of the header, where it would
            be read as an id, and only its last part is named in the text.

    Raises:
        UserError: The folder may not be written to.
        MetierError: The disk is full, or the write failed otherwise.
    """
    path = adapter_folder / "README.md"
    storage.write_text(
        path,
        card(
            _header(facts, base_model),
            "card.md.j2",
            facts=facts,
            adapter=facts.tuning == "lora",
            verdict=words.verdict_sentence(facts),
            caveats=words.caveats(facts),
            made=_made(facts),
            base=base_name(base_model),
            snippet=snippet(facts),
        ),
    )
    return path


def _header(facts: RunFacts, base_model: str) -> dict[str, Any]:
    tags = ["synthetic-data", facts.recipe]
    header = base_header(base_model, facts.model.licence, adapter=facts.tuning == "lora", tags=tags)
    if facts.datasets:
        header["datasets"] = list(facts.datasets)
    if results := hub_results(facts):
        header["metrics"] = [_HUB_METRICS.get(m, m) for m in facts.metrics]
        header["model-index"] = [{"name": facts.name, "results": results}]
    return header


def hub_results(facts: RunFacts) -> list[dict[str, Any]]:
    """Return a run's scores in the form of the hub's ``model-index``; nothing without a test."""
    ours = next((s for s in facts.systems if s.system == "specialist"), None)
    if ours is None or facts.test_source is None:
        return []
    metrics = [
        {
            "type": _HUB_METRICS.get(name, name),
            "name": words.metric_title(name),
            "value": round(ours.scores[name], 2),
        }
        for name in facts.metrics
        if name in ours.scores
    ]
    task = {"type": "text-classification" if facts.labels else "text-generation", "name": facts.name}
    return [{"task": task, "dataset": {"name": facts.test_source, "type": facts.name}, "metrics": metrics}]


def _made(facts: RunFacts) -> str:
    trained = f"It was trained on {words.count(facts.kept_pairs, 'pair')}."
    if not facts.funnel:
        return f"{trained} They came from a labelled file; none were synthetic."
    first, last = facts.funnel[0], facts.funnel[-1]
    written = first.kept + sum(first.dropped.values())
    return (
        "The base model wrote training data for this one task, from the instruction and a few examples: "
        f"{words.count(written, 'raw pair')}, of which {last.kept:,} passed the filters. {trained}"
    )


def snippet(facts: RunFacts) -> str:
    """Return Python that asks a run's specialist, with the prompt it was trained on."""
    kind = "AutoPeftModelForCausalLM" if facts.tuning == "lora" else "AutoModelForCausalLM"
    library = "peft" if facts.tuning == "lora" else "transformers"
    prompt = facts.prompt
    stop = f", stop_strings={list(prompt.stop)!r}, tokenizer=tokenizer" if prompt and prompt.stop else ""
    imports = [f"from {library} import {kind}", "from transformers import AutoTokenizer"]
    if library == "transformers":
        imports = [f"from transformers import {kind}, AutoTokenizer"]
    before, after = (prompt.before, prompt.after) if prompt else ("", "")
    return "\n".join(
        [
            *imports,
            "",
            'folder = "."  # the folder of this card, or its id on the hub',
            "tokenizer = AutoTokenizer.from_pretrained(folder)",
            f"model = {kind}.from_pretrained(folder)",
            'text = "the input to answer"',
            f"prompt = {before!r} + text + {after!r}",
            'tokens = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")',
            f"output = model.generate(**tokens, max_new_tokens={prompt.max_tokens if prompt else 128}, "
            f"do_sample=False{stop})",
            'answer = tokenizer.decode(output[0, tokens["input_ids"].shape[1]:], skip_special_tokens=True)',
            "print(answer.strip())",
        ]
    )
