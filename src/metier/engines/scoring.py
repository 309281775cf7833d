"""Scores continuations of prompts: how likely each is. Knows nothing about what they mean.

Continuations are read in the same pass as their prompt: they follow it side by side, and a mask lets each see only the
prompt and itself. A few labels make a row little longer than the prompt; many texts make several rows, each with its
own copy of the prompt. Where one mask cannot serve all layers, or prompts are long, continuations are read in a second
pass, each after a copy of its prompt's keys and values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from metier.engines import attention
from metier.engines.forward import Forward, Prefilled, seen_by_last
from metier.engines.kv_cache import cache_from_rows

_LOGITS_BYTES = 512 * 2**20  # limit on the float32 logits of one step
_BESIDE = 256  # tokens of continuations in one row: each token attends over all of them, masked or not


def score_batch(
    forward: Forward,
    prefix: tuple[int, ...],
    rests: Sequence[Sequence[int]],
    answers: Sequence[Sequence[Sequence[int]]],
    rows_at_once: int,
) -> list[list[float]]:
    """Return the summed log-probability of every continuation of every prompt.

    Args:
        forward: The model.
        prefix: Tokens that all prompts begin with.
        rests: The rest of each prompt.
        answers: For each prompt, its continuations as tokens; none is empty.
        rows_at_once: Copies of a prompt's keys and values held at a time, in the second pass.
    """
    groups = _groups(answers)
    repeated = max((len(rest) for rest, one in zip(rests, groups, strict=True) if len(one) > 1), default=0)
    if repeated <= _BESIDE and _sees_all(forward, prefix, rests, _BESIDE):
        # A row is a prompt with one group of its continuations; rows of similar length go together to save padding.
        rows = [(o, group) for o, one in enumerate(groups) for group in one]
        rows.sort(key=lambda row: -sum(len(answers[row[0]][k]) - 1 for k in row[1]))
        out = [[0.0] * len(one) for one in answers]
        for part in _parts(forward, rows, answers, rows_at_once):
            texts = [[answers[o][k] for k in group] for o, group in part]
            scored = _side_by_side(forward, prefix, [rests[o] for o, _ in part], texts)
            for (o, group), found in zip(part, scored, strict=True):
                for k, value in zip(group, found, strict=True):
                    out[o][k] = value
        return out
    read = forward.prefill(prefix, rests)
    first = read.logits.float().log_softmax(dim=-1)
    pairs = [(o, tokens) for o, one in enumerate(answers) for tokens in one]
    longest = max(len(tokens) for _, tokens in pairs)
    room = _LOGITS_BYTES // (4 * first.shape[-1] * max(1, longest - 1))
    size = max(1, min(len(pairs), rows_at_once, room))
    total: list[float] = []
    for begin in range(0, len(pairs), size):
        total += _behind_copies(forward, read, first, pairs[begin : begin + size])
    sums = iter(total)
    return [[next(sums) for _ in one] for one in answers]


def _groups(answers: Sequence[Sequence[Sequence[int]]]) -> list[list[list[int]]]:
    """Return each prompt's continuations in groups of at most `_BESIDE` tokens; a longer one is a group of its own."""
    out = []
    for one in answers:
        groups: list[list[int]] = [[]]
        held = 0
        for k, tokens in enumerate(one):
            if groups[-1] and held + len(tokens) - 1 > _BESIDE:
                groups.append([])
                held = 0
            groups[-1].append(k)
            held += len(tokens) - 1
        out.append(groups)
    return out


