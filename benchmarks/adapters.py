"""Rows of several adapters over one base: in one mixed pass (PEFT's ``adapter_names``), or grouped by adapter.

Run it with: python benchmarks/adapters.py [--model smollm2-135m-instruct] [--adapters 3] [--rows 8] [--steps 8]

Each way reads the same prompts and then writes ``--steps`` tokens of every row; mixed in passes of all rows, grouped in
a pass for each adapter, as the server does. The two are measured in turns, in processor seconds of one thread, and the
median of their ratio is told: a busy machine makes little difference. The tokens of both ways are compared. The last
line is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from metier.engines.attention import use_grouped
from metier.models.load import load_causal
from metier.models.locate import resolve_model


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--adapters", type=int, default=3)
    parser.add_argument("--rows", type=int, default=8, help="of each adapter")
    parser.add_argument("--prompt", type=int, default=100, help="tokens of a prompt")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args(arguments)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        model = with_adapters(args.model, args.dtype, args.adapters, Path(folder))
    prompts = torch.randint(10, model.config.vocab_size - 10, (args.adapters * args.rows, args.prompt))
    names = [f"adapter{k}" for k in range(args.adapters) for _ in range(args.rows)]
    taken: dict[str, list[tuple[float, float]]] = {"mixed": [], "grouped": []}
    tokens: dict[str, torch.Tensor] = {}
    for repeat in range(args.repeats + 1):
        for way, written in (("mixed", mixed), ("grouped", grouped)):
            read, wrote, tokens[way] = written(model, prompts, names, args.steps)
            if repeat:  # the first of each is slower
                taken[way].append((read, wrote))
    found = {
        way: {"reading": statistics.median(x for x, _ in times), "writing": statistics.median(x for _, x in times)}
        for way, times in taken.items()
    }
    pairs = list(zip(taken["mixed"], taken["grouped"], strict=True))
    ratios = {
        part: statistics.median(mine[k] / other[k] for mine, other in pairs)
        for k, part in enumerate(("reading", "writing"))
    }
    same = float((tokens["mixed"] == tokens["grouped"]).float().mean())
    for way, seconds in found.items():
        print(f"{way}: {seconds['reading']:.3f} s to read, {seconds['writing']:.3f} s to write")
    print(f"mixed takes {ratios['reading']:.2f} times as long to read, {ratios['writing']:.2f} times to write")
    print(json.dumps({**vars(args), "seconds": found, "mixed_over_grouped": ratios, "same_tokens": same}))


def with_adapters(name: str, dtype: str, count: int, folder: Path) -> Any:
    """Return a model with adapters of random numbers on all its linear layers, as training puts them there."""
    from peft import LoraConfig, PeftModel, get_peft_model

    path = resolve_model(name).path
    model, _ = load_causal(path, dtype=dtype, device="cpu")
    tuned: Any = None
    for k in range(count):
        config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear")
        if tuned is None:
            tuned = get_peft_model(model, config, adapter_name=f"adapter{k}")
        else:
            tuned.add_adapter(f"adapter{k}", config)
    for part, values in tuned.named_parameters():
        if "lora_B" in part:
            torch.nn.init.normal_(values, std=0.02)
    assert isinstance(tuned, PeftModel)
    tuned.eval()
    tuned.requires_grad_(False)
    use_grouped(tuned.base_model.model)
    return tuned


def mixed(model: Any, prompts: torch.Tensor, names: list[str], steps: int) -> tuple[float, float, torch.Tensor]:
    """Return the seconds to read and to write, and the tokens, of all rows together."""
    return _written(model, prompts, steps, adapter_names=names)


def grouped(model: Any, prompts: torch.Tensor, names: list[str], steps: int) -> tuple[float, float, torch.Tensor]:
    """Return the same of the rows of one adapter after the other."""
    read = wrote = 0.0
    tokens = []
    for name in dict.fromkeys(names):
        model.set_adapter(name, inference_mode=True)
        rows = [place for place, one in enumerate(names) if one == name]
        one_read, one_wrote, own = _written(model, prompts[rows], steps)
        read, wrote = read + one_read, wrote + one_wrote
        tokens.append(own)
    return read, wrote, torch.cat(tokens)


@torch.inference_mode()
def _written(model: Any, prompts: torch.Tensor, steps: int, **more: Any) -> tuple[float, float, torch.Tensor]:
    last = torch.tensor([-1])
    begun = time.process_time()
    made = model(input_ids=prompts, use_cache=True, logits_to_keep=last, **more)
    read = time.process_time() - begun
    tokens = [made.logits[:, -1].argmax(dim=-1)]
    for _ in range(steps):
        made = model(
            input_ids=tokens[-1].unsqueeze(1), past_key_values=made.past_key_values, use_cache=True,
            logits_to_keep=last, **more,
        )  # fmt: skip
        tokens.append(made.logits[:, -1].argmax(dim=-1))
    return read, time.process_time() - begun - read, torch.stack(tokens, dim=1)


if __name__ == "__main__":
    main()
