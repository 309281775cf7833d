"""The formats of an export: what each writes, what runs it, and how a user does."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from metier.core import storage
from metier.core.errors import UserError
from metier.engines.vllm import rank_for
from metier.exporting.card import Use, modelfile, request_use, transformers_use
from metier.exporting.gguf_writer import QUANTS, Quant, write_gguf
from metier.exporting.hosts import Host, LlamaCppHost, TransformersHost, Unavailable
from metier.exporting.source import LanguageModel
from metier.exporting.weights import write_adapter, write_merged
from metier.report.facts import PromptTemplate

DEFAULT_QUANT: Quant = "q8_0"
"""Half of f16's size; its answers are hardly ever others."""
_GGUF, _ADAPTER = "model.gguf", "adapter"
_CONTEXT = 8192  # tokens that Ollama sets aside, at most


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """What is written where.

    Attributes:
        source: The model.
        prompt: How it is asked.
        folder: Where to.
        quant: How a GGUF file keeps numbers.
    """

    source: LanguageModel
    prompt: PromptTemplate
    folder: Path
    quant: Quant


@dataclasses.dataclass(frozen=True, slots=True)
class Format:
    """One format.

    Attributes:
        write: Writes it; returns whether its tokenizer composes characters where its host does not.
        uses: How it is run.
        host: Opens it, given the tokens of the longest prompt.
    """

    write: Callable[[Job], bool]
    uses: Callable[[Job], list[Use]]
    host: Callable[[Job, int], Host | Unavailable]


def quant_of(name: str | None, to: str) -> Quant:
    """Return how numbers are to be kept.

    Raises:
        UserError: It is not known, or the format is no GGUF file.
    """
    if name is not None and to not in ("gguf", "ollama"):
        raise UserError(f"--quant: {to} keeps the base model's precision", hint="leave --quant out, or use --to gguf")
    for known in QUANTS:
        if name == known:
            return known
    if name is None:
        return DEFAULT_QUANT
    raise UserError(f"--quant: {name!r} is not known", hint=f"one of {', '.join(QUANTS)}")


def _merged(job: Job) -> bool:
    write_merged(job.source, job.prompt, job.folder)
    return False


def _adapter(job: Job) -> bool:
    write_adapter(job.source, job.prompt, job.folder)
    return False


def _gguf(job: Job) -> bool:
    merged = job.folder / "merged.partial"
    with storage.explained(merged):
        merged.mkdir()
    write_merged(job.source, job.prompt, merged)
    licence = job.source.base.licence
    tokenizer = write_gguf(merged, job.folder / _GGUF, job.quant, name=job.source.task, licence=licence)
    shutil.rmtree(merged)
    return tokenizer.composes


def _ollama(job: Job) -> bool:
    composes = _gguf(job)
    storage.write_text(job.folder / "Modelfile", modelfile(job.prompt, _context(job.source)))
    return composes


def _vllm(job: Job) -> bool:
    write_merged(job.source, job.prompt, job.folder)
    if job.source.has_adapter:
        inside = job.folder / _ADAPTER
        with storage.explained(inside):
            inside.mkdir()
        write_adapter(job.source, job.prompt, inside)
    return False


def _context(source: LanguageModel) -> int:
    return min(_CONTEXT, source.slot().context_length)


def _merged_uses(job: Job) -> list[Use]:
    return [transformers_use(job.prompt)]


def _adapter_uses(job: Job) -> list[Use]:
    return [transformers_use(job.prompt, base=job.source.base.card_name)]


def _gguf_uses(job: Job) -> list[Use]:
    serve = f"llama-server -m {_GGUF} --jinja -c {_context(job.source)} --alias {job.source.task} --port 8080"
    return [
        Use("With llama.cpp:", "sh", serve),
        request_use(job.source.task, "http://localhost:8080", job.prompt),
    ]


def _ollama_uses(job: Job) -> list[Use]:
    name = job.source.task.lower()
    return [
        Use("With Ollama:", "sh", f"ollama create {name} -f Modelfile\nollama run {name} 'the input to answer'"),
        request_use(name, "http://localhost:11434", job.prompt),
    ]


def _vllm_uses(job: Job) -> list[Use]:
    name, length = job.source.task, job.source.slot().context_length
    uses = [
        Use(
            "With vLLM:",
            "sh",
            f"vllm serve . --served-model-name {name} --max-model-len {length} --generation-config . "
            "--override-generation-config '{\"temperature\": 0}'",
        ),
        request_use(name, "http://localhost:8000", job.prompt),
    ]
    if job.source.has_adapter:
        rank = rank_for(job.folder / _ADAPTER)
        uses.append(
            Use(
                "Or the adapter on its base, beside other adapters:",
                "sh",
                f"vllm serve {job.source.base.card_name} --enable-lora --max-lora-rank {rank} "
                f"--lora-modules {name}=./{_ADAPTER} --chat-template {_ADAPTER}/chat_template.jinja "
                f"--max-model-len {length}",
            )
        )
    return uses


def _transformers_host(job: Job, longest: int) -> Host | Unavailable:
    return TransformersHost(job.folder, None, job.prompt, job.source.how.engine)


def _adapter_host(job: Job, longest: int) -> Host | Unavailable:
    return TransformersHost(job.folder, job.source.base.path, job.prompt, job.source.how.engine)


def _llamacpp_host(job: Job, longest: int) -> Host | Unavailable:
    try:
        return LlamaCppHost(job.folder / _GGUF, job.prompt, longest)
    except ImportError:
        return Unavailable("llama.cpp is not installed here (pip install 'metier[llamacpp]')")


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "adapter": Format(_adapter, _adapter_uses, _adapter_host),
        "merged": Format(_merged, _merged_uses, _transformers_host),
        "gguf": Format(_gguf, _gguf_uses, _llamacpp_host),
        "ollama": Format(_ollama, _ollama_uses, _llamacpp_host),
        "vllm": Format(_vllm, _vllm_uses, _transformers_host),
    }
)