def _parts(
    forward: Forward,
    rows: list[tuple[int, list[int]]],
    answers: Sequence[Sequence[Sequence[int]]],
    rows_at_once: int,
) -> Iterator[list[tuple[int, list[int]]]]:
    """Yield rows in parts whose logits fit the memory limit."""
    begin = 0
    while begin < len(rows):
        o, group = rows[begin]
        columns = 1 + sum(len(answers[o][k]) - 1 for k in group)  # the first row is the widest
        count = max(1, min(rows_at_once, _LOGITS_BYTES // (4 * columns * max(1, forward.vocabulary))))
        yield rows[begin : begin + count]
        begin += count


def _sees_all(forward: Forward, prefix: tuple[int, ...], rests: Sequence[Sequence[int]], beside: int) -> bool:
    """Whether every layer lets a token see all tokens before it, so that one mask serves all layers."""
    if forward.model.config._attn_implementation not in ("sdpa", attention.NAME):
        return False
    config: Any = forward.model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or ())
    if attention.sees_all(config):
        return True
    length = len(prefix) + max(len(rest) for rest in rests) + beside
    return kinds <= {"full_attention", "sliding_attention"} and window is not None and length <= window


def _side_by_side(
    forward: Forward,
    prefix: tuple[int, ...],
    rests: Sequence[Sequence[int]],
    answers: Sequence[Sequence[Sequence[int]]],
) -> list[list[float]]:
    """Read prompts and continuations in one pass.

    After its prompt, a row holds the continuations one after the other, each without its last token, as nothing is
    predicted from that. A continuation's column sees the prompt, earlier columns of the same continuation, and itself.
    """
    beside = max(sum(len(tokens) - 1 for tokens in one) for one in answers)
    cache, ids, mask, positions = forward.laid_out(prefix, rests)
    rows, width = ids.shape
    more = torch.zeros(rows, beside, dtype=torch.long)
    place = torch.zeros(rows, beside, dtype=torch.long)  # position after the prompt's last
    owner = torch.full((rows, beside), -1)
    for row, one in enumerate(answers):
        column = 0
        for number, tokens in enumerate(one):
            count = len(tokens) - 1
            more[row, column : column + count] = torch.tensor(tokens[:-1], dtype=torch.long)
            place[row, column : column + count] = torch.arange(1, count + 1)
            owner[row, column : column + count] = number
            column += count
    seen = _seen(mask, width, owner.to(forward.device))
    # Logits where a continuation is predicted: the prompt's last column and all after it.
    wanted = torch.arange(width - 1, width + beside, device=forward.device)
    logits = forward.model(
        input_ids=torch.cat([ids, more.to(forward.device)], dim=1),
        attention_mask=seen.unsqueeze(1),
        position_ids=torch.cat([positions, positions[:, -1:] + place.to(forward.device)], dim=1),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=wanted,
    ).logits
    normaliser = logits.float().logsumexp(dim=-1)
    # Every (row, column, token) whose log-probability is needed, and the continuation it belongs to.
    at: list[tuple[int, int, int]] = []
    into: list[int] = []
    total = 0
    for row, one in enumerate(answers):
        column = 0
        for tokens in one:
            at += [(row, 0 if step == 0 else column + step, token) for step, token in enumerate(tokens)]
            into += [total] * len(tokens)
            column += len(tokens) - 1
            total += 1
    rows_at, columns_at, tokens_at = torch.tensor(at, device=forward.device).unbind(dim=1)
    found = logits[rows_at, columns_at, tokens_at].float() - normaliser[rows_at, columns_at]
    sums = torch.zeros(total, dtype=torch.double, device=forward.device)
    sums.index_add_(0, torch.tensor(into, device=forward.device), found.double())
    values = iter(sums.tolist())
    return [[next(values) for _ in one] for one in answers]


def _seen(mask: torch.Tensor, width: int, owner: torch.Tensor) -> torch.Tensor:
    """Return which columns each new column may see, ``[rows, width + beside, prefix + width + beside]``."""
    rows, held = mask.shape
    beside = owner.shape[1]
    seen = torch.zeros(rows, width + beside, held + beside, dtype=torch.bool, device=mask.device)
    seen[:, :width, :held] = seen_by_last(mask, width)
    seen[:, width:, :held] = mask.bool().unsqueeze(1)
    seen[:, width:, held:] = (owner.unsqueeze(2) == owner.unsqueeze(1)).tril()
    return seen


def _behind_copies(
    forward: Forward, read: Prefilled, first: torch.Tensor, pairs: Sequence[tuple[int, Sequence[int]]]
) -> list[float]:
    """Sum the log-probabilities of each pair's tokens, given the prompts as read and their first distributions."""
    device = forward.device
    owner = torch.tensor([o for o, _ in pairs], device=device)
    starts = torch.tensor([tokens[0] for _, tokens in pairs], device=device)
    sums = first[owner, starts].double()
    longest = max(len(tokens) for _, tokens in pairs)
    if longest == 1:
        return [float(x) for x in sums.tolist()]
    ids = torch.zeros(len(pairs), longest, dtype=torch.long)
    real = torch.zeros(len(pairs), longest, dtype=torch.long)
    for row, (_, tokens) in enumerate(pairs):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        real[row, : len(tokens)] = 1
    ids, real = ids.to(device), real.to(device)
    logits = forward.model(
        input_ids=ids[:, :-1],
        attention_mask=torch.cat([read.mask[owner], real[:, :-1]], dim=1),
        position_ids=read.positions[owner].unsqueeze(1) + torch.arange(1, longest, device=device),
        past_key_values=cache_from_rows(read.cache, owner, forward.layers),
        use_cache=True,
    ).logits
    # Only the log-probabilities needed: a softmax over the vocabulary would take as much memory again as the logits.
    wanted = logits.gather(2, ids[:, 1:].unsqueeze(2)).squeeze(2).float()
    logprobs = wanted - logits.float().logsumexp(dim=-1)
    sums = sums + (logprobs * real[:, 1:]).double().sum(dim=1)
    return [float(x) for x in sums.tolist()]
