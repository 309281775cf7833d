"""Exports a product: writes a folder, checks it against the product, and only then gives it its name."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from metier.core import storage
from metier.core.codec import encode
from metier.core.errors import UserError
from metier.core.progress import Reporter
from metier.exporting.card import write_card
from metier.exporting.classifiers import write_classifier
from metier.exporting.formats import FORMATS, Job, quant_of
from metier.exporting.hosts import Unavailable
from metier.exporting.parity import Parity, compare, expect
from metier.exporting.source import Classifier, LanguageModel, open_source
from metier.runs.use import product_folder
from metier.systems.registry import SPECIALIST

NUMPY, _ONNX = "numpy", "onnx"
NAMES = (*FORMATS, NUMPY, _ONNX)
MARK = "parity.json"
"""Every export has this file: a folder without it is none, and is not overwritten."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be exported.

    Attributes:
        run: The folder of a finished run, or of a product.
        to: The format.
        task: Of a run of several tasks, which.
        system: ``specialist`` for the run's tuned model, whatever ships; None: the product.
        quant: How a GGUF file keeps numbers; None: as is best for most.
        out: Where to; None: ``export/FORMAT`` in the run's folder.
    """

    run: Path
    to: str
    task: str | None = None
    system: str | None = None
    quant: str | None = None
    out: Path | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Exported:
    """An export: where it is, and how it compares with the product."""

    folder: Path
    parity: Parity


def export(wanted: Wanted, reporter: Reporter) -> Exported:
    """Export a product.

    Args:
        wanted: What, and where to.
        reporter: Where progress goes.

    Raises:
        UserError: The format is not known or does not fit the product, or the folder is something else's.
        MetierError: The export does not do what the product does; nothing of it is left.
    """
    if wanted.to not in NAMES:
        raise UserError(f"--to: {wanted.to!r} is not known", hint=f"one of {', '.join(NAMES)}")
    quant = quant_of(wanted.quant, wanted.to)
    source = open_source(wanted.run, wanted.task, wanted.system)
    _check(source, wanted)
    target = wanted.out or _place(wanted)
    if target.exists() and not (target / MARK).exists():
        raise UserError(f"{target}: there is something else in it", hint="name another folder with -o")
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with storage.explained(partial):
            partial.mkdir(parents=True)
        if isinstance(source, Classifier):
            reporter.say(f"{wanted.to}: written, and run beside the product")
            parity = write_classifier(source, partial)
        else:
            prompt = source.prompt(source.slot())
            parity = _write(Job(source, prompt, partial, quant), wanted.to, reporter)
        storage.write_json(partial / MARK, encode(parity))
        storage.replace_folder(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Exported(target, parity)


def _write(job: Job, to: str, reporter: Reporter) -> Parity:
    form = FORMATS[to]
    reporter.say(f"{to}: writing {job.source.title}")
    composes = form.write(job)
    reporter.say(f"{to}: comparing it with the product")
    expected = expect(job.source, composed=composes)
    host = form.host(job, expected.longest)
    if isinstance(host, Unavailable):
        parity = Parity(to, not_measured=host.why)
    else:
        try:
            parity = compare(job.source, expected, host, to)
        finally:
            host.close()
    write_card(job.source, job.prompt, parity, form.uses(job), job.folder)
    return parity


def _check(source: LanguageModel | Classifier, wanted: Wanted) -> None:
    """Refuse a format that does not fit what is exported."""
    if wanted.to == _ONNX:
        language_model = isinstance(source, LanguageModel)
        instead = "use --to merged, or --to gguf for small machines" if language_model else f"use --to {NUMPY}"
        raise UserError("--to onnx: not written: no converter that is kept up covers these models", hint=instead)
    if isinstance(source, LanguageModel):
        if wanted.to == NUMPY:
            raise UserError(
                f"--to {NUMPY}: it is for classifiers, and this asks a language model ({source.title})",
                hint=f"use one of {', '.join(FORMATS)}",
            )
    elif wanted.to != NUMPY:
        hint = f"use --to {NUMPY}"
        if (source.folder.parent / "task.json").exists():
            hint += f", or --system {SPECIALIST} for the run's tuned model, or ship: {SPECIALIST} in the task file"
        raise UserError(f"--to {wanted.to}: the product is no language model ({source.product.title})", hint=hint)


def _place(wanted: Wanted) -> Path:
    folder = product_folder(wanted.run, wanted.task)
    owner = folder.parent if (folder.parent / "task.json").exists() else folder
    return owner / "export" / "-".join(filter(None, (wanted.system, wanted.to)))
