"""Tables of single-task runs: the demonstration, the examples, SELF-GUIDE's tasks, and whether a model is needed."""

from __future__ import annotations

from collections.abc import Mapping

from tables_format import Record, gain, number, points, read, significant, table

SPECIALIST = "specialist"
NEED_TASKS = ("task738", "task1529", "task1615")
_METRICS = {"exact_match": "exact match", "rouge_l": "ROUGE-L"}
# Systems by the names they have in the tables.
_TITLES: Mapping[str, str] = {
    "majority": "commonest label",
    "copied_input": "copied input",
    "zero_shot": "the base model, zero-shot prompt",
    "few_shot": "the base model, few-shot prompt",
    "few_shot_best": "the base model, best of three few-shot prompts",
    "sampled_majority": "the base model, vote of ten samples",
    "self_icl": "the base model, synthetic pairs in the prompt",
    "label_scoring": "the base model, labels scored",
    "label_scoring_calibrated": "the base model, labels scored and calibrated",
    "tuned_on_examples": "tuned on the examples alone",
    "tfidf_examples": "TF-IDF on the examples",
    "tfidf_synthetic": "TF-IDF on the synthetic pairs",
    "encoder_examples": "small encoder on the examples",
    "encoder_synthetic": "small encoder on the synthetic pairs",
    "encoder_all": "small encoder on all pairs",
}
_DEMO = ("few_shot", "label_scoring_calibrated", "encoder_synthetic", SPECIALIST)
_EXAMPLES = ("demo", "ticket_routing")
COLUMNS = {
    "majority": "constant",
    "few_shot": "few-shot",
    "few_shot_best": "best of 3 prompts",
    "sampled_majority": "vote of 10",
    "self_icl": "pairs in prompt",
    "label_scoring": "label scoring",
    "label_scoring_calibrated": "calibrated",
    "tuned_on_examples": "tuned on examples",
    "tfidf_synthetic": "TF-IDF on synthetic",
    "encoder_examples": "encoder on examples",
    "encoder_synthetic": "encoder on synthetic",
    SPECIALIST: "specialist",
}
_WITHOUT_THE_MODEL = ("majority", "copied_input", "tfidf", "encoder", "harper", "replacements")


def input_form() -> str:
    """Return for each task which share of its real inputs pass each filter that its examples make."""
    found = read("input_form")["tasks"]
    ways = list(next(iter(found.values()))["pass"])
    rows = [
        (name, str(told["examples"]), str(told["instances"]), *(number(told["pass"][way]) for way in ways))
        for name, told in found.items()
    ]
    return table(("task", "examples", "real inputs", *ways), rows)


def demo() -> str:
    """Return the four rows of the README: what a user had, the best prompt, the cheap rival, the specialist."""
    run = read("demo")
    rows = []
    for system in _DEMO:
        found = run["systems"].get(system)
        if not found or not found["scores"]:
            continue
        title = f"**{SPECIALIST}**" if system == SPECIALIST else _TITLES[system]
        rows.append((title, number(_score(run, system)), gain(found["specialist_gain"]), number(found["seconds"])))
    header = ("system", _METRICS[run["metric"]], "specialist's gain [95%]", f"seconds, {_rows(run)} rows")
    return table(header, rows)


def demo_verdict() -> str:
    """Return what follows from the demonstration: whether the specialist is better than the best of the others."""
    run = read("demo")
    rivals = _rivals(run)
    best = _best(run, tuple(rivals))
    named = f"{_TITLES.get(best, best)} ({_score(run, best):.1f})"
    said = f"The best other system is *{named}*; the specialist's gain over it is {_gain_over(run, best)} points"
    judged = [s for s in rivals.values() if s["specialist_gain"]]
    if all(significant(s["specialist_gain"], s.get("p_value_uncorrected", s.get("p_value"))) for s in judged):
        return f"{said}: it is significantly better than every other system."
    said += ": **not shown to be better**."
    if product := run.get("product"):
        return f"{said} The run ends with the {product['title']}, because {product['why']}."
    theirs, ours = (run["systems"][system]["seconds"] or 0.0 for system in (best, SPECIALIST))
    if theirs < ours:
        said += f" The specialist takes {ours:.1f} s for these rows and the other {theirs:.1f} s, so use the other."
    return said


def examples() -> str:
    """Return a line for each example task that has been run."""
    header = ("example", *COLUMNS.values(), "over the best with the same model", "over the best of all")
    rows = []
    for name in _EXAMPLES:
        run = read(name)
        same = _best(run, tuple(s for s in _rivals(run) if not s.startswith(_WITHOUT_THE_MODEL)))
        scores = [number(_score(run, system)) for system in COLUMNS]
        over = [_gain_over(run, best) for best in (same, _best(run, tuple(_rivals(run))))]
        rows.append((f"{run['task']} ({_rows(run)} rows, {_METRICS[run['metric']]})", *scores, *over))
    return table(header, rows)


def example_seconds() -> str:
    """Return what the stages of the example runs took."""
    rows = []
    for run in map(read, _EXAMPLES):
        stages = ", ".join(f"{stage} {seconds:.0f}" for stage, seconds in run["seconds"].items())
        rows.append((run["task"], stages, number(sum(run["seconds"].values()), 0)))
    return table(("example", "seconds by stage", "together"), rows, text_columns=2)


