"""What is exported: a run's product, or its tuned model, with the run's test rows and the answers it gave to them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from metier.core.codec import CodecError
from metier.core.errors import UserError
from metier.core.records import Example
from metier.core.step import check_left
from metier.exporting.template import prompt_around
from metier.models.locate import ModelFiles, resolve_model
from metier.report.facts import PromptTemplate
from metier.runs.load import KnownAnswers, load_answers, task_of_run
from metier.runs.mark import NAME, read_mark
from metier.runs.use import base_of, product_folder, running_as
from metier.steps.slot import Running, Slot, running
from metier.systems.asker_file import WEIGHTS, read_asker
from metier.systems.product import read_product
from metier.systems.product_record import Product
from metier.systems.registry import SPECIALIST, SYSTEMS
from metier.systems.renderings import RENDERINGS, Rendered, Rendering
from metier.tasks.settings import LaunchSettings
from metier.tasks.task import Task

_WRITES, _SCORES = "written", "scored"
_CLASSIFIERS = ("tfidf", "encoder", "encoder_pair")
_INSTEAD = "metier predict answers files with it"


@dataclasses.dataclass(frozen=True, slots=True)
class LanguageModel:
    """A System that asks a language model with one prompt.

    Attributes:
        task: The task's name.
        instruction: What it does.
        labels: The possible answers; None: any text.
        title: The System's name for people.
        scored: Whether it answers with the likeliest label, and not by writing.
        base: The base model.
        how: How the base model is run and prompted.
        weights: The folder of its tuned weights; None: the base model's own.
        shown: The examples in its prompt.
        rendering: How the prompt is laid out.
        max_tokens: Longest answer.
        tested: What the run's test says of it; None without one.
    """

    task: str
    instruction: str
    labels: tuple[str, ...] | None
    title: str
    scored: bool
    base: ModelFiles
    how: Running
    weights: Path | None
    shown: tuple[Example, ...]
    rendering: Rendering
    max_tokens: int
    tested: KnownAnswers | None

    @property
    def has_adapter(self) -> bool:
        """Whether the weights are an adapter, and not a whole model."""
        return self.weights is not None and (self.weights / "adapter_config.json").exists()

    def slot(self) -> Slot:
        """Return what opens the model and its tokenizer."""
        return Slot(self.how, self.base)

    def rendered(self, slot: Slot, text: str) -> Rendered:
        """Return the prompt that asks for the answer to one input."""
        return RENDERINGS[self.rendering](slot.prompts, self.instruction, self.shown, text)

    def prompt(self, slot: Slot) -> PromptTemplate:
        """Return what the prompt writes round an input."""
        return prompt_around(lambda text: self.rendered(slot, text), self.max_tokens)


@dataclasses.dataclass(frozen=True, slots=True)
class Classifier:
    """A product that answers with a label and asks no language model: TF-IDF or an encoder, with a linear head.

    The encoder reads the input whole, or its two parts.

    Attributes:
        folder: The product's.
        product: What is said of it.
        tested: What the run's test says of it; None without one.
    """

    folder: Path
    product: Product
    tested: KnownAnswers | None


def open_source(path: Path, task: str | None = None, system: str | None = None) -> LanguageModel | Classifier:
    """Return what is to be exported.

    Args:
        path: The folder of a finished run, or of a product.
        task: Of a run of several tasks, which.
        system: ``specialist``: the run's tuned model, whatever ships; None: the product.

    Raises:
        UserError: There is none, or it is of a kind that other tools cannot run.
        MetierError: Its base model is not there or is another one.
    """
    folder = product_folder(path, task)
    if system is not None:
        return _specialist(folder, system)
    product = read_product(folder)
    tested = load_answers(folder.parent, product.system)
    if product.form in _CLASSIFIERS:
        return Classifier(folder, product, tested)
    if product.form not in (_WRITES, _SCORES) or product.model is None:
        why = "it is made of rules that only Metier runs"
        if product.model is not None:
            why = "other tools ask a model once, with one prompt"
        raise UserError(
            f"{folder}: {product.title} cannot be exported: {why}",
            hint=f"{_INSTEAD}; or export the run's tuned model with --system {SPECIALIST}",
        )
    return _of_product(folder, product, tested)


def _of_product(folder: Path, product: Product, tested: KnownAnswers | None) -> LanguageModel:
    if product.model is None:
        raise ValueError("a product that asks a language model names it")
    files = base_of(folder, product.model)
    try:
        saved = read_asker(folder, files.digest)
    except (OSError, CodecError) as error:
        raise UserError(f"{folder}: the product is not whole ({error})", hint="copy the folder again") from error
    return LanguageModel(
        task=product.task,
        instruction=saved.asked.instruction,
        labels=product.labels,
        title=product.title,
        scored=product.form == _SCORES,
        base=files,
        how=running_as(product.model),
        weights=folder / WEIGHTS if saved.weights is not None else None,
        shown=saved.shown,
        rendering=saved.rendering,
        max_tokens=saved.max_tokens,
        tested=tested,
    )


def _specialist(folder: Path, system: str) -> LanguageModel:
    """Return the tuned model of the run that a product is in, which holds it whatever ships."""
    owner = folder.parent
    if system != SPECIALIST:
        raise UserError(
            f"--system: {system!r} is not kept by a run", hint=f"use {SPECIALIST}, or ship: {system} in the task file"
        )
    if not (owner / "task.json").exists():
        raise UserError(f"{folder}: --system needs the run's folder, not the product's alone")
    task = task_of_run(owner)
    weights, max_tokens = _weights(owner, task.name)
    files = resolve_model(task.model, trust_remote_code=task.engine.trust_remote_code)
    how = dataclasses.replace(running(task), launch=LaunchSettings())
    shown: tuple[Example, ...] = ()
    if task.prompt.specialist_demonstrations:
        shown = _fitting(task, Slot(how, files))
    return LanguageModel(
        task=task.name,
        instruction=task.instruction,
        labels=task.labels,
        title=SYSTEMS[SPECIALIST].title,
        scored=task.labels is not None and task.evaluation.answer_by == "likelihood",
        base=files,
        how=how,
        weights=weights,
        shown=shown,
        rendering="usual",
        max_tokens=max_tokens,
        tested=load_answers(folder.parent, SPECIALIST),
    )


def _fitting(task: Task, slot: Slot) -> tuple[Example, ...]:
    from metier.engines.prompts import fitting_demonstrations

    examples = [Example(e.input, e.output) for e in task.examples]
    return fitting_demonstrations(examples, slot.count_tokens, slot.context_length // 2)


def _weights(owner: Path, task: str) -> tuple[Path, int]:
    """Return the newest tuned weights for a task in a run's folder, and the longest answer they were asked for."""
    root = owner if any(owner.glob(f"training*/*/{NAME}")) else owner.parent.parent
    marks = sorted(root.glob(f"training*/*/{NAME}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in marks:
        marked = read_mark(path).tasks.get(task)
        if marked is not None and marked.prompt is not None:
            check_left(path.parents[1])
            return path.parent, marked.prompt.max_tokens
    raise UserError(f"{root}: there is no tuned model for {task} in it", hint="metier run makes one")
