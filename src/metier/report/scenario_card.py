"""Writes the model card of a model that was tuned for several tasks. Knows nothing of how scores came to be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metier.core import storage
from metier.report.card import data_tags, hub_results, usage
from metier.report.facts import RunFacts
from metier.report.markdown import base_header, base_name, card
from metier.report.scenario import scenario_sentences, verdicts
from metier.report.scenario_facts import ScenarioFacts
from metier.report.sentences import data_sentences


def write_scenario_card(facts: ScenarioFacts, tasks: Sequence[RunFacts], folder: Path, base_model: str) -> Path:
    """Write ``README.md`` into the folder of the weights and return its path.

    Args:
        facts: What the scenario came to.
        tasks: The facts of each task that these weights are for, at least one.
        folder: The folder of the weights.
        base_model: The base model's hub id; of a path only the last part is named.

    Raises:
        UserError: The folder may not be written to.
        MetierError: The disk is full, or the write failed otherwise.
    """
    tags = ["multi-task", *data_tags(*tasks)]
    header = base_header(base_model, tasks[0].model.licence, adapter=facts.tuning == "lora", tags=tags)
    if results := [result for task in tasks for result in hub_results(task)]:
        header["model-index"] = [{"name": facts.name, "results": results}]
    path = folder / "README.md"
    storage.write_text(
        path,
        card(
            header,
            "scenario_card.md.j2",
            facts=facts,
            tasks=tasks,
            # These weights may be for some of the tasks alone.
            outcomes=[outcome for outcome in facts.outcome.tasks if outcome.name in {task.name for task in tasks}],
            made={task.name: " ".join(data_sentences(task.data)) for task in tasks},
            sentences=scenario_sentences(facts),
            verdicts=verdicts(facts),
            base=base_name(base_model),
            usage=usage(tasks[0]),
        ),
    )
    return path