def self_guide(runs: Mapping[str, Record] | None = None) -> str:
    """Return a line for each run on SELF-GUIDE's tasks, and why where one failed.

    Args:
        runs: By ``model/recipe/task``; those of the result file by default.
    """
    columns = ("zero_shot", "few_shot", "label_scoring", "label_scoring_calibrated", SPECIALIST)
    systems = ("constant", "zero-shot", "few-shot", "label scoring", "calibrated", SPECIALIST)
    judged = ("gain over few-shot", "gain over the best other row", "seconds")
    rows = []
    for key, run in sorted((read("self_guide")["runs"] if runs is None else runs).items()):
        name = key.split("/")
        if "error" in run:
            rows.append((*name, run["error"].split("; ")[0], *[""] * 9))
            continue
        constant = "majority" if _had(run, "majority") else "copied_input"
        cells = [str(run["counts"]["training_pairs"]), *(number(_score(run, s)) for s in (constant, *columns))]
        gains = [gain(run["systems"]["few_shot"]["specialist_gain"]), gain(run["gain"])]
        rows.append((*name, *cells, *gains, f"{sum(run['seconds'].values()):.0f}"))
    return table(("model", "recipe", "task", "pairs", *systems, *judged), rows, text_columns=3)


def self_guide_means() -> str:
    """Return the mean gains over SELF-GUIDE's tasks, by model and metric."""
    runs = [run for run in read("self_guide")["runs"].values() if "error" not in run]
    rows = []
    for model, metric in sorted({(run["model"], run["metric"]) for run in runs}):
        found = [run for run in runs if (run["model"], run["metric"]) == (model, metric)]
        over = [
            sum(interval["value"] for interval in gains) / len(found)
            for gains in ([r["systems"]["few_shot"]["specialist_gain"] for r in found], [r["gain"] for r in found])
        ]
        rows.append((model, _METRICS[metric], str(len(found)), *map(points, over)))
    header = ("model", "metric", "tasks", "mean gain over few-shot", "mean gain over the best other row")
    return table(header, rows, text_columns=2)


def need() -> str:
    """Return, for each task, the best system that tunes no language model beside the specialist."""
    rows = []
    for name in NEED_TASKS:
        run = _need_run(name)
        cheap = [row for row in run["need"] if row["system"].startswith(_WITHOUT_THE_MODEL)]
        best = max(cheap, key=lambda row: row["score"])
        ours = next(row for row in run["need"] if row["system"] == SPECIALIST)
        few = number(_score(run, "few_shot"))
        cells = (few, best["title"], number(best["score"]), number(ours["score"]), gain(best["gain"]))
        times = (_brief(best["p50"]), _brief(ours["p50"]))
        rows.append((name, *cells, *times, gain(run["ability"]), gain(run["format"])))
    scores = ("few-shot", "best without a language model", "its score", SPECIALIST, "specialist's gain over it")
    return table(("task", *scores, "one row with it", "one row, specialist", "ability", "format"), rows)


def need_in_full(name: str) -> str:
    """Return what every system costs on one task, and what it scores."""
    rows = []
    for row in _need_run(name)["need"]:
        rate = row["rows_per_second"]
        cells = (number(row["score"]), _brief(row["tuning_seconds"] or None), _brief(row["p50"]), _brief(row["p95"]))
        rows.append((row["title"], *cells, f"{rate:,.1f}" if rate else "", _size(row["size_bytes"])))
    header = ("system", "exact match", "tuning", "one row, median", "95th percentile", "rows a second", "size")
    return table(header, rows)


def _need_run(name: str) -> Record:
    run: Record = read("self_guide")["runs"][f"smollm2-135m-instruct/backward/{name}"]
    return run


def _had(run: Record, system: str) -> bool:
    return run["metric"] in run["systems"].get(system, {}).get("scores", {})


def _score(run: Record, system: str) -> float | None:
    return run["systems"][system]["scores"][run["metric"]] if _had(run, system) else None


def _rivals(run: Record) -> dict[str, Record]:
    return {name: s for name, s in run["systems"].items() if not name.startswith(SPECIALIST) and _had(run, name)}


def _best(run: Record, systems: tuple[str, ...]) -> str:
    return max(systems, key=lambda system: _score(run, system) or 0.0)


def _gain_over(run: Record, system: str) -> str:
    known = run["systems"][system]["specialist_gain"]
    if known:
        return gain(known)
    return f"{points((_score(run, SPECIALIST) or 0.0) - (_score(run, system) or 0.0))} (no interval was kept)"


def _rows(run: Record) -> int:
    return int(run["counts"]["test_rows"])


def _brief(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds >= 1:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    return f"{1000 * seconds:.{0 if seconds >= 0.01 else 1}f} ms"


def _size(size_bytes: int) -> str:
    if not size_bytes:
        return ""
    return f"{size_bytes / 1e6:.0f} MB" if size_bytes >= 1e6 else f"{max(size_bytes / 1e3, 1):.0f} kB"
