"""Tables of speed, and of choosing training rows from a pool: k-centre, finding a task's part, low-data selection."""

from __future__ import annotations

from collections.abc import Sequence

from tables_format import Record, gain, number, points, read, score, table

_ENGINES = {
    "plain": "plain `generate()`, padded batches of 16",
    "llamacpp": "llama.cpp (Q4 GGUF, 8 at a time)",
    "metier": "Metier's",
    "vllm": "vLLM's server",
}
_WAYS = {
    "clusters that a text falls into": "clusters that a text falls into (as published)",
    "most like all texts, twice the budget": "most like all texts, twice the budget (default)",
    "most like all texts, four times": "most like all texts, four times the budget",
    "most like all texts, ten times": "most like all texts, ten times the budget",
}


def speed() -> str:
    """Return what single changes to the engine and the trainer did."""
    rows = []
    for found in read("speed")["measured"]:
        ways = [
            f"{found[way]}: {found[f'{way}_value']:g} {found['unit']}" if found[way] else ""
            for way in ("before", "after")
        ]
        rows.append((found["what"], *ways))
    return table(("what", "before", "after"), rows, text_columns=3)


def generation() -> str:
    """Return the engines side by side."""
    engines = read("generation")["engines"]
    rows = []
    for key, title in _ENGINES.items():
        if (found := engines.get(key)) is None:
            continue
        rates = (found.get("labels_generated_a_second"), found.get("labels_scored_a_second"))
        kept = f"{found['pairs']:.0f}"
        rows.append(
            (title, f"{found['seconds']:.0f} s", kept, number(found["tokens_a_second"], 0), *map(number, rates))
        )
    header = ("engine", "SELF-GUIDE's procedure, 300 raw inputs", "pairs kept", "tokens/s there")
    return table((*header, "labels generated a second", "labels scored a second"), rows)


def precision() -> str:
    """Return for each model how fast each precision writes and scores, and how far its labels are from float32's."""
    rows = []
    for model, found in read("precision")["models"].items():
        for dtype in ("float32", "bfloat16", "int8"):
            one = found[dtype]
            cells = (number(one[key]) for key in ("tokens_a_second", "rows_a_second", "accuracy"))
            rows.append((model, dtype, *cells, number(one["off"], 2)))
    header = ("model", "precision", "tokens/s written", "rows/s scored", "accuracy", "nats from float32")
    return table(header, rows, text_columns=2)


def side_by_side() -> str:
    """Return how long one run takes and how long two at once, by how threads wait."""
    rows = [
        (name, f"{way['alone_s']:.1f} s", f"{way['together_s']:.1f} s", f"{way['ratio']:.1f} times")
        for name, way in read("side_by_side")["ways"].items()
    ]
    return table(("waiting threads turn", "one run", "two at once, each", "together"), rows)


def training() -> str:
    """Return Metier's trainer beside TRL's."""
    trainers = read("training")["trainers"]
    rows = []
    for key, title in (("trl", "SFTTrainer on its defaults"), ("metier", "Metier")):
        found = trainers[key]
        rates = (number(found["answer_tokens_a_second"]), number(found["tokens_a_second"], 0))
        memory = f"{found['peak_memory_gb']:.2f}"
        rows.append((title, f"{found['seconds_a_step']:.2f}", *rates, f"{found['unseen_loss']:.3f}", memory))
    header = ("trainer", "seconds a step", "answer tokens/s", "tokens/s", "loss on 64 unseen rows", "peak memory, GB")
    return table(header, rows)


def training_loss() -> str:
    """Return both trainers' loss, every third step."""
    trainers = read("training")["trainers"]
    steps = range(0, len(trainers["trl"]["curve"]), 3)
    rows = [
        (title, *(f"{trainers[key]['curve'][step]:.2f}" for step in steps))
        for key, title in (("trl", "SFTTrainer"), ("metier", "Metier"))
    ]
    return table(("step", *(str(step + 1) for step in steps)), rows)


