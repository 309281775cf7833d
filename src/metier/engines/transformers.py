"""The default engine: a transformers model on CPU or GPU, batched for throughput. Knows nothing about tasks or files.

It is faster than one ``generate()`` call per batch because the part that all prompts share is computed once and kept;
samples of one prompt start from one prefill; prompts are batched by length; ended rows make room for waiting prompts
(`decoding`); labels are scored side by side in one pass (`scoring`); and logits are computed only where a token is
drawn or scored.
"""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from metier.core.errors import MetierError
from metier.engines.base import (
    EngineStats,
    Generation,
    GenerationRequest,
    Progress,
    Scores,
    ScoringRequest,
    ToldOfTokens,
)
from metier.engines.control_tokens import PromptReader
from metier.engines.decoding import Decoder, Waiting
from metier.engines.forward import Forward
from metier.engines.prompts import Prompt
from metier.engines.scoring import score_batch
from metier.engines.streaming import Streaming
from metier.engines.weights import Weights

_PREFIX_WORTH = 16  # tokens; a shorter shared prefix is not worth its own pass


@dataclasses.dataclass(frozen=True, slots=True)
class Encoded:
    """A request's prompt as tokens: the shared prefix (may be empty) and the rest (never empty)."""

    index: int
    prefix: tuple[int, ...]
    rest: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Batching:
    """How much is run at once, at most.

    Attributes:
        rows: Rows decoded.
        tokens: Tokens held: rows times prompt and answer.
    """

    rows: int = 64
    tokens: int = 32_768


