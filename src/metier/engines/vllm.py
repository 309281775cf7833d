"""An engine on vLLM, for GPUs: offline batches, cached prefixes, LoRA adapters by folder. Knows nothing about tasks.

Needs the extra ``metier[vllm]``. vLLM does its own batching and caches shared prefixes, so it gets requests in bulk.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metier.core.errors import MetierError, UserError, first_line
from metier.engines.base import EngineStats, Generation, GenerationRequest, Progress, Scores, ScoringRequest
from metier.engines.control_tokens import PromptReader
from metier.models.tokenizer import Tokenizer

_PART = 512  # requests between two progress reports


class VllmEngine:
    """Runs one causal language model with vLLM.

    Args:
        model: Folder with config, safetensors and tokenizer.
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
        model: Path,
        *,
        adapter: Path | None = None,
        dtype: str = "auto",
        memory_share: float = 0.85,
        tensor_parallel: int = 1,
        trust_remote_code: bool = False,
    ) -> None:
        try:
            import vllm
        except ImportError as error:
            raise UserError(
                "engine.kind: vllm is not installed", hint="pip install 'metier[vllm]' (needs a GPU)"
            ) from error
        rank = _adapter_rank(adapter) if adapter is not None else 16
        try:
            self._llm: Any = vllm.LLM(
                model=str(model),
                dtype=dtype,
                gpu_memory_utilization=memory_share,
                tensor_parallel_size=tensor_parallel,
                trust_remote_code=trust_remote_code,
                enable_prefix_caching=True,
                enable_lora=adapter is not None,
                max_lora_rank=rank,
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise MetierError(f"{model}: vLLM cannot run this model here ({first_line(error)})") from error
        self._lora: Any = None
        if adapter is not None:
            from vllm.lora.request import LoRARequest

            self._lora = LoRARequest(adapter.parent.name, 1, str(adapter))
        self._tokenizer: Tokenizer = self._llm.get_tokenizer()
        self._reader = PromptReader(self._tokenizer)
        self.stats = EngineStats()

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        return self._tokenizer

    @property
    def context_length(self) -> int:
        """The most tokens a prompt and its answer may have together."""
        return int(self._llm.llm_engine.model_config.max_model_len)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, special tokens not added."""
        return [len(self._tokens(text)) for text in texts]

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Generation]:
        """Continue every prompt; see `Engine.generate`.

        Raises:
            MetierError: A prompt and its answer do not fit the model's context.
        """
        from vllm import SamplingParams

        start, done, out = time.perf_counter(), 0, []
        for begin in range(0, len(requests), _PART):
            part = requests[begin : begin + _PART]
            prompts = [{"prompt_token_ids": self._fitting(begin + i, r)} for i, r in enumerate(part)]
            settings = [
                SamplingParams(
                    n=r.samples,
                    max_tokens=r.max_tokens,
                    temperature=r.temperature,
                    top_k=r.top_k if r.top_k else 0,
                    stop=list(r.stop) or None,
                    seed=r.seed + r.first_sample,
                )
                for r in part
            ]
            for answer in self._llm.generate(prompts, settings, use_tqdm=False, lora_request=self._lora):
                out.append(
                    Generation(
                        tuple(o.text for o in answer.outputs),
                        tuple(o.finish_reason != "length" for o in answer.outputs),
                    )
                )
                self.stats.prompt_tokens += len(answer.prompt_token_ids)
                self.stats.generated_tokens += sum(len(o.token_ids) for o in answer.outputs)
            done += len(part)
            if progress:
                progress(done, self.stats.generated_tokens)
        self.stats.seconds += time.perf_counter() - start
        return out

    def score(self, requests: Sequence[ScoringRequest], progress: Progress | None = None) -> list[Scores]:
        """Score every prompt's continuations; see `Engine.score`.

        vLLM gives the log-probability of a prompt's own tokens, so each continuation is made part of a prompt; the
        shared prefix is cached.
        """
        from vllm import SamplingParams

        start, out = time.perf_counter(), []
        # Zero alternatives: the log-probability of the token itself is always given.
        settings = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0)
        for done, request in enumerate(requests, 1):
            head = self._reader.tokens(request.prompt.text, request.prompt.data)
            tails = [[*self._tokens(text), self._tokenizer.eos_token_id] for text in request.continuations]
            prompts = [{"prompt_token_ids": head + tail} for tail in tails]
            answers = self._llm.generate(prompts, settings, use_tqdm=False, lora_request=self._lora)
            sums = []
            for answer, tail in zip(answers, tails, strict=True):
                given = answer.prompt_logprobs[len(head) :]
                sums.append(float(sum(at[token].logprob for at, token in zip(given, tail, strict=True))))
            out.append(Scores(tuple(sums), tuple(len(tail) for tail in tails)))
            if progress:
                progress(done, 0)
        self.stats.seconds += time.perf_counter() - start
        return out

    def _tokens(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _fitting(self, index: int, request: GenerationRequest) -> list[int]:
        tokens = self._reader.tokens(request.prompt.text, request.prompt.data)
        if len(tokens) + request.max_tokens > self.context_length:
            raise MetierError(
                f"request {index}: a prompt of {len(tokens)} tokens and an answer of up to {request.max_tokens} do not "
                f"fit the model's context of {self.context_length}",
                hint="shorten the instruction, the examples or this input, or use a model with a longer context",
            )
        return tokens


def _adapter_rank(adapter: Path) -> int:
    """Return the smallest rank that vLLM can reserve and that holds an adapter's rank."""
    import json

    rank = int(json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))["r"])
    return next((size for size in (8, 16, 32, 64, 128, 256) if size >= rank), rank)
