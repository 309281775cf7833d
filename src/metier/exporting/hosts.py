"""Runs an export as its user will: with transformers, or with llama.cpp's server in this process."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from metier.core.errors import MetierError
from metier.engines.base import GenerationRequest
from metier.engines.llamacpp import ALIAS, TIMEOUT, start_server
from metier.engines.prompts import Prompt
from metier.report.facts import PromptTemplate
from metier.tasks.settings import EngineSettings

_SLOTS = 4  # answers at once
_STEP = 256  # tokens that a context's length is rounded up to


class Host(Protocol):
    """A tool that has an export open and is given inputs alone."""

    @property
    def name(self) -> str:
        """What it is, with its version."""
        ...

    def prompts(self, texts: Sequence[str]) -> list[str]:
        """Return the prompt that it makes of each input."""
        ...

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids that it makes of each input's prompt."""
        ...

    def answers(self, texts: Sequence[str]) -> list[str]:
        """Return its answer to each input, the likeliest token at each step."""
        ...

    def close(self) -> None:
        """Let the model go."""
        ...


class TransformersHost:
    """Transformers, with an exported folder's own tokenizer and template.

    Args:
        folder: The export.
        base: The base model that an exported adapter goes onto; None: the export is a whole model.
        prompt: What ends an answer.
        engine: Device and precision, as the product uses them.
    """

    def __init__(self, folder: Path, base: Path | None, prompt: PromptTemplate, engine: EngineSettings) -> None:
        from transformers import AutoTokenizer

        from metier.engines.transformers import TransformersEngine

        self._prompt = prompt
        self._tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))
        self._engine = TransformersEngine(
            base or folder,
            adapter=folder if base is not None else None,
            dtype=engine.dtype,
            device=engine.device,
            trust_remote_code=engine.trust_remote_code,
        )

    @property
    def name(self) -> str:
        """Transformers and its version."""
        import transformers

        return f"transformers {transformers.__version__}"

    def prompts(self, texts: Sequence[str]) -> list[str]:
        """Return the prompt that the exported template makes of each input."""
        return [str(self._templated(text, tokenize=False)) for text in texts]

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each input's prompt."""
        return [list(self._templated(text, tokenize=True)["input_ids"]) for text in texts]

    def answers(self, texts: Sequence[str]) -> list[str]:
        """Return the model's answer to each input."""
        asked = [
            GenerationRequest(Prompt(text), max_tokens=self._prompt.max_tokens, stop=self._prompt.stop)
            for text in self.prompts(texts)
        ]
        return [made.texts[0].strip() for made in self._engine.generate(asked)]

    def close(self) -> None:
        """Nothing to end."""

    def _templated(self, text: str, *, tokenize: bool) -> Any:
        conversation = [{"role": "user", "content": text}]
        more = {"return_dict": True} if tokenize else {}
        return self._tokenizer.apply_chat_template(conversation, tokenize=tokenize, add_generation_prompt=True, **more)


class LlamaCppHost:
    """llama.cpp's server, by its chat interface.

    Args:
        gguf: The exported file.
        prompt: What ends an answer.
        longest: Tokens of the longest prompt that it will be given.

    Raises:
        ImportError: xllamacpp is not installed.
        MetierError: llama.cpp cannot read the file.
    """

    def __init__(self, gguf: Path, prompt: PromptTemplate, longest: int) -> None:
        import httpx

        self._prompt = prompt
        context = -(-(longest + prompt.max_tokens + 1) // _STEP) * _STEP
        # Its threads wait for one another by spinning: beside other work, as many as cores take minutes for seconds.
        self._server: Any = start_server(gguf, _SLOTS, context, threads=max(1, (os.cpu_count() or 1) // 2))
        self._http = httpx.Client(base_url=self._server.listening_address, timeout=TIMEOUT)

    @property
    def name(self) -> str:
        """llama.cpp, and the package that holds it."""
        import importlib.metadata

        return f"llama.cpp (xllamacpp {importlib.metadata.version('xllamacpp')})"

    def prompts(self, texts: Sequence[str]) -> list[str]:
        """Return the prompt that llama.cpp makes of each input with the file's template."""
        return [str(self._post("/apply-template", {"messages": _messages(text)})["prompt"]) for text in texts]

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each input's prompt, tokenized as the server does when it answers."""
        asked = ({"content": text, "add_special": True, "parse_special": True} for text in self.prompts(texts))
        return [list(self._post("/tokenize", body)["tokens"]) for body in asked]

    def answers(self, texts: Sequence[str]) -> list[str]:
        """Return the model's answer to each input."""
        with concurrent.futures.ThreadPoolExecutor(_SLOTS) as pool:
            return list(pool.map(self._answer, texts))

    def close(self) -> None:
        """End the server."""
        self._http.close()
        self._server = None

    def _answer(self, text: str) -> str:
        body: dict[str, object] = {
            "model": ALIAS,
            "messages": _messages(text),
            "temperature": 0,
            "max_tokens": self._prompt.max_tokens,
        }
        if self._prompt.stop:
            body["stop"] = list(self._prompt.stop)
        answer = self._post("/v1/chat/completions", body)
        return str(answer["choices"][0]["message"]["content"] or "").strip()

    def _post(self, path: str, body: Mapping[str, object]) -> Any:
        answer = self._http.post(path, json=body)
        if answer.status_code != 200:
            raise MetierError(f"llama.cpp refuses the exported model's {path} ({answer.text[:200]})")
        return answer.json()


@dataclasses.dataclass(frozen=True, slots=True)
class Unavailable:
    """Why no host could run an export."""

    why: str


def _messages(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]