def k_centre() -> str:
    """Return what greedy k-centre takes, three ways and on a larger pool."""
    found = read("kcenter")
    points = f"{found['points']:,} vectors of {found['width']}, {found['chosen']} chosen"
    large = f"{found['large_points']:,} vectors from a file"
    rows = [
        ("the algorithm as in the paper", points, number(found["plain_seconds"])),
        ("numpy, by matrix-vector products", points, number(found["products_seconds"])),
        ("Metier", points, number(found["seconds"], 2)),
        (f"Metier, {found['large_peak_bytes'] / 1e9:.1f} GB at its peak", large, number(found["large_seconds"])),
    ]
    return table(("way", "on", "seconds"), rows, text_columns=2)


def regions() -> str:
    """Return how well each way finds the rows of a task in a pool."""
    rows = []
    for key, title in _WAYS.items():
        found = read("regions")["by"][key]
        shares = [number(found[k], 2) for k in ("precision", "core_set_precision")]
        unlike = found.get("inference", {})
        rows.append(
            (
                title,
                f"{found['rows']:,}",
                *shares,
                *(number(unlike.get(k), 2) for k in ("precision", "core_set_precision")),
            )
        )
    header = ("the task's part", "rows", "right", "right in the core set")
    return table((*header, "inference in the part", "inference in the core set"), rows)


def published() -> str:
    """Return the published result of low-data selection, set by set."""
    found = read("published")["low_data"]
    ways = {
        name: [*scores, sum(scores) / len(scores), sum(scores[:2]) / 2, sum(scores[2:]) / 3]
        for name, scores in found["accuracy"].items()
    }
    rows = [(f"{name}, {found['model']}", *map(number, scores)) for name, scores in ways.items()]
    core, pool = ways.values()
    rows.append(("difference", *(points(a - b) for a, b in zip(core, pool, strict=True))))
    return table(("trained on", *found["sets"], "mean of five", "RTE and CB alone", "ANLI alone"), rows)


def low_data() -> str:
    """Return every condition of low-data selection, with three seeds where there are three."""
    found, more = read("low_data"), read("low_data_transcribed")
    seeds = {outcome["condition"]["strategy"]: outcome for outcome in found["three_seeds"]}
    wide = {outcome["condition"]["strategy"]: outcome for outcome in found["wide_part_hubs_left_in"]}
    written = {outcome["key"]: outcome for outcome in more["conditions"]}
    lines = [
        _line("no tuning", "", seeds[""], None),
        _line("random, 0.5%", "random", seeds["random"], None),
        _line("k_center (LTD), 0.5%, default part (542 to 606 rows)", "k_center", seeds["k_center"], None),
        _line("all of that part, cut to 300", "related", seeds["related"], _turned(seeds["random"]["over_related"])),
        _line("k_center, 0.5%, wide part", "k_center, wide", wide["k_center"], None),
        _line(written["related, wide"]["name"], "related, wide", written["related, wide"], None),
        _line("nearest_mean, 0.5%, hubs left in", "nearest_mean, wide", wide["nearest_mean"], None),
        *(
            _line(written[key]["name"], key, written[key], None)
            for key in ("k_center, clusters", "nearest", "related, clusters")
        ),
    ]
    header = ("condition", "rows", "mean of five, by seed", "all seeds [95%]", "over as many at random")
    return table((*header, "RTE and CB alone", "ANLI alone"), lines)


def low_data_budgets() -> str:
    """Return two budgets of low-data selection beside as many rows at random, one seed."""
    rows = [
        (o["condition"]["name"], str(o["condition"]["rows"] or ""), score(o["score"]), gain(o["over_random"]))
        for o in read("low_data")["budgets_one_seed"]
    ]
    return table(("condition", "rows", "mean of five [95%]", "over as many at random"), rows)


def _line(name: str, key: str, outcome: Record, over: Record | None) -> Sequence[str]:
    groups = read("low_data_transcribed")["by_group"].get(key or "no tuning", {})
    rows = outcome["rows"] if "rows" in outcome else outcome["condition"]["rows"]
    seeds = [number(value) for value in outcome["by_seed"].values()]
    by_seed = ", ".join(seeds) + ("" if len(seeds) > 1 or not rows else " (seed 0)")
    gains = gain(over or outcome["over_random"])
    return (
        name,
        f"{rows:,}" if rows else "",
        by_seed,
        score(outcome["score"]),
        gains,
        number(groups.get("rte_cb")),
        number(groups.get("anli")),
    )


def _turned(interval: Record) -> Record:
    return {"value": -interval["value"], "low": -interval["high"], "high": -interval["low"]}
