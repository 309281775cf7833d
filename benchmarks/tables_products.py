"""The tables of what ships, and of what might: ``products.json``, ``tolerance.json``, ``encoders.json``."""

from __future__ import annotations

import statistics

from tables_format import Record, gain, number, read, table

_COUNTS = ("rows", "learnt_from")  # what an encoder's task holds beside its encoders
_NAMES = {"exact_match": "exact match", "gleu": "GLEU", "sari": "SARI", "rouge_l": "ROUGE-L", "chrf": "chrF"}


def products() -> str:
    """Return a line for each task: what ships, beside the best System and the tuned model."""
    header = ("task", "ships", "score [95%]", "best", "loss to the best", "tuned model", "over the tuned model")
    rows = []
    for name, task in _tasks().items():
        ships, best, tuned = task["ships"], task["best"], task["tuned"]
        metric = _NAMES.get(task["metric"], task["metric"])
        rows.append(
            (
                f"{name} ({task['rows']} rows, {metric})",
                ships["title"],
                _with_interval(ships),
                "the same" if best["system"] == ships["system"] else f"{best['title']} {number(best['score'])}",
                gain(task["against_best"]) or "0",
                number(tuned["score"]),
                gain(task["against_tuned"]) or "0",
            )
        )
    return table(header, rows, text_columns=2)


def product_costs() -> str:
    """Return a line for each task: what the product takes, beside the tuned model."""
    header = ("task", "ships", "ms a row", "tuned", "MB", "tuned", "seconds to learn", "tuned", "same choice")
    rows = []
    for name, task in _tasks().items():
        cells = [
            number(task[who][what] and task[who][what] / unit, digits)
            for what, unit, digits in (("milliseconds", 1, 1), ("bytes", 1e6, 1), ("learning_seconds", 1, 0))
            for who in ("ships", "tuned")
        ]
        rows.append((name, task["ships"]["title"], *cells, f"{100 * task['stability']:.0f}%"))
    return table(header, rows, text_columns=2)


def product_means() -> str:
    """Return the means over the tasks, in a sentence, and the tasks that did not finish."""
    every = _tasks()
    ships, tuned, best = (
        statistics.mean(t[who]["score"] for t in every.values()) for who in ("ships", "tuned", "best")
    )
    losses = {name: t["best"]["score"] - t["ships"]["score"] for name, t in every.items()}
    worst = max(losses, key=lambda name: losses[name])
    shares = [t["ships"]["milliseconds"] / t["tuned"]["milliseconds"] for t in every.values()]
    said = (
        f"Mean over the {len(every)} tasks: products {ships:.1f}, tuned models {tuned:.1f}, best Systems {best:.1f}. "
        f"The largest loss to the best System is {losses[worst]:.1f} points ({worst}). In the median a product takes "
        f"{100 * statistics.median(shares):.0f}% of the tuned model's time for a row."
    )
    failed = {name: t["error"] for name, t in read("products")["tasks"].items() if "error" in t}
    return said + "".join(f" {name} did not finish: {error}." for name, error in failed.items())


def tolerance() -> str:
    """Return what a tolerance costs and saves, by the rows of the test."""
    cells = read("tolerance")["cells"]
    rows = sorted({cell["rows"] for cell in cells})
    header = ("tolerance, points", *(f"{n} rows" for n in rows))
    lines = []
    for points in sorted({cell["tolerance"] for cell in cells}):
        own = {cell["rows"]: cell for cell in cells if cell["tolerance"] == points}
        lines.append((f"{points:g}", *(_cell(own[n]) for n in rows)))
    return table(header, lines)


def encoders() -> str:
    """Return a line for each task, with every encoder's score, and what each gains over the plain one in the mean."""
    found = read("encoders")
    ways = list(dict.fromkeys(way for task in found["tasks"].values() for way in task if way not in _COUNTS))
    plain, *others = ways
    lines = [
        (name, *(number(task[way]["score"]) if way in task else "" for way in ways))
        for name, task in found["tasks"].items()
    ]
    seconds = ["seconds, all tasks"]
    for way in ways:
        seconds.append(number(sum(task[way]["seconds"] for task in found["tasks"].values() if way in task), 0))
    gains = ["mean gain over the first", "", *(gain(found["mean_gain"][way]) for way in others)]
    return table(("task", plain, *others), [*lines, tuple(gains), tuple(seconds)])


def _tasks() -> dict[str, Record]:
    return {name: task for name, task in read("products")["tasks"].items() if "error" not in task}


def _with_interval(system: Record) -> str:
    found = system["interval"]
    return f"{number(system['score'])} [{number(found['low'])}, {number(found['high'])}]" if found else ""


def _cell(cell: Record) -> str:
    lost = f"{cell['mean_loss']:.1f}; {100 * cell['share_over_3_points']:.0f}%"
    return f"{lost}; {100 * cell['median_latency_of_the_bests']:.0f}%"
