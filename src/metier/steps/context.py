"""What every step of a run shares: the model, the folder, and how things are run. Never what a result depends on."""

from __future__ import annotations

import dataclasses
from typing import Literal

from metier.core.progress import Reporter
from metier.core.run_folder import Run
from metier.core.step import Artifact
from metier.engines.base import Engine
from metier.models.encoder import SentenceEncoder
from metier.models.locate import ModelFiles, resolve_model
from metier.steps.slot import Running, Slot, running
from metier.systems.base import Keep, Tools
from metier.tasks.scenario import Scenario
from metier.tasks.settings import EngineSettings


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """What the steps of one run share.

    Attributes:
        run: The run folder.
        files: The base model's files.
        how: How models are run.
        slot: Holds the model that is in memory.
        reporter: Where progress goes.
        alone: Whether the run is of one task file: its folder is then the task's own.
    """

    run: Run
    files: ModelFiles
    how: Running
    slot: Slot
    reporter: Reporter
    alone: bool

    def of(self, task: str) -> Run:
        """Return the folder of one task."""
        return self.run if self.alone else self.run.inside("tasks", task)

    @property
    def model(self) -> ModelInputs:
        """What every step that asks the base model depends on."""
        return ModelInputs(Artifact(self.files.digest, self.files.path), self.how.style, self.how.engine.of_results())

    def tools(self, run: Run) -> Tools:
        """Return what Systems learn with; what they ask is kept in ``run``."""
        return Tools(
            model=self.model.model,
            open_model=self._open_model,
            prompts=lambda: self.slot.prompts,
            open_encoder=self._open_encoder,
            keep=Keep(run, self.reporter),
        )

    def _open_model(self, weights: Artifact | None) -> Engine:
        return self.slot.open(weights.path if weights else None)

    def _open_encoder(self, encoder: Artifact) -> SentenceEncoder:
        self.slot.close()  # the encoder needs the memory
        return SentenceEncoder(encoder.path, device=self.how.engine.device)


@dataclasses.dataclass(frozen=True, slots=True)
class ModelInputs:
    """A base model and how it is run and prompted, as far as that changes results."""

    model: Artifact
    style: Literal["auto", "chat", "plain"]
    engine: EngineSettings


def open_context(scenario: Scenario, run: Run, reporter: Reporter) -> Context:
    """Return the context of a run that is open: its model is found now, and opened when it is first asked.

    Raises:
        UserError: There is no such model.
        MetierError: It cannot be fetched.
    """
    how = running(scenario.settings)
    files = resolve_model(how.model, trust_remote_code=how.engine.trust_remote_code)
    return Context(run, files, how, Slot(how, files, run.folder), reporter, scenario.alone)
