"""Which encoder, and what head on it: the encoder System's choices beside each other on labelled rows.

Run it with: python benchmarks/encoders.py --data FOLDER

Learns each of SELF-GUIDE's tuning tasks that have labels (never a held-out one) from 200 rows of its instances that
are in no test split, and answers 200 test rows: MiniLM as it is, MiniLM on both parts of inputs that have two
(``systems/encoder_pair.py``), all-mpnet-base-v2, and MiniLM tuned first by a supervised contrastive loss (Khosla et al.
2020, arXiv 2004.11362; as SetFit does, Tunstall et al. 2022, arXiv 2209.11055, with all pairs of a batch). Writes
scores, seconds and the mean gain over MiniLM as it is, with its interval. FOLDER must hold ``superni/``.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet

import metier
from metier.core import storage
from metier.core.codec import encode
from metier.core.errors import MetierError
from metier.core.records import Example
from metier.data.two_parts import find_two_parts
from metier.evaluation.measure import Measure, score_main
from metier.evaluation.scored import Scored
from metier.evaluation.statistics import mean_over_tasks
from metier.models.encoder import SentenceEncoder
from metier.models.locate import resolve_model
from metier.runs.machine import machine
from metier.systems.encoder_pair import vectors_of_parts
from metier.systems.regression import fit
from self_guide_means import GROUPS
from superni import rows_outside

TASKS = GROUPS["tuning, labels"]
_ROWS = 200
_EPOCHS, _BATCH, _RATE, _TEMPERATURE = 5, 32, 5e-5, 0.1  # of the contrastive tuning
_PLAIN = "all-minilm-l6-v2"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure every encoder on every task and write the results."""
    arguments = _arguments(argv)
    results: dict[str, Any] = {"metier_version": metier.__version__, "machine": encode(machine()), "tasks": {}}
    scored: dict[str, dict[str, Scored]] = {}
    for name in arguments.tasks:
        train, test = _rows(arguments.data, name)
        measure = Measure("exact_match", tuple(sorted({row.output for row in train})))
        told: dict[str, Any] = {"rows": len(test), "learnt_from": len(train)}
        scored[name] = {}
        for way, answer in WAYS.items():
            begin = time.perf_counter()
            texts = answer(train, [row.input for row in test])
            if texts is None:
                continue
            scored[name][way] = score_main(measure, test, texts)
            seconds = round(time.perf_counter() - begin, 1)
            told[way] = {"score": round(scored[name][way].corpus, 2), "seconds": seconds}
            print(name, way, told[way], file=sys.stderr, flush=True)
        results["tasks"][name] = told
        results["mean_gain"] = {
            way: _mean_gain([(s[way], s[_PLAIN]) for s in scored.values() if way in s]) for way in WAYS if way != _PLAIN
        }
        storage.write_json(arguments.results, results)
    print(json.dumps(results["mean_gain"]))


def plain(name: str, train: Sequence[Example], texts: Sequence[str]) -> Sequence[str]:
    """Answer by a regression on an encoder's vectors."""
    return _by_vectors(SentenceEncoder(resolve_model(name).path).encode, train, texts)


def on_both_parts(train: Sequence[Example], texts: Sequence[str]) -> Sequence[str] | None:
    """Answer by a regression on the vectors of an input's two parts; None where inputs do not have two."""
    parts = find_two_parts([row.input for row in train])
    if parts is None:
        return None
    encoder = SentenceEncoder(resolve_model(_PLAIN).path)

    return _by_vectors(partial(vectors_of_parts, encoder, parts), train, texts)


def tuned_first(train: Sequence[Example], texts: Sequence[str]) -> Sequence[str]:
    """Answer by a regression on the vectors of an encoder that was tuned to bring rows of one label together."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    torch.manual_seed(0)
    folder = resolve_model(_PLAIN).path
    tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))
    model: Any = AutoModel.from_pretrained(str(folder), use_safetensors=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE)
    rng = random.Random(0)

    def vectors(some: Sequence[str]) -> Any:
        batch = tokenizer(list(some), truncation=True, max_length=256, padding=True, return_tensors="pt")
        mask = batch["attention_mask"].unsqueeze(-1)
        means = (model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)
        return torch.nn.functional.normalize(means, dim=1)

    model.train()
    for _ in range(_EPOCHS):
        rows = rng.sample(list(train), len(train))
        for begin in range(0, len(rows) - 1, _BATCH):
            batch = rows[begin : begin + _BATCH]
            same = torch.tensor([[a.output == b.output for b in batch] for a in batch]).fill_diagonal_(False)
            found = vectors([row.input for row in batch])
            near = (found @ found.T / _TEMPERATURE).masked_fill(torch.eye(len(batch), dtype=torch.bool), -1e9)
            per_row = (near.log_softmax(1) * same).sum(1) / same.sum(1).clamp(min=1)
            loss = -per_row[same.any(1)].mean()
            if same.any():
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
    model.eval()

    def in_batches(some: Sequence[str]) -> Any:
        with torch.inference_mode():
            return np.concatenate([vectors(some[i : i + _BATCH]).numpy() for i in range(0, len(some), _BATCH)])

    return _by_vectors(in_batches, train, texts)


WAYS: dict[str, Callable[[Sequence[Example], Sequence[str]], Sequence[str] | None]] = {
    _PLAIN: lambda train, texts: plain(_PLAIN, train, texts),
    "on both parts": on_both_parts,
    "all-mpnet-base-v2": lambda train, texts: plain("all-mpnet-base-v2", train, texts),
    "tuned by contrast": tuned_first,
}


def _by_vectors(
    vectors: Callable[[Sequence[str]], Any], train: Sequence[Example], texts: Sequence[str]
) -> Sequence[str]:
    answers = [row.output for row in train]
    head = fit(vectors([row.input for row in train]), answers, sorted(set(answers)))
    return head.answers(vectors(texts)).texts


def _mean_gain(pairs: Sequence[tuple[Scored, Scored]]) -> object:
    return encode(mean_over_tasks(pairs)) if len(pairs) > 1 else None


def _rows(data: Path, name: str) -> tuple[list[Example], list[Example]]:
    """Return rows to learn from, none of them in the test split, and test rows."""
    filters = [("task", "=", name)]
    test = pyarrow.parquet.read_table(data / "superni/selfguide_test.parquet", filters=filters).to_pylist()
    train = rows_outside(data, name, {row["input"].strip() for row in test})
    if len(train) < 2 * _BATCH:
        raise MetierError(f"{name}: {len(train)} rows outside the test split are too few")
    rng = random.Random(0)
    rng.shuffle(train)
    rng.shuffle(test)
    return train[:_ROWS], [Example(row["input"], row["output"].strip()) for row in test[:_ROWS]]


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder with superni/")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/encoders.json"))
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
