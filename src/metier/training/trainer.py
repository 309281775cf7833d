"""TRL's SFTTrainer, made fast for a specialist's data: many examples that begin alike and end in a short answer.

Differences from SFTTrainer and what they gain: the prefix that all prompts of a batch share is computed once, with its
gradient (three times as fast for a batch of 8 with demonstrations in the prompt); logits are computed only at the
answer's positions (two and a half times as fast on a CPU); and examples of similar length share a batch, which saves
padding. The order depends only on the seed and the epoch, not on how many processes share the work.

Knows nothing about tasks, files or settings.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Batch = dict[str, "torch.Tensor"]
"""A batch by name: ``input_ids``, ``labels``, ``attention_mask``, and ``weights`` if tokens weigh differently."""

_WINDOW = 8  # batches whose examples are sorted by length together: enough to save padding, few enough to stay random
_SHARED_WORTH = 16  # tokens; a shorter common prefix is not worth its own pass


class LengthGrouped:
    """The order of examples: random by seed and epoch, with neighbours of similar length.

    Args:
        lengths: Tokens of each example.
        batch_size: Examples in one optimiser step, over all processes.
        seed: Seeds the order.
        filling: How many examples without an answer come last, to complete the last batch.
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
        # The incomplete batch comes last and is random: cut from the sorted order it would always hold the shortest.
        whole = len(order) // size * size
        batches = []
        for begin in range(0, whole, size * _WINDOW):
            window = sorted(order[begin : min(begin + size * _WINDOW, whole)], key=lambda i: (self._lengths[i], i))
            batches += [window[i : i + size] for i in range(0, len(window), size)]
        rng.shuffle(batches)
        filling = range(len(order), len(order) + self._filling)
        return iter([i for batch in [*batches, order[whole:], filling] for i in batch])


def answer_trainer_class() -> type[Any]:
    """Return the trainer's class; TRL takes seconds to import, so the class is made on demand.

    Its instances take two more arguments than SFTTrainer: ``order``, a `LengthGrouped`, and ``held_out``, how many
    examples of the evaluation set have an answer (others may follow to fill its last batch).
    """
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
            self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            """Return the mean (weighted) loss of the answers' tokens; in evaluation, the mean of the examples' means.

            In evaluation every example counts once, so the hold-out loss does not depend on the batches.
            """
            outputs, losses = _answer_losses(model, inputs, share=not self._must_not_share())
            trained = inputs["labels"] != -100
            if not model.training:
                rows = trained.nonzero()[:, 0]
                loss = (losses / trained.sum(dim=1)[rows]).sum() / len(trained)
                # The trainer takes the mean over all examples, including those that fill the last batch.
                loss = loss * (len(self.eval_dataset) / self._held_out)
            else:
                counted = trained.sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch
                # Tokens are counted over all processes, and gradients are averaged over them.
                loss = losses.sum() / counted * self.accelerator.num_processes
            return (loss, outputs) if return_outputs else loss

        def _must_not_share(self) -> bool:
            # Checkpointing runs the layers again without a cache; sharded weights are freed after each pass.
            return bool(self.args.gradient_checkpointing or self.is_fsdp_enabled or self.is_deepspeed_enabled)

    return AnswerTrainer


def _answer_losses(model: Any, inputs: Batch, *, share: bool) -> tuple[Any, torch.Tensor]:
    """Return the model's outputs and the (weighted) loss of every answer token of a batch, row by row."""
    import torch

    ids, labels, mask = inputs["input_ids"], inputs["labels"], inputs["attention_mask"]
    trained = labels != -100
    # The logits that predict a token are one position before it.
    predicting = torch.zeros_like(trained)
    predicting[:, :-1] = trained[:, 1:]
    shared = _common_beginning(ids, mask, predicting) if share else 0
    past = _expanded(_read(model, ids[:1, :shared]), len(labels)) if shared >= _SHARED_WORTH else None
    wanted = predicting[:, shared if past else 0 :]
    by_mask = _keeps_by_mask()
    columns = wanted.any(dim=0).nonzero()[:, 0]
    outputs = model(
        input_ids=ids[:, shared if past else 0 :],
        attention_mask=mask,
        past_key_values=past,
        use_cache=past is not None,
        logits_to_keep=wanted if by_mask else columns,
    )
    logits = outputs.logits if by_mask else outputs.logits[wanted[:, columns]]
    losses = torch.nn.functional.cross_entropy(
        logits.float().reshape(-1, logits.shape[-1]),
        labels[:, 1:][trained[:, 1:]],
        reduction="none",
    )
    return outputs, losses * inputs["weights"][trained] if "weights" in inputs else losses


def _keeps_by_mask() -> bool:
    """Whether transformers computes logits where a mask says so; 5.19, which vLLM wants, does so for whole columns."""
    import transformers

    return hasattr(transformers.modeling_utils, "slice_logits_to_keep")


class _WithWeights:
    """A collator that pads examples' weights too, where they have some."""

    def __init__(self, collate: Callable[[list[dict[str, Any]]], Batch]) -> None:
        self._collate = collate

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> Batch:
        import torch

        given = [example.get("weights") or [] for example in examples]
        batch = self._collate([{k: v for k, v in example.items() if k != "weights"} for example in examples])
        if any(given):
            padded = torch.ones(batch["labels"].shape)
            for row, own in enumerate(given):
                padded[row, : len(own)] = torch.tensor(own)
            batch["weights"] = padded
        return batch


def _common_beginning(ids: torch.Tensor, mask: torch.Tensor, predicting: torch.Tensor) -> int:
    """Return how many leading tokens all rows ``[rows, tokens]`` share, before the first that predicts an answer."""
    if len(ids) < 2:
        return 0
    same = (ids == ids[0]).all(dim=0) & (mask == 1).all(dim=0) & ~predicting.any(dim=0)
    return int(same.long().cumprod(dim=0).sum())


def _read(model: Any, ids: torch.Tensor) -> Any:
    """Return the cache of keys and values of one row of tokens, with their gradient."""
    import torch

    # Logits of one position, as an index: it is impossible to ask for none.
    last = torch.tensor([-1], device=ids.device)
    return model(input_ids=ids, use_cache=True, logits_to_keep=last).past_key_values


def _expanded(cache: Any, rows: int) -> Any:
    """Return a one-row cache expanded to several rows; the gradients of all rows add up in it."""
    for layer in cache.layers:
        layer.keys = layer.keys.expand(rows, -1, -1, -1)
        layer.values = layer.values.expand(rows, -1, -1, -1)
    return cache
