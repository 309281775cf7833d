"""An engine that answers as a test says, and a tokenizer of bytes, for tests that need no language model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from metier.core.records import Example
from metier.engines.base import EngineStats, Generation, GenerationRequest, Progress, Scores, ScoringRequest
from metier.synthesis.brief import Brief
from metier.tasks.settings import SynthesisSettings

Answer = Callable[[GenerationRequest, int], str]
"""From a request and the number of a sample to its text; what is longer than the request allows is cut off."""

Score = Callable[[str, str], float]
"""From a prompt and a continuation to the continuation's log-probability."""

_TURN = "<|user|>"


class ByteTokenizer:
    """As much of a tokenizer as `PromptFormat` needs; a token is a byte.

    Args:
        chat: Whether it has a chat template.
    """

    bos_token: str | None = None
    bos_token_id: int | None = None
    eos_token_id: int = 0

    def __init__(self, *, chat: bool = True) -> None:
        self.chat_template = "scripted" if chat else None

    def __call__(
        self, text: str, *, add_special_tokens: bool = True, return_offsets_mapping: bool = False
    ) -> dict[str, list[int]]:
        """Return a text's tokens."""
        assert not return_offsets_mapping
        return {"input_ids": list(text.encode())}

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Return the text of some tokens."""
        return bytes(token_ids).decode()

    def get_added_vocab(self) -> dict[str, int]:
        """Return no special tokens."""
        return {}

    def apply_chat_template(
        self, conversation: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> str:
        """Return a conversation as text."""
        assert not tokenize and add_generation_prompt
        return "".join(f"<|{m['role']}|>{m['content']}\n" for m in conversation) + "<|assistant|>"

    def save_pretrained(self, save_directory: str) -> None:
        """Refuse: nothing could load it."""
        raise AssertionError("a scripted tokenizer is not saved")


def last_question(prompt: str) -> str:
    """Return the last user turn of a prompt that was rendered with a `ByteTokenizer`'s chat template."""
    return prompt.rpartition(_TURN)[2].removesuffix("\n<|assistant|>")


class ScriptedEngine:
    """Keeps the `Engine` protocol without a model, and records what it was asked.

    Args:
        answer: What to write: a function, or a table from a prompt's last user turn to the samples in order.
        score: How likely a continuation is.
        context_length: In bytes.

    Attributes:
        generated: Every generation request, in order.
        scored: Every scoring request, in order.
    """

    def __init__(
        self,
        answer: Answer | Mapping[str, Sequence[str]] | None = None,
        score: Score | None = None,
        *,
        context_length: int = 100_000,
    ) -> None:
        self._answer = answer
        self._score = score
        self._context_length = context_length
        self.stats = EngineStats()
        self.generated: list[GenerationRequest] = []
        self.scored: list[ScoringRequest] = []

    @property
    def context_length(self) -> int:
        """The most bytes a prompt and its answer may have together."""
        return self._context_length

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Generation]:
        """Answer as the script says."""
        made = []
        for request in requests:
            self.generated.append(request)
            self.stats.prompt_tokens += len(request.prompt.text.encode())
            numbers = range(request.first_sample, request.first_sample + request.samples)
            pairs = [self._cut(self._text(request, number), request) for number in numbers]
            self.stats.generated_tokens += sum(len(text.encode()) for text, _ in pairs)
            made.append(Generation(tuple(text for text, _ in pairs), tuple(ended for _, ended in pairs)))
        return made

    def score(self, requests: Sequence[ScoringRequest], progress: Progress | None = None) -> list[Scores]:
        """Score as the script says."""
        assert self._score is not None, "this script scores nothing"
        made = []
        for request in requests:
            self.scored.append(request)
            logprobs = tuple(self._score(request.prompt.text, text) for text in request.continuations)
            made.append(Scores(logprobs, tuple(len(text.encode()) + 1 for text in request.continuations)))
        return made

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of bytes of each text."""
        return [len(text.encode()) for text in texts]

    def _text(self, request: GenerationRequest, number: int) -> str:
        assert self._answer is not None, "this script writes nothing"
        if callable(self._answer):
            return self._answer(request, number)
        return self._answer[last_question(request.prompt.text)][number]

    @staticmethod
    def _cut(text: str, request: GenerationRequest) -> tuple[str, bool]:
        """Return a text as far as it is allowed to go, and whether it came to its end."""
        allowed = text.encode()[: request.max_tokens].decode(errors="ignore")[: request.max_chars]
        return allowed, allowed == text


class Shards:
    """Stands for a stage's shards: each is made once and kept by name."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def __call__(self, name: str, make: Callable[[], Any]) -> Any:
        """Return a shard as it was kept, or make it and keep it."""
        if name not in self.kept:
            self.kept[name] = make()
        return self.kept[name]


EXAMPLES = (Example("I was charged twice", "billing"), Example("the parcel is late", "delivery"))


def make_brief(
    labels: tuple[str, ...] | None = ("billing", "delivery"),
    examples: tuple[Example, ...] = EXAMPLES,
    **settings: Any,
) -> Brief:
    """Return a brief whose filters drop nothing by likeness, whatever else is not asked for by name at its default."""
    return Brief("Name the team.", labels, examples, SynthesisSettings(**{"near_duplicates": None, **settings}), seed=7)
