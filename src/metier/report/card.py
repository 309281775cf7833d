"""Writes the model card beside the weights, in the hub's format. Knows nothing of how scores came to be.

What it says is here; how it is written so that no text becomes markup is in ``markdown.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from metier.core import storage
from metier.report import words
from metier.report.facts import RunFacts
from metier.report.markdown import base_header, base_name, card
from metier.report.sentences import advice, caveats, data_sentences, verdict_sentence

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
            adapter=facts.training.method == "lora",
            verdict=verdict_sentence(facts),
            advice=advice(facts),
            caveats=caveats(facts),
            made=" ".join(data_sentences(facts.data)),
            base=base_name(base_model),
            snippet=snippet(facts),
        ),
    )
    return path


def hub_results(facts: RunFacts) -> list[dict[str, object]]:
    """Return a run's scores in the form of the hub's ``model-index``; nothing without a test."""
    ours = facts.judged.ours if facts.judged else None
    if ours is None or facts.judged is None:
        return []
    metrics = [
        {"type": _HUB_METRICS.get(name, name), "name": words.metric_title(name), "value": round(ours.scores[name], 2)}
        for name in facts.metrics
        if name in ours.scores
    ]
    task = {"type": "text-classification" if facts.labels else "text-generation", "name": facts.name}
    return [{"task": task, "dataset": {"name": facts.judged.source, "type": facts.name}, "metrics": metrics}]


def data_tags(*facts: RunFacts) -> list[str]:
    """Return the hub's tag for synthetic data, where some of what was trained on is."""
    return ["synthetic-data"] if any(one.data.synthetic for one in facts) else []


def snippet(facts: RunFacts) -> str:
    """Return Python that asks a run's specialist, with the prompt it was trained on."""
    kind = "AutoPeftModelForCausalLM" if facts.training.method == "lora" else "AutoModelForCausalLM"
    library = "peft" if facts.training.method == "lora" else "transformers"
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


def _header(facts: RunFacts, base_model: str) -> Mapping[str, object]:
    tags = [*data_tags(facts), facts.recipe]
    adapter = facts.training.method == "lora"
    header = base_header(base_model, facts.model.licence, adapter=adapter, tags=tags)
    if results := hub_results(facts):
        header["metrics"] = [_HUB_METRICS.get(m, m) for m in facts.metrics]
        header["model-index"] = [{"name": facts.name, "results": results}]
    return header
