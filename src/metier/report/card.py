"""Writes the model card beside the weights, in the hub's format. Knows nothing of how scores came to be.

The header is YAML that the hub reads; the text below it is Markdown, with everything a user or a file said
put into code spans and fences, so that it can neither end its place nor become markup.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from metier import storage
from metier.report import words
from metier.report.facts import RunFacts

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_LICENCE_ID = re.compile(r"[a-z0-9][a-z0-9.+-]*")
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
    header = yaml.safe_dump(_cleaned(_header(facts, base_model)), sort_keys=False, allow_unicode=True, width=10_000)
    storage.write_text(path, f"---\n{header}---\n\n{_body(facts, base_model)}")
    return path


def _header(facts: RunFacts, base_model: str) -> dict[str, Any]:
    lora = facts.tuning == "lora"
    header: dict[str, Any] = {
        "library_name": "peft" if lora else "transformers",
        "pipeline_tag": "text-generation",
    }
    if _HUB_ID.fullmatch(base_model):
        header["base_model"] = base_model
    licence = facts.model.licence
    if licence and _LICENCE_ID.fullmatch(licence.lower()):
        header["license"] = licence.lower()
    elif licence:
        header |= {"license": "other", "license_name": licence}
    header["tags"] = ["metier", "synthetic-data", facts.recipe, *(["lora"] if lora else [])]
    if facts.datasets:
        header["datasets"] = list(facts.datasets)
    if results := _results(facts):
        header["metrics"] = [_HUB_METRICS.get(m, m) for m in facts.metrics]
        header["model-index"] = [{"name": facts.name, "results": results}]
    return header


def _results(facts: RunFacts) -> list[dict[str, Any]]:
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


def _body(facts: RunFacts, base_model: str) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("metier.report", "."),
        autoescape=False,  # Markdown, not HTML: `code`, `cell` and `fenced` keep text in its place
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(code=_code, cell=_cell, number=words.number, metric=words.metric_title)
    return words.clean(
        environment.get_template("card.md.j2").render(
            facts=facts,
            adapter=facts.tuning == "lora",
            verdict=words.verdict_sentence(facts),
            caveats=words.caveats(facts),
            interval_text=words.interval_text,
            made=_made(facts),
            base=_base_name(base_model),
            snippet=_snippet(facts),
            fenced=_fenced,
        )
    )


def _base_name(base_model: str) -> str:
    return base_model if _HUB_ID.fullmatch(base_model) else re.split(r"[/\\]", base_model.rstrip("/\\"))[-1]


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


def _snippet(facts: RunFacts) -> str:
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


def _fenced(text: str, language: str) -> str:
    """Return a fence longer than any run of backticks in the text."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def _code(text: str) -> str:
    """Return a code span of one line that holds any text, also inside a table."""
    line = " ".join(text.split()).replace("|", "\\|")
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{space}{line}{space}{ticks}"


def _cell(text: str) -> str:
    """Return text for a table's cell: one line, in which nothing is markup."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _cleaned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    return words.clean(value) if isinstance(value, str) else value
