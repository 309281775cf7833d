"""Runs to serve that need no training: a product's folder each, over no model or over the tiny one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import metier
from metier.core import storage
from metier.core.codec import encode
from metier.core.progress import Reporter
from metier.core.records import Example, Interval, Prediction
from metier.core.run_folder import Run
from metier.core.step import Artifact
from metier.evaluation.records import Threshold
from metier.models.encoder import SentenceEncoder
from metier.models.locate import resolve_model
from metier.report.html import write_report
from metier.steps.slot import Running, Slot
from metier.systems.base import Asked, Keep, Learned, Material, Tools
from metier.systems.product import read_product, save_product
from metier.systems.product_record import FORMAT, Measured, ModelUsed, Product
from metier.systems.registry import SYSTEMS
from metier.tasks.settings import EngineSettings, LaunchSettings, SynthesisSettings
from tests.report.conftest import some_facts

LABELS = ("billing", "delivery")
PAIRS = tuple(
    Example(f"{what} number {i}", label)
    for i in range(8)
    for what, label in (("the invoice is wrong", "billing"), ("the parcel is late", "delivery"))
)
REWRITES = tuple(Example(f"they utilize the {what}", f"they use the {what}") for what in ("car", "road", "door"))
ENGINE = EngineSettings(dtype="float32", device="cpu")


def write_labels_run(folder: Path, threshold: float | None = None) -> Path:
    """Write a run whose product is TF-IDF on two labels."""
    entry = SYSTEMS["tfidf_train"]
    learned = entry.learn(Material(LABELS, labelled=PAIRS), _no_tools(folder))
    limit = Threshold(0.95, threshold, 0.9, 0.97, 0.95, "firm") if threshold is not None else None
    product = _product("routing", entry.key, learned, labels=LABELS, threshold=limit)
    return _saved(product, learned, None, folder)


def write_replacements_run(folder: Path) -> Path:
    """Write a run whose product rewrites by replacements that it has learnt."""
    entry = SYSTEMS["replacements"]
    learned = entry.learn(Material(None, labelled=REWRITES), _no_tools(folder))
    return _saved(_product("plain", entry.key, learned), learned, None, folder)


def write_encoder_run(folder: Path, encoder: Path) -> Path:
    """Write a run whose product is a regression on the vectors of an encoder (or of a language model used as one)."""
    entry, files = SYSTEMS["encoder_train"], resolve_model(str(encoder))
    tools = dataclasses.replace(_no_tools(folder), open_encoder=lambda artifact: SentenceEncoder(artifact.path))
    artifact = Artifact(files.digest, files.path)
    material = Material(LABELS, labelled=PAIRS, encoder=artifact, encoder_name=str(encoder))
    learned = entry.learn(material, tools)
    return _saved(_product(folder.name, entry.key, learned, labels=LABELS), learned, None, folder)


def write_model_run(
    folder: Path,
    base: Path,
    system: str = "specialist",
    *,
    labels: tuple[str, ...] | None = None,
    adapter: Path | None = None,
    max_tokens: int = 12,
    engine: EngineSettings = ENGINE,
    style: Literal["auto", "plain"] = "auto",
) -> Path:
    """Write a run whose product asks a model; ``adapter`` is what it was tuned to."""
    entry = SYSTEMS[system]
    files = resolve_model(str(base))
    model, weights = Artifact(files.digest, files.path), Artifact(folder.name, adapter) if adapter else None
    slot = Slot(Running(str(base), engine, LaunchSettings(), style), files)
    tools = Tools(
        model,
        lambda tuned: slot.open(tuned.path if tuned else None),
        lambda: slot.prompts,
        lambda encoder: (_ for _ in ()).throw(AssertionError),
        _keep(folder),
    )
    examples = PAIRS[:2] if labels else REWRITES[:2]
    asked = Asked(model, style, engine, "Do what is asked.", max_tokens, 0)
    material = Material(
        labels,
        asked=asked,
        examples=examples,
        weights={"task": weights} if weights else {},
        sampling=SynthesisSettings(noise_filter=False),
    )
    learned = entry.learn(entry.seen(material), tools)
    used = ModelUsed(str(base), files.digest, style, engine)
    return _saved(_product(folder.name, system, learned, labels=labels, model=used), learned, weights, folder)


def make_adapter(base: Path, folder: Path, seed: int, targets: Sequence[str] = ("q_proj", "v_proj")) -> Path:
    """Write an adapter of random numbers, large enough to change the answers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model: Any = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
    tuned: Any = get_peft_model(model, LoraConfig(r=4, lora_alpha=16, target_modules=list(targets)))
    for name, values in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(values, std=0.3)
    tuned.save_pretrained(str(folder))
    return folder