class TransformersEngine:
    """Runs one causal language model with transformers.

    Args:
        model: Folder with config, safetensors and tokenizer, or a model in memory; ``dtype`` and what follows is then
            as it was loaded.
        adapter: Folder of a PEFT adapter to apply.
        dtype: ``auto``, ``bfloat16``, ``float32`` or ``int8``.
        device: ``auto``, ``cpu``, ``cuda`` …
        batching: How much is run at once.
        trust_remote_code: Run code that comes with the model.

    Attributes:
        weights: The model in memory, which other engines may share.
        adapter: Its adapter's name there; None: the model as it is.
        batching: How much is run at once.
        forward: Runs the model over prompts.
        decoder: Continues them.
    """

    def __init__(
        self,
        model: Path | Weights,
        *,
        adapter: Path | None = None,
        dtype: str = "auto",
        device: str = "auto",
        batching: Batching = Batching(),
        trust_remote_code: bool = False,
    ) -> None:
        self.weights = (
            model
            if isinstance(model, Weights)
            else Weights(model, dtype=dtype, device=device, trust_remote_code=trust_remote_code)
        )
        self.adapter = self.weights.put_on(adapter) if adapter is not None else None
        self._model, self._tokenizer = self.weights.model, self.weights.tokenizer
        self._reader = PromptReader(self._tokenizer)
        self.batching = batching
        self._warned = False
        self.stats = EngineStats()
        # What it keeps of a shared prefix is the adapter's own.
        self.forward = Forward(self._model, self.weights.device, self.stats)
        self.decoder = Decoder(self.forward, self.weights.end_tokens, self._tokenizer, self.weights.vocabulary)
        self._streaming = Streaming(self.decoder)

    def beside(self, adapter: Path | None) -> TransformersEngine:
        """Return an engine on the same model in memory with another adapter, or none; the two are used in turns.

        Raises:
            MetierError: It is not an adapter of this model.
        """
        return TransformersEngine(self.weights, adapter=adapter, batching=self.batching)

    def use(self) -> None:
        """Let its adapter answer from now on: other engines on the same model may have used theirs."""
        self.weights.use(self.adapter)

    @property
    def tokenizer(self) -> Any:
        """The model's own tokenizer, with all that transformers gives it."""
        return self._tokenizer

    @property
    def context_length(self) -> int:
        """The most tokens a prompt and its answer may have together."""
        return int(getattr(self._model.config.get_text_config(), "max_position_embeddings", 2048))

    @property
    def guides(self) -> bool:
        """Whether it can keep to a JSON schema, and tell how likely tokens were; see `Guides`."""
        return self.weights.vocabulary.readable

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, special tokens not added."""
        return [len(self._tokens(text)) for text in texts]

    @torch.inference_mode()
    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Generation]:
        """Continue every prompt; see `Engine.generate`.

        Raises:
            MetierError: A prompt and its answer do not fit the model's context, or one row does not fit in memory.
        """
        self.use()
        start, tokens_before = time.perf_counter(), self.stats.generated_tokens
        encoded = self.encoded(requests)
        results: dict[int, Generation] = {}
        groups: dict[Any, list[Encoded]] = {}
        for e in encoded:
            groups.setdefault((e.prefix, requests[e.index].top_k), []).append(e)
        for (prefix, _), group in groups.items():
            # Longest first: rows added later are then never wider than those already there.
            group.sort(key=lambda e: (-len(e.rest), e.index))
            waiting = [Waiting(e.index, requests[e.index], e.rest) for e in group]
            for index, generation in self._decoded(prefix, waiting):
                results[index] = generation
                if progress:
                    progress(len(results), self.stats.generated_tokens - tokens_before)
        self.stats.seconds += time.perf_counter() - start
        return [results[i] for i in range(len(requests))]

    @torch.inference_mode()
    def stream(self, request: GenerationRequest, told: ToldOfTokens | None = None) -> Iterator[str]:
        """Yield the continuation of one prompt piece by piece; see `Streams`.

        Continuations that are being streamed at the same time are written side by side.

        Raises:
            MetierError: The prompt and its answer do not fit the model's context.
        """
        if getattr(self._tokenizer, "clean_up_tokenization_spaces", False):  # it changes what was written before
            made = self.generate([request])[0]
            if told is not None and made.steps:
                told(made.steps[0])
            yield made.texts[0]
            return
        encoded = self._encode(0, request.prompt, request.max_tokens)
        self.use()
        text = self._streaming.begin(encoded.prefix, Waiting(0, request, encoded.rest))
        try:
            while True:
                self.use()
                piece = self._streaming.next(text)
                if told is not None:
                    told(self._streaming.steps(text))
                if piece is None:
                    return
                yield piece
        finally:
            self._streaming.drop(text)

    @torch.inference_mode()
    def score(self, requests: Sequence[ScoringRequest], progress: Progress | None = None) -> list[Scores]:
        """Score every prompt's continuations; see `Engine.score`.

        Raises:
            MetierError: A prompt and a continuation do not fit the model's context, or one row does not fit in memory.
        """
        self.use()
        start, done = time.perf_counter(), 0
        answers = [[self._answer_tokens(text) for text in r.continuations] for r in requests]
        longest = [max(len(tokens) for tokens in one) for one in answers]
        encoded = [self._encode(i, r.prompt, longest[i]) for i, r in enumerate(requests)]
        results: dict[int, Scores] = {}
        for batch in self._batches(
            encoded,
            key=lambda e: e.prefix,
            rows=lambda e: len(answers[e.index]),
            room=lambda e: longest[e.index],
        ):
            for part in self._halving(batch, lambda rows: self._scored(rows, answers)):
                results.update(part)
                done += len(part)
                if progress:
                    progress(done, 0)
        self.stats.seconds += time.perf_counter() - start
        return [results[i] for i in range(len(requests))]

    def encoded(self, requests: Sequence[GenerationRequest]) -> list[Encoded]:
        """Return the requests' prompts as tokens.

        Raises:
            MetierError: A prompt and its answer do not fit the model's context.
        """
        return [self._encode(i, r.prompt, r.max_tokens) for i, r in enumerate(requests)]

    def _decoded(self, prefix: tuple[int, ...], waiting: list[Waiting]) -> Iterator[tuple[int, Generation]]:
        """Yield what is decoded; if memory runs out, continue with half as many rows and warn once."""
        rows, tokens = self.batching.rows, self.batching.tokens
        done: set[int] = set()
        while len(done) < len(waiting):
            left = [w for w in waiting if w.key not in done]
            try:
                for index, generation in self.decoder.decode(prefix, left, rows, tokens):
                    done.add(index)
                    yield index, generation
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                if rows == 1:
                    raise _out_of_memory() from error
                rows, tokens = rows // 2, tokens // 2
                self._free_memory()

    def _scored(self, batch: list[Encoded], answers: list[list[list[int]]]) -> dict[int, Scores]:
        wanted = [answers[e.index] for e in batch]
        sums = score_batch(self.forward, batch[0].prefix, [e.rest for e in batch], wanted, self.batching.rows * 4)
        return {
            e.index: Scores(tuple(found), tuple(len(tokens) for tokens in one))
            for e, found, one in zip(batch, sums, wanted, strict=True)
        }

    def _tokens(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _answer_tokens(self, text: str) -> list[int]:
        return [*self._tokens(text), self._tokenizer.eos_token_id]

    def _encode(self, index: int, prompt: Prompt, room: int) -> Encoded:
        tokens = self._reader.tokens(prompt.text, prompt.data)
        if len(tokens) + room > self.context_length:
            raise MetierError(
                f"request {index}: a prompt of {len(tokens)} tokens and an answer of up to {room} do not fit "
                f"the model's context of {self.context_length}",
                hint="shorten the instruction, the examples or this input, or use a model with a longer context",
            )
        # The last token of the shared text may merge with the text after it, so it is not shared.
        shared = tuple(self._tokens(prompt.text[: prompt.shared])[:-1])
        if len(shared) < _PREFIX_WORTH or tuple(tokens[: len(shared)]) != shared or len(tokens) == len(shared):
            return Encoded(index, (), tuple(tokens))
        return Encoded(index, shared, tuple(tokens[len(shared) :]))

    def _batches(
        self,
        encoded: list[Encoded],
        *,
        key: Callable[[Encoded], Any],
        rows: Callable[[Encoded], int],
        room: Callable[[Encoded], int],
    ) -> list[list[Encoded]]:
        """Group requests that can run together, longest first, within the limits on rows and tokens."""
        groups: dict[Any, list[Encoded]] = {}
        for e in encoded:
            groups.setdefault(key(e), []).append(e)
        batches: list[list[Encoded]] = []
        for group in groups.values():
            group.sort(key=lambda e: (-len(e.rest), e.index))
            batch: list[Encoded] = []
            held = 0
            for e in group:
                width = len(group[0].prefix) + len((batch or [e])[0].rest) + max(room(x) for x in [*batch, e])
                full = held + rows(e) > self.batching.rows or (held + rows(e)) * width > self.batching.tokens
                if batch and full:
                    batches.append(batch)
                    batch, held = [], 0
                batch.append(e)
                held += rows(e)
            batches.append(batch)
        return batches

    def _halving(self, batch: list[Encoded], work: Callable[[list[Encoded]], dict[int, Any]]) -> list[dict[int, Any]]:
        """Run a batch; if memory runs out, run it in two halves and warn once."""
        try:
            return [work(batch)]
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise _out_of_memory() from error
        self._free_memory()
        middle = len(batch) // 2
        return self._halving(batch[:middle], work) + self._halving(batch[middle:], work)

    def _free_memory(self) -> None:
        self.forward.forget()
        if self.weights.device.startswith("cuda"):
            torch.cuda.empty_cache()
        if not self._warned:
            warnings.warn("out of memory: batches are halved (lower engine.batch_rows to avoid this)", stacklevel=2)
            self._warned = True


def _out_of_memory() -> MetierError:
    return MetierError(
        "out of memory even for a batch of one prompt",
        hint="lower synthesis.output_samples or the token limits, or use a smaller model",
    )


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in text or "out of memory" in text
