"""Tables of the writing scenario: seven tasks and one model, and the studies of what makes the difference."""

from __future__ import annotations

from collections.abc import Sequence

from tables_format import Record, gain, number, p_value, read, score, significant, table

_TASKS = ("grammar", "fluency", "clarity", "coherence", "simplification", "neutralization", "paraphrasing")
_METRICS = {"edit_f05": "edit F0.5", "gleu": "GLEU", "sari": "SARI", "ibleu": "iBLEU"}
_PROMPTS = {"few_shot": "few-shot", "zero_shot": "zero-shot"}
_TOOLS = {"harper": "Harper", "replacements": "replacements"}
# The runs of the result file, by what was varied.
_RUNS = {
    "smollm2": "200 rows a task, 200 test rows, edit weight 3",
    "weight 3": "200 rows a task, 100 test rows, edit weight 3",
    "weight 1": "200 rows a task, 100 test rows, edit weight 1",
    "qwen": "40 rows a task, 40 test rows, edit weight 3",
}


def outcomes(which: str) -> str:
    """Return every task of one run of the scenario, with the gains over what it must beat."""
    outcome = _run(which)["outcome"]
    systems = ("base", "copied", "cheap tool", "tuned", "in unseen wordings")
    judged = ("over base", "over copied", "over tool", "largest p, corrected", "significantly better than")
    rows = [_outcome_row(task) for task in outcome["tasks"]]
    rows.append(("mean gain", *[""] * 6, gain(outcome["mean_gain"]), *[""] * 4))
    return table(("task", "metric", *systems, *judged), rows, text_columns=2)


def edit_weight() -> str:
    """Return what it does to a model of few rows when an edit counts three times."""
    rows = []
    for which in ("weight 1", "weight 3"):
        run = _run(which)
        metrics = {task["name"]: task["metric"] for task in run["outcome"]["tasks"]}
        ours = {task: run["systems"][task]["specialist"] for task in _TASKS}
        scores = [number(ours[task][metrics[task]]) for task in _TASKS]
        copied = [number(ours[task]["copied_rate"], 0) for task in _TASKS]
        rows.append((f"{which}: score", *scores, gain(run["outcome"]["mean_gain"])))
        rows.append((f"{which}: input copied, %", *copied, ""))
    return table(("", *_TASKS, "mean gain over base"), rows)


def labels() -> str:
    """Return few labels of one task, with and without pairs that the model writes."""
    header = ("trained on", "rows", "seconds of training", "SARI [95%]", "over 50 labels")
    return table(header, [_variant(v, ()) for v in _study("labels")])


def variants() -> str:
    """Return data, wordings, tuning and adapters, each against the scenario's data, one model, LoRA."""
    found = [_study("data")[0]]
    for study in ("data", "wordings", "tuning", "adapters"):
        found += [v for v in _study(study)[1:] if v["name"] != "no tuning"]
    found.append(_study("data")[-1])
    return table(_VARIANT_HEADER, [_variant(v, _TASKS) for v in found])


def sizes() -> str:
    """Return the scenario at several numbers of rows a task."""
    return table(_VARIANT_HEADER, [_variant(v, _TASKS) for v in _study("sizes")])


def left_out() -> str:
    """Return each task with and without its own rows in the mixture."""
    found = {variant["name"]: variant for variant in _study("left_out")}
    rows = []
    for task in _TASKS:
        without = found[f"without {task}"]
        scores = [found[name]["scores"][task] for name in ("all tasks", f"without {task}", "no tuning")]
        seconds = f"{without['facts']['seconds']:.0f}"
        rows.append((task, *map(number, scores), gain(without["gains"][task]), seconds))
    header = ("task", "trained on all seven", "on the other six", "base, few-shot")
    return table((*header, "difference of leaving it out", "seconds of training"), rows)


_VARIANT_HEADER = ("variant", "rows", "seconds of training", *_TASKS, "mean [95%]", "over the first")


def _run(which: str) -> Record:
    return next(run for run in read("writing")["runs"] if run["about"].startswith(_RUNS[which]))


def _study(name: str) -> Sequence[Record]:
    found: Sequence[Record] = read("writing")["studies"][name]
    return found


def _outcome_row(task: Record) -> Sequence[str]:
    base, copied, tool = task["base"], task["constant"], task["cheap"]
    rivals = {"base": base, "copied": copied, "tool": tool}
    known = {name: rival for name, rival in rivals.items() if rival}
    beaten = [name for name, rival in known.items() if significant(rival["gain"], rival["p_value"])]
    everything = len(beaten) == len(known)
    return (
        task["name"],
        _METRICS[task["metric"]],
        f"{number(base['score'])} ({_PROMPTS[base['system']]})",
        number(copied["score"]),
        f"{number(tool['score'])} ({_TOOLS[tool['system']]})" if tool else "none",
        number(task["specialist"]),
        number(task["unseen"]),
        gain(base["gain"]),
        gain(copied["gain"]),
        gain(tool["gain"]) if tool else "",
        p_value(max(rival["p_value"] for rival in known.values())),
        f"**everything: {', '.join(beaten)}**" if everything else ", ".join(beaten) or "nothing",
    )


def _variant(variant: Record, tasks: Sequence[str]) -> Sequence[str]:
    facts, gains = variant["facts"], variant["gains"]
    scores = [number(variant["scores"][task]) + _mark(gains.get(task)) for task in tasks]
    rows, seconds = (f"{facts[key]:.0f}" if key in facts else "" for key in ("rows", "seconds"))
    return (variant["name"], rows, seconds, *scores, score(variant["mean"]), gain(variant["mean_gain"]))


def _mark(interval: Record | None) -> str:
    """Return a sign where a difference's interval excludes zero."""
    if interval is None or interval["low"] <= 0 <= interval["high"]:
        return ""
    return "+" if interval["low"] > 0 else "−"
