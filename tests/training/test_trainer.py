from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metier.training import trainer
from metier.training.trainer import LengthGrouped


@given(st.lists(st.integers(1, 50), max_size=200), st.integers(1, 9), st.integers(0, 3), st.integers(0, 3))
def test_the_order_holds_every_example_once_and_depends_on_seed_and_epoch_alone(
    lengths: list[int], size: int, seed: int, epoch: int
) -> None:
    order, again = LengthGrouped(lengths, size, seed), LengthGrouped(lengths, size, seed)
    list(again)  # an epoch that was walked before makes no difference
    for one in (order, again):
        one.set_epoch(epoch)
    assert sorted(order) == list(range(len(lengths))) and len(order) == len(lengths)
    assert list(order) == list(again)


def test_batches_hold_examples_of_like_length_in_a_random_order() -> None:
    lengths = [(i * 37) % 200 for i in range(640)]
    order = list(LengthGrouped(lengths, 8, 0))
    batches = [[lengths[i] for i in order[begin : begin + 8]] for begin in range(0, 640, 8)]
    padded = sum(8 * max(batch) for batch in batches)
    assert padded < 1.15 * sum(lengths)  # in random order about 1.8 times
    means = [sum(batch) for batch in batches]
    assert means != sorted(means)


def _losses(
    folder: Path,
    ids: list[list[int]],
    labels: list[list[int]],
    share: bool,
    weights: list[list[float]] | None = None,
) -> tuple[float, list[Any]]:
    """Return the loss of one batch and its gradients, from the trainer's own function."""
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    model.train()
    width = max(map(len, ids))
    batch = {
        "input_ids": torch.tensor([row + [0] * (width - len(row)) for row in ids]),
        "labels": torch.tensor([row + [-100] * (width - len(row)) for row in labels]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids]),
    }
    if weights:
        batch["weights"] = torch.tensor(weights)
    cls = trainer.answer_trainer_class()
    held: Any = object.__new__(cls)
    held.args = type("Args", (), {"gradient_checkpointing": not share})
    held.accelerator = type("One", (), {"num_processes": 1})
    held.is_fsdp_enabled = held.is_deepspeed_enabled = False
    loss = held.compute_loss(model, batch)
    loss.backward()
    return float(loss), [p.grad for p in model.parameters()]


@pytest.mark.parametrize("common", [0, 15, 16, 40])
def test_a_beginning_computed_once_gives_the_loss_and_gradients_of_one_computed_each_time(
    tiny_model: Path, common: int
) -> None:
    begin = [(7 * i) % 300 + 3 for i in range(common)]
    rests = [[5, 6, 7, 8], [9, 10, 11, 12, 13, 14], [5, 6, 90]]
    ids = [begin + rest for rest in rests]
    labels = [[-100] * (len(row) - 2) + row[-2:] for row in ids]
    loss, gradients = _losses(tiny_model, ids, labels, True)
    wanted, other = _losses(tiny_model, ids, labels, False)
    assert loss == pytest.approx(wanted, abs=1e-5)
    for one, two in zip(gradients, other, strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-3)


def test_an_older_transformers_gives_the_same_loss_and_gradients(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = [(7 * i) % 300 + 3 for i in range(20)]
    ids = [begin + rest for rest in ([5, 6, 7, 8], [9, 10, 11, 12, 13, 14], [5, 6, 90])]
    labels = [[-100] * (len(row) - 2) + row[-2:] for row in ids]
    for share in (True, False):
        wanted, gradients = _losses(tiny_model, ids, labels, share)
        with monkeypatch.context() as older:
            older.setattr(trainer, "_keeps_by_mask", lambda: False)
            loss, others = _losses(tiny_model, ids, labels, share)
        assert loss == pytest.approx(wanted, abs=1e-6)
        for one, two in zip(gradients, others, strict=True):
            torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-4)


def test_rows_that_are_all_alike_and_rows_without_an_answer_are_no_trouble(tiny_model: Path) -> None:
    row = [(5 * i) % 300 + 3 for i in range(30)]
    marked = [-100] * 28 + row[-2:]
    alike, _ = _losses(tiny_model, [row] * 4, [marked] * 4, True)
    alone, _ = _losses(tiny_model, [row], [marked], True)
    filled, _ = _losses(tiny_model, [row, [0, 0]], [marked, [-100, -100]], True)
    nothing, gradients = _losses(tiny_model, [[0, 0]], [[-100, -100]], True)
    assert alike == pytest.approx(alone, abs=1e-5) and filled == pytest.approx(alone, abs=1e-5)
    assert nothing == 0 and all(g is None or float(g.abs().max()) == 0 for g in gradients)


def test_weights_are_padded_with_the_batch_and_only_where_there_are_some() -> None:
    def collate(examples: list[dict[str, Any]]) -> dict[str, Any]:
        assert all(set(example) == {"labels"} for example in examples)
        width = max(len(example["labels"]) for example in examples)
        return {"labels": torch.tensor([e["labels"] + [-100] * (width - len(e["labels"])) for e in examples])}

    with_weights = trainer._WithWeights(collate)
    batch = with_weights([{"labels": [1, 2, 3], "weights": [1.0, 3.0, 1.0]}, {"labels": [4], "weights": [3.0]}])
    assert batch["weights"].tolist() == [[1, 3, 1], [3, 1, 1]]
    assert "weights" not in with_weights([{"labels": [1]}])


def test_a_weight_of_three_counts_a_token_three_times(tiny_model: Path) -> None:
    ids = [[5, 6, 7, 8, 9], [5, 6, 7, 10, 11]]
    labels = [[-100, -100, 7, 8, 9], [-100, -100, 7, 10, 11]]
    plain, _ = _losses(tiny_model, ids, labels, share=False)
    weighed, _ = _losses(tiny_model, ids, labels, share=False, weights=[[1.0] * 3 + [3.0, 1.0]] * 2)
    alone, _ = _losses(tiny_model, ids, [[-100] * 3 + [row[3], -100] for row in ids], share=False)
    assert weighed * 6 == pytest.approx(plain * 6 + 2 * alone * 2, rel=1e-5)
