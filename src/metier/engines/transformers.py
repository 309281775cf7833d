"""The default engine: a transformers model on CPU or GPU, batched for throughput. Knows nothing about tasks or files.

What makes it faster than one ``generate()`` call a batch: the part all prompts share is computed once and kept;
samples of one prompt start from one prefill; prompts are batched by length; rows that have ended leave the batch;
logits are computed only where a token is drawn or scored.
"""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metier.engines.base import (
    EngineStats,
    Generation,
    GenerationRequest,
    Progress,
    Prompt,
    Scores,
    ScoringRequest,
)
from metier.engines.kv_cache import cache_from_prefix, cache_from_rows, new_cache, set_rows
from metier.engines.rows import Rows
from metier.engines.sampling import next_tokens, uniforms
from metier.errors import MetierError
from metier.models.load import load_causal, pick_device

_END_OF_TURN = ("<|im_end|>", "<end_of_turn>", "<|eot_id|>", "<|end|>", "<|endoftext|>")
_LOGITS_BYTES = 512 * 2**20  # the most that the float32 logits of one scoring step may take
_PREFIX_WORTH = 16  # a shared prefix shorter than this is not worth a pass of its own


@dataclasses.dataclass(frozen=True, slots=True)
class _Encoded:
    """A request's prompt as tokens: the shared prefix (may be empty) and the rest (never empty)."""

    index: int
    prefix: tuple[int, ...]
    rest: tuple[int, ...]


