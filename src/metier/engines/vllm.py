"""An engine on vLLM, for GPUs (and, with its build for processors, CPUs): offline batches, cached prefixes, adapters.

Needs the extra ``metier[vllm]``. vLLM does its own batching and caches shared prefixes, so it gets requests in bulk.
Knows nothing about tasks.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from metier.core.errors import MetierError, UserError, first_line
from metier.engines.base import EngineStats, Generation, GenerationRequest, Progress, Scores, ScoringRequest
from metier.engines.control_tokens import PromptReader
from metier.engines.end_tokens import end_tokens_in
from metier.engines.prompts import Prompt
from metier.engines.questions import Found, Question, found, questions, total
from metier.models.processor import cpu_prefers_bf16
from metier.models.tokenizer import Tokenizer

_PART = 512  # prompts between two progress reports
_RANK = 16  # of adapters: what is reserved, at least
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # those that vLLM can make room for
ADAPTERS = 4  # held ready; one more takes the place of the one that was used least recently
ALTERNATIVES = 128  # log-probabilities that vLLM gives for one place, at most
_CPU_CACHE = 2 * 2**30  # bytes of keys and values on a processor, at most: all of them are taken at once
_CPU_BLOCK = 32  # tokens; a cached prefix is a number of whole blocks, and vLLM's own 128 hold most of a short prompt


class VllmEngine:
    """Runs one causal language model with vLLM.

    Args:
        model: Folder with config, safetensors and tokenizer, or a model in memory; ``dtype`` and what follows is then
            as it was loaded.
        adapter: Folder of a PEFT adapter to answer with.
        dtype: ``auto``, ``bfloat16`` or ``float32``.
        memory_share: Share of the GPU's memory that vLLM may take.
        tensor_parallel: GPUs that share one model.
        trust_remote_code: Run code that comes with the model.

    Raises:
        UserError: The extra is not installed.
        MetierError: vLLM cannot run the model here.
    """

    def __init__(
        self,
        model: Path | Loaded,
        *,
        adapter: Path | None = None,
        dtype: str = "auto",
        memory_share: float = 0.85,
        tensor_parallel: int = 1,
        trust_remote_code: bool = False,
    ) -> None:
        if not isinstance(model, Loaded):
            settings = {
                "dtype": dtype,
                "gpu_memory_utilization": memory_share,
                "tensor_parallel_size": tensor_parallel,
                "trust_remote_code": trust_remote_code,
            }
            model = Loaded(model, settings, _RANK if adapter is None else max(_RANK, rank_for(adapter)))
        self._loaded = model
        self._lora = model.put_on(adapter) if adapter is not None else None
        self._tokenizer: Tokenizer = model.llm.get_tokenizer()
        self._reader = PromptReader(self._tokenizer)
        self._ends = sorted(end_tokens_in(model.folder, self._tokenizer))
        self.stats = EngineStats()

    def beside(self, adapter: Path | None) -> VllmEngine:
        """Return an engine on the same model in memory with another adapter, or none.

        An adapter of a larger rank than there is room for gets a model of its own.

        Raises:
            MetierError: It is not an adapter of this model.
        """
        loaded = self._loaded
        if adapter is not None and not self.fits(adapter):
            loaded = Loaded(loaded.folder, loaded.settings, rank_for(adapter))
        return VllmEngine(loaded, adapter=adapter)

    def fits(self, adapter: Path | None) -> bool:
        """Whether there is room for an adapter's rank on the model in memory."""
        return adapter is None or rank_for(adapter) <= self._loaded.rank

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        return self._tokenizer

    @property
    def context_length(self) -> int:
        """The most tokens a prompt and its answer may have together."""
        return int(self._loaded.llm.model_config.max_model_len)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, special tokens not added."""
        return [len(self._tokens(text)) for text in texts]

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Generation]:
        """Continue every prompt; see `Engine.generate`.

        Raises:
            MetierError: A prompt and its answer do not fit the model's context.
        """
        from vllm import SamplingParams

        start, before, out = time.perf_counter(), self.stats.generated_tokens, list[Generation]()
        prompts = [self._fitting(i, r.prompt, r.max_tokens) for i, r in enumerate(requests)]
        settings = [
            SamplingParams(
                n=r.samples,
                max_tokens=r.max_tokens,
                temperature=r.temperature,
                top_k=r.top_k if r.top_k else 0,
                stop=list(r.stop) or None,
                stop_token_ids=self._ends,
                seed=r.seed + r.first_sample,
            )
            for r in requests
        ]
        for answer in self._asked(prompts, settings):
            texts = tuple(o.text for o in answer.outputs)
            out.append(Generation(texts, tuple(o.finish_reason != "length" for o in answer.outputs)))
            self.stats.generated_tokens += sum(len(o.token_ids) for o in answer.outputs)
            if progress:
                progress(len(out), self.stats.generated_tokens - before)
        self.stats.seconds += time.perf_counter() - start
        return out

    def score(self, requests: Sequence[ScoringRequest], progress: Progress | None = None) -> list[Scores]:
        """Score every prompt's continuations; see `Engine.score`.

        vLLM gives log-probabilities of named tokens at the end of a prompt. So each place where continuations part is
        asked for: the prompt, then the prompt with the first token of each, and so on. All but the last block of such a
        prompt is in the cache. (Log-probabilities inside a prompt, in its place, would have it read whole each time.)

        Raises:
            MetierError: A prompt and a continuation do not fit the model's context.
        """
        from vllm import SamplingParams

        start = time.perf_counter()
        tails = [[(*self._tokens(text), self._tokenizer.eos_token_id) for text in r.continuations] for r in requests]
        asked: list[tuple[int, Question]] = []
        prompts: list[list[int]] = []
        for i, (request, ends) in enumerate(zip(requests, tails, strict=True)):
            head = self._fitting(i, request.prompt, max(len(end) for end in ends))
            for question in questions(ends, ALTERNATIVES):
                asked.append((i, question))
                prompts.append([*head, *question.behind])
        settings = [
            SamplingParams(
                max_tokens=1 if question.then is None else 2,
                temperature=0.0,
                logprob_token_ids=list(question.wanted),
                allowed_token_ids=None if question.then is None else [question.then],
                ignore_eos=True,
                detokenize=False,
                skip_clone=True,
            )
            for _, question in asked
        ]
        at: list[Found] = [{} for _ in requests]
        for (i, question), answer in zip(asked, self._asked(prompts, settings), strict=True):
            steps = answer.outputs[0].logprobs
            at[i] |= found(question, [{token: float(one.logprob) for token, one in step.items()} for step in steps])
            if progress:
                progress(i, 0)  # requests before this one are done
        if progress:
            progress(len(requests), 0)
        self.stats.seconds += time.perf_counter() - start
        return [total(ends, one) for ends, one in zip(tails, at, strict=True)]

    def close(self) -> None:
        """Let the model go, for every engine on it."""
        self._loaded.close()

    def _asked(self, prompts: Sequence[list[int]], settings: Sequence[Any]) -> Iterator[Any]:
        """Yield vLLM's answers to prompts, in order."""
        for begin in range(0, len(prompts), _PART):
            part = [{"prompt_token_ids": tokens} for tokens in prompts[begin : begin + _PART]]
            asked = list(settings[begin : begin + _PART])
            for answer in self._loaded.llm.generate(part, asked, use_tqdm=False, lora_request=self._lora):
                self.stats.prompt_tokens += len(answer.prompt_token_ids) - (answer.num_cached_tokens or 0)
                yield answer

    def _tokens(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _fitting(self, index: int, prompt: Prompt, room: int) -> list[int]:
        tokens = self._reader.tokens(prompt.text, prompt.data)
        if len(tokens) + room > self.context_length:
            raise MetierError(
                f"request {index}: a prompt of {len(tokens)} tokens and an answer of up to {room} do not fit "
                f"the model's context of {self.context_length}",
                hint="shorten the instruction, the examples or this input, or use a model with a longer context",
            )
        return tokens


class Loaded:
    """A model that vLLM has in memory, and the adapters that it was given.

    Args:
        folder: The model's folder.
        settings: How vLLM runs it, by vLLM's names.
        rank: The largest rank of an adapter that there will be room for.

    Raises:
        UserError: The extra is not installed.
        MetierError: vLLM cannot run the model here.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], rank: int) -> None:
        try:
            import vllm
            from vllm.platforms import current_platform
        except ImportError as error:
            raise UserError("engine.kind: vllm is not installed", hint="pip install 'metier[vllm]'") from error
        self.folder, self.settings = folder, settings
        self.rank = rank
        here = dict(settings)
        if current_platform.is_cpu():
            here.update(on_a_processor(settings))
        try:
            self.llm: Any = vllm.LLM(
                model=str(folder),
                enable_prefix_caching=True,
                enable_lora=True,
                max_lora_rank=self.rank,
                max_loras=ADAPTERS,
                disable_log_stats=True,
                **here,
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise MetierError(f"{folder}: vLLM cannot run this model here ({first_line(error)})") from error
        self._adapters: dict[Path, Any] = {}

    def put_on(self, adapter: Path) -> Any:
        """Return vLLM's handle of an adapter, which it loads when it is first used.

        Raises:
            MetierError: It is not an adapter of this model.
        """
        from vllm.lora.request import LoRARequest

        if adapter not in self._adapters:
            number = len(self._adapters) + 1
            made = LoRARequest(f"adapter{number}", number, str(adapter))
            try:
                self.llm.llm_engine.add_lora(made)
            except Exception as error:  # it comes from another process, as whatever kind that raised
                raise MetierError(f"{adapter}: cannot be put on its base model ({first_line(error)})") from error
            self._adapters[adapter] = made
        return self._adapters[adapter]

    def close(self) -> None:
        """End vLLM's processes, and with them the memory they hold."""
        self.llm.llm_engine.engine_core.shutdown()


def on_a_processor(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what vLLM is told otherwise on a processor.

    A seeded request whose prompt is read in several pieces fails there ("CPU Generator does not use offset"), so each
    prompt is read at once.
    """
    room = int(settings["gpu_memory_utilization"] * psutil.virtual_memory().available)
    auto = "bfloat16" if cpu_prefers_bf16() else "float32"  # as `metier.models.load` has it
    return {
        "dtype": auto if settings["dtype"] == "auto" else settings["dtype"],
        "enable_chunked_prefill": False,
        "kv_cache_memory_bytes": min(_CPU_CACHE, room),
        "block_size": _CPU_BLOCK,
    }


def rank_for(adapter: Path) -> int:
    """Return the rank that vLLM must be told to make room for, so that it takes an adapter.

    Raises:
        MetierError: It is not an adapter, or its rank is larger than vLLM takes.
    """
    try:
        rank = int(json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))["r"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MetierError(f"{adapter}: is not an adapter ({first_line(error)})") from error
    if rank > _RANKS[-1]:
        raise MetierError(f"{adapter}: vLLM takes adapters of rank {_RANKS[-1]} at most, and this has {rank}")
    return next(known for known in _RANKS if known >= rank)
