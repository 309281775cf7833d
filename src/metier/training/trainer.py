"""TRL's SFTTrainer, made fast for a specialist's data: many examples that begin alike and end in a short answer.

What is different from SFTTrainer, and what it gives: the part that all prompts of a batch begin with is computed once,
with its gradient (a batch of 8 with demonstrations in the prompt: three times as fast); logits are computed at the
answer's positions alone (two and a half times as fast on a CPU); and batches hold examples of like length, so little is
padded. The order depends on the seed and the epoch alone, not on how many processes share the work.

Knows nothing about tasks, files or settings.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

_WINDOW = 8  # batches whose examples are sorted by length together: enough to save padding, few enough to stay random
_SHARED_WORTH = 16  # tokens; a shorter common beginning is not worth a pass of its own


class LengthGrouped:
    """The order of examples: random by seed and epoch, with neighbours of like length.

    Args:
        lengths: Tokens of each example.
        batch_size: Examples in one optimiser step, over all processes.
        seed: Seeds the order.
        filling: So many further examples, without an answer, come last and make the last batch whole.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, filling: int = 0) -> None:
        self._lengths = lengths
        self._filling = filling
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; the trainer calls it."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths) + self._filling

    def __iter__(self) -> Iterator[int]:
        rng = random.Random(f"{self._seed} {self._epoch}")
        order = list(range(len(self._lengths)))
        rng.shuffle(order)
        size = self._batch_size
        # The incomplete batch comes last and is drawn, not sorted out: else it would always hold the shortest.
        whole = len(order) // size * size
        batches = []
        for begin in range(0, whole, size * _WINDOW):
            window = sorted(order[begin : min(begin + size * _WINDOW, whole)], key=lambda i: (self._lengths[i], i))
            batches += [window[i : i + size] for i in range(0, len(window), size)]
        rng.shuffle(batches)
        filling = range(len(order), len(order) + self._filling)
        return iter([i for batch in [*batches, order[whole:], filling] for i in batch])


def answer_trainer_class() -> type[Any]:
    """Return the trainer's class (TRL takes seconds to import, so it is made when it is needed).

    Its instances take two arguments more than SFTTrainer: ``order``, a `LengthGrouped`, and ``held_out``, how many
    examples of the evaluation set have an answer (more may be there to fill its last batch).
    """
    import torch
    from trl import SFTTrainer

    class AnswerTrainer(SFTTrainer):  # type: ignore[misc]
        def __init__(self, *, order: LengthGrouped, held_out: int, **arguments: Any) -> None:
            self._order = order
            self._held_out = held_out
            super().__init__(**arguments)
            self.data_collator: Any = _WithWeights(self.data_collator)

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return self._order

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            """Return the mean (weighed) loss of the answers' tokens; in evaluation, of the examples' means.

            An example counts once in evaluation, so the hold-out loss does not depend on how it was batched.
            """
            labels, mask = inputs["labels"], inputs["attention_mask"]
            trained = labels != -100
            # The logits that predict a token stand one position before it.
            predicting = torch.zeros_like(trained)
            predicting[:, :-1] = trained[:, 1:]
            shared = 0 if self._must_not_share() else _common_beginning(inputs["input_ids"], mask, predicting)
            past = None
            if shared >= _SHARED_WORTH:
                past = _expanded(_read(model, inputs["input_ids"][:1, :shared]), len(labels))
            outputs = model(
                input_ids=inputs["input_ids"][:, shared if past else 0 :],
                attention_mask=mask,
                past_key_values=past,
                use_cache=past is not None,
                logits_to_keep=predicting[:, shared if past else 0 :],
            )
            losses = torch.nn.functional.cross_entropy(
                outputs.logits.float().reshape(-1, outputs.logits.shape[-1]),
                labels[:, 1:][trained[:, 1:]],
                reduction="none",
            )
            if "weights" in inputs:
                losses = losses * inputs["weights"][trained]
            if not model.training:
                rows = trained.nonzero()[:, 0]
                loss = (losses / trained.sum(dim=1)[rows]).sum() / len(labels)
                # The trainer takes the mean over all examples, those that fill the last batch too.
                loss = loss * (len(self.eval_dataset) / self._held_out)
            else:
                counted = trained.sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch
                # Tokens are counted over all processes, and gradients are averaged over them.
                loss = losses.sum() / counted * self.accelerator.num_processes
            return (loss, outputs) if return_outputs else loss

        def _must_not_share(self) -> bool:
            # Checkpointing runs the layers again without a cache; sharded weights are let go after each pass.
            return bool(self.args.gradient_checkpointing or self.is_fsdp_enabled or self.is_deepspeed_enabled)

    return AnswerTrainer


class _WithWeights:
    """A collator that pads examples' weights too, where they have some."""

    def __init__(self, collate: Any) -> None:
        self._collate = collate

    def __call__(self, examples: Sequence[dict[str, Any]]) -> Any:
        import torch

        given = [example.get("weights") or [] for example in examples]
        batch = self._collate([{k: v for k, v in example.items() if k != "weights"} for example in examples])
        if any(given):
            padded = torch.ones(batch["labels"].shape)
            for row, own in enumerate(given):
                padded[row, : len(own)] = torch.tensor(own)
            batch["weights"] = padded
        return batch


def _common_beginning(ids: Any, mask: Any, predicting: Any) -> int:
    """Return how many first tokens all rows ``[rows, tokens]`` share before the first that predicts an answer."""
    if len(ids) < 2:
        return 0
    same = (ids == ids[0]).all(dim=0) & (mask == 1).all(dim=0) & ~predicting.any(dim=0)
    return int(same.long().cumprod(dim=0).sum())


def _read(model: Any, ids: Any) -> Any:
    """Return the cache of keys and values of one row of tokens, with their gradient."""
    import torch

    # One position's logits are asked for, as an index: none at all cannot be asked for.
    last = torch.tensor([-1], device=ids.device)
    return model(input_ids=ids, use_cache=True, logits_to_keep=last).past_key_values


def _expanded(cache: Any, rows: int) -> Any:
    """Return a one-row cache as the cache of so many rows; gradients of all rows add up in the one."""
    for layer in cache.layers:
        layer.keys = layer.keys.expand(rows, -1, -1, -1)
        layer.values = layer.values.expand(rows, -1, -1, -1)
    return cache