def _product(
    task: str,
    system: str,
    learned: Learned,
    *,
    labels: tuple[str, ...] | None = None,
    threshold: Threshold | None = None,
    model: ModelUsed | None = None,
) -> Product:
    entry = SYSTEMS[system]
    measured = Measured(
        metric="exact_match" if labels else "sari",
        rows=80,
        score=Interval(90.0, 81.2, 95.0),
        best=system,
        loss=Interval(0.0, 0.0, 0.0),
        unseen_score=None,
        stability=0.9,
        verdict=None,
        scores={system: Interval(90.0, 81.2, 95.0)},
        milliseconds=1.5,
    )
    return Product(
        format=FORMAT,
        metier=metier.__version__,
        task=task,
        instruction="Do what is asked.",
        labels=labels,
        system=system,
        title=entry.title,
        kind=entry.kind,
        form=learned.form,
        model=model,
        measured=measured,
        confidence=None,
        threshold=threshold,
        why="it is the cheapest",
        nbytes=learned.nbytes,
    )


def _saved(product: Product, learned: Learned, weights: Artifact | None, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_product(dataclasses.replace(product, form=learned.form), learned, weights, folder / "product")
    return folder


def _no_tools(folder: Path) -> Tools:
    def refuse(*_: object) -> Any:
        raise AssertionError("this System asks no model")

    return Tools(Artifact("", folder), refuse, refuse, refuse, _keep(folder))


def _keep(folder: Path) -> Keep:
    return Keep(Run(folder.parent / f"{folder.name}-learning"), Reporter(quiet=True))


def add_facts(run: Path, right: int, *, rows: int = 20) -> list[str]:
    """Give a run of two labels its facts, its page and its test, which the specialist answers ``right`` times rightly.

    Returns:
        The test's inputs.
    """
    tested = [Example(f"test message {i} on the matter of {'ab'[i % 2]}", LABELS[i % 2]) for i in range(rows)]
    answers = {
        "few_shot": [LABELS[0]] * rows,
        "specialist": [e.output if i < right else "neither" for i, e in enumerate(tested)],
    }
    facts = some_facts()
    assert facts.judged is not None
    systems = tuple(system for system in facts.judged.systems if system.system in answers)
    judged = dataclasses.replace(facts.judged, systems=systems, rows=rows, evaluation_folder="evaluation-x", seeds=())
    product = read_product(run / "product")
    assert product.measured is not None
    scores = {**product.measured.scores, "few_shot": Interval(50.0, 40.0, 60.0)}
    product = dataclasses.replace(product, measured=dataclasses.replace(product.measured, scores=scores))
    settings = {**facts.settings, "examples": [{"input": "I was charged twice", "output": "billing"}]}
    facts = dataclasses.replace(facts, labels=LABELS, judged=judged, product=product, settings=settings)
    storage.write_json(run / "result.json", encode(facts))
    write_report(facts, run / "report.html")
    evaluation = run / "evaluation-x"
    rows_told = [encode(row) for row in tested]
    storage.write_lines(evaluation / "rows.jsonl", rows_told)
    predictions = [
        Prediction(i, system, row.input, row.output, text, text, 100.0 * (text == row.output))
        for system, texts in answers.items()
        for i, (row, text) in enumerate(zip(tested, texts, strict=True))
    ]
    answers_told = [encode(one) for one in predictions]
    storage.write_lines(evaluation / "predictions.jsonl", answers_told)
    files = {"rows.jsonl": rows_told, "predictions.jsonl": answers_told}
    written = {name: {"sha256": storage.digest(records)} for name, records in files.items()}
    storage.write_json(evaluation / "manifest.json", {"files": written})
    return [row.input for row in tested]