class TransformersEngine:
    """Runs one causal language model with transformers.

    Args:
        model: Folder with config, safetensors and tokenizer.
        adapter: Folder of a PEFT adapter to put on it.
        dtype: ``auto``, ``bfloat16`` or ``float32``.
        device: ``auto``, ``cpu``, ``cuda`` …
        batch_rows: Rows decoded at once, at most.
        batch_tokens: Tokens held at once (rows times prompt and answer), at most.
        trust_remote_code: Run code that comes with the model.
    """

    def __init__(
        self,
        model: Path,
        *,
        adapter: Path | None = None,
        dtype: str = "auto",
        device: str = "auto",
        batch_rows: int = 64,
        batch_tokens: int = 32_768,
        trust_remote_code: bool = False,
    ) -> None:
        self._device = pick_device(device)
        self._model, self._tokenizer = load_causal(
            model, dtype=dtype, device=self._device, trust_remote_code=trust_remote_code
        )
        if adapter is not None:
            self._model = _with_adapter(self._model, adapter)
        self._model.requires_grad_(False)
        self._batch_rows = batch_rows
        self._batch_tokens = batch_tokens
        self._layers: int = self._model.config.get_text_config().num_hidden_layers
        self._end_tokens = _end_tokens(self._model, self._tokenizer)
        # The last position as an index, not as a slice: a slice is not contiguous, and the product with the output
        # embeddings would then copy them once for every row of the batch (seconds, on a CPU).
        self._last = torch.tensor([-1], device=self._device)
        self._prefix: tuple[tuple[int, ...], Any] = ((), None)
        self._said_memory = False
        self.stats = EngineStats()

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        return self._tokenizer

    @property
    def context_length(self) -> int:
        """The most tokens a prompt and its answer may have together."""
        return int(getattr(self._model.config.get_text_config(), "max_position_embeddings", 2048))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, special tokens not added."""
        return [len(self._tokens(text)) for text in texts]

    @torch.inference_mode()
    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Generation]:
        """Continue every prompt; see `Engine.generate`.

        Raises:
            MetierError: A prompt and its answer do not fit the model's context, or memory is short even for one row.
        """
        start, tokens_before, done = time.perf_counter(), self.stats.generated_tokens, 0
        encoded = [self._encode(i, r.prompt, r.max_tokens) for i, r in enumerate(requests)]
        results: dict[int, Generation] = {}
        for batch in self._batches(
            encoded,
            key=lambda e: (e.prefix, requests[e.index].top_k),
            rows=lambda e: requests[e.index].samples,
            room=lambda e: requests[e.index].max_tokens,
        ):
            for part in self._halving(batch, lambda rows: self._generate_batch(rows, requests)):
                results.update(part)
                done += len(part)
                if progress:
                    progress(done, self.stats.generated_tokens - tokens_before)
        self.stats.seconds += time.perf_counter() - start
        return [results[i] for i in range(len(requests))]

    @torch.inference_mode()
    def score(self, requests: Sequence[ScoringRequest], progress: Progress | None = None) -> list[Scores]:
        """Score every prompt's continuations; see `Engine.score`.

        Raises:
            MetierError: A prompt and a continuation do not fit the model's context, or memory is short for one row.
        """
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
            for part in self._halving(batch, lambda rows: self._score_batch(rows, answers)):
                results.update(part)
                done += len(part)
                if progress:
                    progress(done, 0)
        self.stats.seconds += time.perf_counter() - start
        return [results[i] for i in range(len(requests))]

    # From here on, one batch.

    def _generate_batch(self, batch: list[_Encoded], requests: Sequence[GenerationRequest]) -> dict[int, Generation]:
        asked = [requests[e.index] for e in batch]
        samples = [r.samples for r in asked]
        cache, mask, positions, logits = self._prefill(batch)
        owner = torch.repeat_interleave(torch.arange(len(batch)), torch.tensor(samples))
        if max(samples) > 1:
            index = owner.to(self._device)
            set_rows(cache, index)
            mask, positions, logits = mask[index], positions[index], logits[index]
        steps = max(r.max_tokens for r in asked)
        draws = torch.from_numpy(
            np.concatenate([uniforms(r.seed, r.samples, steps, r.first_sample) for r in asked])
        ).to(self._device)
        temperature = torch.tensor([asked[o].temperature for o in owner.tolist()], device=self._device)
        rows = Rows([asked[o] for o in owner.tolist()], self._end_tokens, self._tokenizer)
        live = torch.arange(len(owner), device=self._device)  # row of the cache -> row of the batch
        for step in range(steps):
            tokens = next_tokens(logits, temperature[live], asked[0].top_k, draws[live, step])
            rows.add(live.tolist(), tokens.tolist())
            self.stats.generated_tokens += len(live)
            going = [i for i, row in enumerate(live.tolist()) if not rows.ended[row]]
            if not going:
                break
            # Dropping ended rows copies the cache, so it waits until an eighth of them has ended.
            if len(going) <= len(live) * 7 // 8:
                keep = torch.tensor(going, device=self._device)
                set_rows(cache, keep)
                live, mask, positions, tokens = live[keep], mask[keep], positions[keep], tokens[keep]
            mask = torch.cat([mask, mask.new_ones(len(live), 1)], dim=1)
            positions = positions + 1
            logits = self._model(
                input_ids=tokens.unsqueeze(1),
                attention_mask=mask,
                position_ids=positions.unsqueeze(1),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=self._last,
            ).logits[:, -1]
        out, first = {}, 0
        for e, count in zip(batch, samples, strict=True):
            out[e.index] = rows.generation(first, first + count)
            first += count
        return out

    def _score_batch(self, batch: list[_Encoded], answers: list[list[list[int]]]) -> dict[int, Scores]:
        cache, mask, positions, logits = self._prefill(batch)
        first = logits.float().log_softmax(dim=-1)
        pairs = [(o, tokens) for o, e in enumerate(batch) for tokens in answers[e.index]]
        longest = max(len(tokens) for _, tokens in pairs)
        room = _LOGITS_BYTES // (4 * logits.shape[-1] * max(1, longest - 1))
        size = max(1, min(len(pairs), self._batch_rows * 4, room))
        total: list[float] = []
        for begin in range(0, len(pairs), size):
            total += self._score_rows(pairs[begin : begin + size], cache, mask, positions, first)
        out, begin = {}, 0
        for e in batch:
            count = len(answers[e.index])
            lengths = tuple(len(tokens) for tokens in answers[e.index])
            out[e.index] = Scores(tuple(total[begin : begin + count]), lengths)
            begin += count
        return out

    def _score_rows(
        self,
        pairs: list[tuple[int, list[int]]],
        cache: Any,
        mask: torch.Tensor,
        positions: torch.Tensor,
        first: torch.Tensor,
    ) -> list[float]:
        """Sum the log-probabilities of each pair's tokens, given the prompts' cache and first distribution."""
        owner = torch.tensor([o for o, _ in pairs], device=self._device)
        starts = torch.tensor([tokens[0] for _, tokens in pairs], device=self._device)
        sums = first[owner, starts].double()
        longest = max(len(tokens) for _, tokens in pairs)
        if longest == 1:
            return [float(x) for x in sums.tolist()]
        ids = torch.zeros(len(pairs), longest, dtype=torch.long)
        real = torch.zeros(len(pairs), longest, dtype=torch.long)
        for row, (_, tokens) in enumerate(pairs):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            real[row, : len(tokens)] = 1
        ids, real = ids.to(self._device), real.to(self._device)
        own = cache_from_rows(cache, owner, self._layers)
        steps = torch.arange(1, longest, device=self._device)
        logits = self._model(
            input_ids=ids[:, :-1],
            attention_mask=torch.cat([mask[owner], real[:, :-1]], dim=1),
            position_ids=positions[owner].unsqueeze(1) + steps,
            past_key_values=own,
            use_cache=True,
        ).logits
        # The wanted log-probabilities alone: a softmax over the vocabulary would write as much again as the logits.
        wanted = logits.gather(2, ids[:, 1:].unsqueeze(2)).squeeze(2).float()
        logprobs = wanted - logits.float().logsumexp(dim=-1)
        sums = sums + (logprobs * real[:, 1:]).double().sum(dim=1)
        return [float(x) for x in sums.tolist()]

    def _prefill(self, batch: list[_Encoded]) -> tuple[Any, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Run the prompts; return the cache, its mask, each row's last position, and its last logits."""
        prefix = batch[0].prefix
        cache = cache_from_prefix(self._prefix_cache(prefix), self._layers, len(batch))
        width = max(len(e.rest) for e in batch)
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        mask = torch.ones(len(batch), len(prefix) + width, dtype=torch.long)
        for row, e in enumerate(batch):
            ids[row, width - len(e.rest) :] = torch.tensor(e.rest)
            mask[row, len(prefix) : len(prefix) + width - len(e.rest)] = 0
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, len(prefix) :]
        ids, mask, positions = (t.to(self._device) for t in (ids, mask, positions))
        logits = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=self._last,
        ).logits[:, -1]
        self.stats.prompt_tokens += sum(len(e.rest) for e in batch)
        return cache, mask, positions[:, -1], logits

    def _prefix_cache(self, prefix: tuple[int, ...]) -> Any:
        """Return the one-row cache of a prefix, computed once; None for no prefix."""
        if not prefix:
            return None
        if self._prefix[0] != prefix:
            cache = new_cache(self._layers)
            ids = torch.tensor([prefix], device=self._device)
            self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=self._last)
            self.stats.prompt_tokens += len(prefix)
            self._prefix = (prefix, cache)
        return self._prefix[1]

    # From here on, tokens and batches.

    def _tokens(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _answer_tokens(self, text: str) -> list[int]:
        return [*self._tokens(text), self._tokenizer.eos_token_id]

    def _encode(self, index: int, prompt: Prompt, room: int) -> _Encoded:
        tokens = self._tokens(prompt.text)
        if len(tokens) + room > self.context_length:
            raise MetierError(
                f"request {index}: a prompt of {len(tokens)} tokens and an answer of up to {room} do not fit "
                f"the model's context of {self.context_length}",
                hint="shorten the instruction, the examples or this input, or use a model with a longer context",
            )
        # The last token of the shared text may merge with what follows it, so it is not shared.
        shared = tuple(self._tokens(prompt.text[: prompt.shared])[:-1])
        if len(shared) < _PREFIX_WORTH or tuple(tokens[: len(shared)]) != shared or len(tokens) == len(shared):
            return _Encoded(index, (), tuple(tokens))
        return _Encoded(index, shared, tuple(tokens[len(shared) :]))

    def _batches(
        self,
        encoded: list[_Encoded],
        *,
        key: Callable[[_Encoded], Any],
        rows: Callable[[_Encoded], int],
        room: Callable[[_Encoded], int],
    ) -> list[list[_Encoded]]:
        """Group requests that can run together, longest first, within the limits on rows and tokens."""
        groups: dict[Any, list[_Encoded]] = {}
        for e in encoded:
            groups.setdefault(key(e), []).append(e)
        batches: list[list[_Encoded]] = []
        for group in groups.values():
            group.sort(key=lambda e: (-len(e.rest), e.index))
            batch: list[_Encoded] = []
            held = 0
            for e in group:
                width = len(group[0].prefix) + len((batch or [e])[0].rest) + max(room(x) for x in [*batch, e])
                full = held + rows(e) > self._batch_rows or (held + rows(e)) * width > self._batch_tokens
                if batch and full:
                    batches.append(batch)
                    batch, held = [], 0
                batch.append(e)
                held += rows(e)
            batches.append(batch)
        return batches

    def _halving(self, batch: list[_Encoded], work: Callable[[list[_Encoded]], dict[int, Any]]) -> list[dict[int, Any]]:
        """Run a batch; where memory is short, run it in two halves, and say so once."""
        try:
            return [work(batch)]
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise MetierError(
                    "memory is short even for a batch of one prompt",
                    hint="lower synthesis.output_samples or the token limits, or use a smaller model",
                ) from error
        self._prefix = ((), None)
        if self._device.startswith("cuda"):
            torch.cuda.empty_cache()
        if not self._said_memory:
            warnings.warn("memory is short: batches are halved (set engine.batch_rows lower)", stacklevel=2)
            self._said_memory = True
        middle = len(batch) // 2
        return self._halving(batch[:middle], work) + self._halving(batch[middle:], work)


def _with_adapter(model: Any, adapter: Path) -> Any:
    from peft import PeftModel

    # The adapter's layers are put into the model in place; the wrapper around it is not needed to run it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return PeftModel.from_pretrained(model, str(adapter)).get_base_model().eval()


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    found = {tokenizer.eos_token_id}
    configured = model.generation_config.eos_token_id
    found.update(configured if isinstance(configured, list) else [configured])
    known = tokenizer.get_added_vocab()
    found.update(known[token] for token in _END_OF_TURN if token in known)
    return frozenset(token for token in found if token is not None)


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in text or "out of memory" in text
