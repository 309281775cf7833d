"""Writes the model card beside the weights, in the hub's format. Knows nothing of how scores came to be.

What it says is here; how it is written so that no text becomes markup is in ``markdown.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from metier.core import storage
from metier.core.records import SystemScore
from metier.evaluation.better import SPECIALIST
from metier.report import words
from metier.report.facts import WRITTEN, Judged, RunFacts
from metier.report.markdown import base_header, base_name, card
from metier.report.sentences import (
    advice,
    answering_sentence,
    caveats,
    data_sentences,
    product_sentence,
    verdict_sentence,
)

CONTENT_FREE = ("N/A", "", "[MASK]")
"""The inputs that say nothing, after which a label's prior is taken: those of `systems.scored`."""
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
            answering=answering_sentence(facts),
            usage=usage(facts),
            something_else=_something_else(facts),
        ),
    )
    return path


def hub_results(facts: RunFacts) -> list[dict[str, object]]:
    """Return a run's scores in the form of the hub's ``model-index``; nothing without a test.

    Where the specialist is scored over the labels, what the same weights write has scores of its own, and both are
    named: whoever loads the weights and lets them write gets the latter.
    """
    judged = facts.judged
    if judged is None or judged.ours is None:
        return []
    metrics = [
        {
            "type": _HUB_METRICS.get(name, name),
            "name": words.metric_title(name) + (f" ({how})" if how else ""),
            "value": round(system.scores[name], 2),
        }
        for system, how in _measured(facts, judged)
        for name in facts.metrics
        if name in system.scores
    ]
    task = {"type": "text-classification" if facts.labels else "text-generation", "name": facts.name}
    return [{"task": task, "dataset": {"name": judged.source, "type": facts.name}, "metrics": metrics}]


def data_tags(*facts: RunFacts) -> list[str]:
    """Return the hub's tag for synthetic data, where some of what was trained on is."""
    return ["synthetic-data"] if any(one.data.synthetic for one in facts) else []


def usage(facts: RunFacts) -> list[tuple[str, str]]:
    """Return the ways to ask a run's specialist in Python: what is said of each, and the code."""
    judged = facts.judged
    if not facts.by_likelihood:
        return [("", writing_snippet(facts))]
    scored = _score(facts, judged.ours) if judged else ""
    written = _score(facts, judged.of(WRITTEN)) if judged else ""
    writes = (
        f"lets it write{f', which scored {written}' if written else ''}; an answer that is none of the labels is "
        "possible and must be handled."
    )
    if facts.label_prior == "synthetic":
        why = (
            f"The specialist answers{f' (and scored {scored})' if scored else ''} by scoring the labels, less a prior "
            "from the inputs of its synthetic pairs, which are not in this folder. The code below"
        )
        return [(f"{why} {writes}", writing_snippet(facts))]
    found = [(f"This {writes}", writing_snippet(facts))]
    if facts.prompt is not None and facts.prompt.answers:
        said = (
            f"This scores the labels, which is how the specialist answers{f' and scored {scored}' if scored else ''}:"
        )
        found.insert(0, (said, scoring_snippet(facts)))
    return found


def writing_snippet(facts: RunFacts) -> str:
    """Return Python that lets a run's specialist write, with the prompt it was trained on."""
    prompt = facts.prompt
    stop = f", stop_strings={list(prompt.stop)!r}, tokenizer=tokenizer" if prompt and prompt.stop else ""
    before, after = (prompt.before, prompt.after) if prompt else ("", "")
    return "\n".join(
        [
            *_loading(facts),
            'text = "the input to answer"',
            f"prompt = {before!r} + text + {after!r}",
            'tokens = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")',
            f"output = model.generate(**tokens, max_new_tokens={prompt.max_tokens if prompt else 128}, "
            f"do_sample=False{stop})",
            'answer = tokenizer.decode(output[0, tokens["input_ids"].shape[1]:], skip_special_tokens=True)',
            "print(answer.strip())",
        ]
    )


def scoring_snippet(facts: RunFacts) -> str:
    """Return Python that answers with a run's labels as the run did: by likelihood, less the prior."""
    prompt = facts.prompt
    if prompt is None:
        raise ValueError("prompt: labels are scored after it")
    averaged = facts.label_prior == "none"
    found = [
        *_loading(facts, torch=True),
        f"labels = {list(facts.labels or ())!r}",
        "",
        "",
        "def logprobs(text):",
        '    """How likely each label is after the prompt, its end token included."""',
        f"    prompt = tokenizer({prompt.before!r} + text + {prompt.after!r}, add_special_tokens=False).input_ids",
        "    found = []",
        f"    for label in {list(prompt.answers)!r}:",
        "        answer = tokenizer(label, add_special_tokens=False).input_ids + [tokenizer.eos_token_id]",
        "        with torch.no_grad():",
        "            logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].float()",
        "        tokens = logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None])",
        f"        found.append(tokens.{'mean' if averaged else 'sum'}())",
        "    return torch.stack(found)",
        "",
        "",
        'text = "the input to answer"',
    ]
    if averaged:
        return "\n".join([*found, "print(labels[int(logprobs(text).argmax())])"])
    return "\n".join(
        [
            *found,
            f"prior = torch.stack([logprobs(nothing) for nothing in {CONTENT_FREE!r}]).mean(0)  # compute it once",
            "print(labels[int((logprobs(text) - prior).argmax())])",
        ]
    )


def _something_else(facts: RunFacts) -> str | None:
    """Return what the run ended with, where that is not these weights as the tuned model is asked."""
    ended_with = facts.product.system if facts.product else SPECIALIST
    return None if ended_with == SPECIALIST else product_sentence(facts)


def _loading(facts: RunFacts, *, torch: bool = False) -> list[str]:
    adapter = facts.training.method == "lora"
    kind = "AutoPeftModelForCausalLM" if adapter else "AutoModelForCausalLM"
    imports = [f"from peft import {kind}", "from transformers import AutoTokenizer"]
    return [
        *(["import torch"] if torch else []),
        *(imports if adapter else [f"from transformers import {kind}, AutoTokenizer"]),
        "",
        'folder = "."  # the folder of this card, or its id on the hub',
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        f"model = {kind}.from_pretrained(folder)",
    ]


def _measured(facts: RunFacts, judged: Judged) -> list[tuple[SystemScore, str]]:
    """Return the rows of the result table that the weights themselves reach, and how; empty where there is one way."""
    if not facts.by_likelihood:
        return [(judged.ours, "")] if judged.ours else []
    ways = ((judged.ours, "labels scored"), (judged.of(WRITTEN), "writing"))
    return [(system, how) for system, how in ways if system is not None]


def _score(facts: RunFacts, system: SystemScore | None) -> str:
    """Return a system's score with its metric; nothing where there is none."""
    if system is None or facts.metric not in system.scores:
        return ""
    return f"{words.number(system.scores[facts.metric])} {words.metric_title(facts.metric)}"


def _header(facts: RunFacts, base_model: str) -> Mapping[str, object]:
    tags = [*data_tags(facts), facts.recipe]
    adapter = facts.training.method == "lora"
    header = base_header(base_model, facts.model.licence, adapter=adapter, tags=tags)
    if results := hub_results(facts):
        header["metrics"] = [_HUB_METRICS.get(m, m) for m in facts.metrics]
        header["model-index"] = [{"name": facts.name, "results": results}]
    return header
