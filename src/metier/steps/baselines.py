"""The baselines stage: what the specialist is compared with, as far as it needs no training of a language model.

Every system answers the same rows, each written down as it comes; one that cannot be had says why.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

from metier.core import storage
from metier.core.errors import MetierError
from metier.core.records import Example
from metier.core.run_folder import Stage
from metier.data.pairs import ExampleFile
from metier.engines.base import Engine
from metier.engines.shards import unkept
from metier.evaluation.compare import is_correction, is_rewriting
from metier.models.locate import resolve_model
from metier.steps.context import Context, demonstrations, model_key
from metier.systems import classic, predict, prompted
from metier.systems.replacements import learn_replacements


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingData:
    """What there is to learn from.

    Attributes:
        examples: The hand-written demonstrations.
        labelled: Rows of the task's ``train`` file.
        synthetic: Pairs the model wrote.
        source: Hash of all of it.
    """

    examples: tuple[Example, ...]
    labelled: tuple[Example, ...]
    synthetic: tuple[Example, ...]
    source: str


def baselines(c: Context, rows: Sequence[Example], test: ExampleFile, data: TrainingData) -> Stage:
    """Answer the test rows with every baseline the task asks for (``answers.json``: by system, and what is missing).

    Args:
        c: The run's context.
        rows: The test rows.
        test: The file they are from.
        data: What the baselines that learn may learn from.
    """
    key = {**model_key(c), "evaluation": c.task.evaluation.model_dump(mode="json"), "test": test.sha256}
    key |= {"data": data.source, "metric": c.task.main_metric}
    stage = c.run.stage("baselines", key)
    if stage.done:
        c.reporter.say("baselines: done before")
        return stage
    c.reporter.say(f"baselines on {len(rows)} test rows")
    engine = c.bench.base()
    before = engine.stats.generated_tokens
    answered: dict[str, list[str]] = {}
    missing: dict[str, str] = {}
    work = _Work(c, stage, [row.input for row in rows], demonstrations(c.task, engine), data, answered, missing)
    wanted: set[str] = set(c.task.evaluation.baselines)
    _prompted(work, engine, wanted)
    stage.add_cost(tokens=engine.stats.generated_tokens - before)
    sizes = _few_shot_tokens(work, engine) | {"too_long": _too_long(work, engine)}
    del engine
    c.bench.close()  # the encoder needs the memory
    _classic(work, wanted)
    storage.write_json(stage.path / "answers.json", {"systems": answered, "missing": missing})
    stage.finish({"rows": len(rows), "systems": list(answered), "missing": missing, **sizes})
    return stage


@dataclasses.dataclass(frozen=True, slots=True)
class _Work:
    """What the parts of the stage share; ``answered`` and ``missing`` are filled as they go."""

    c: Context
    stage: Stage
    texts: list[str]
    shown: tuple[Example, ...]
    data: TrainingData
    answered: dict[str, list[str]]
    missing: dict[str, str]

    @property
    def timed(self) -> list[str]:
        """The rows that are answered one at a time."""
        return self.texts[: self.c.task.evaluation.timed_rows]


def _prompted(work: _Work, engine: Engine, wanted: set[str]) -> None:
    c, stage, texts = work.c, work.stage, work.texts
    task, prompts = c.task, c.bench.prompts

    def write(name: str, shown: Sequence[Example], render: predict.Render | None = None) -> None:
        with c.reporter.track(name, len(texts)) as update:
            work.answered[name] = predict.write_answers(
                task, engine, prompts, shown, texts, stage.shard, name, update, render=render
            )

    if "zero_shot" in wanted:
        write("zero_shot", ())
    if "few_shot" in wanted:
        write("few_shot", work.shown)
        stage.measure_latency(
            "few_shot",
            lambda text: predict.write_answers(task, engine, prompts, work.shown, [text], unkept, "few_shot"),
            work.timed,
        )
    if "few_shot_best" in wanted:
        best = prompted.best_rendering(task, engine, prompts, work.shown, stage.shard)
        if best == 0 and "few_shot" in work.answered:
            work.answered["few_shot_best"] = work.answered["few_shot"]
        else:
            write("few_shot_best", work.shown, prompted.renderings(task, prompts)[best])
    if "sampled_majority" in wanted:
        with c.reporter.track("sampled_majority", len(texts)) as update:
            work.answered["sampled_majority"] = prompted.sampled_majority(
                task, engine, prompts, work.shown, texts, stage.shard, "sampled_majority", update
            )
    if "self_icl" in wanted:
        if work.data.synthetic:
            with c.reporter.track("self_icl", len(texts)) as update:
                work.answered["self_icl"] = prompted.self_icl(
                    task, engine, prompts, work.data.synthetic, texts, stage.shard, "self_icl", update
                )
        else:
            work.missing["self_icl"] = "there are no synthetic pairs"
    if "label_scoring" in wanted and task.labels:
        with c.reporter.track("label_scoring", len(texts)) as update:
            scored = predict.score_labels(
                task, engine, prompts, work.shown, texts, stage.shard, "label_scoring", update
            )
        work.answered["label_scoring"] = list(scored.likeliest)
        work.answered["label_scoring_calibrated"] = list(scored.calibrated)


def _too_long(work: _Work, engine: Engine) -> int:
    """Return how many rows do not fit the context, asked with the examples."""
    task, prompts = work.c.task, work.c.bench.prompts
    asked = [prompts.task(task.instruction, work.shown, text) for text in work.texts]
    return len(asked) - len(predict.fitting_rows(engine, asked, predict.answer_length(task, engine)))


def _few_shot_tokens(work: _Work, engine: Engine) -> dict[str, float]:
    """Return the mean tokens of a few-shot prompt and its answer: what an API would be paid for."""
    task, prompts = work.c.task, work.c.bench.prompts
    asked = engine.count_tokens([prompts.task(task.instruction, work.shown, text).text for text in work.texts])
    told = engine.count_tokens(work.answered.get("few_shot", []))
    return {
        "prompt_tokens": sum(asked) / len(asked),
        "answer_tokens": sum(told) / len(told) + 1 if told else 0.0,  # and the end token
    }


def _classic(work: _Work, wanted: set[str]) -> None:
    task = work.c.task
    sets = {"examples": work.data.examples, "train": work.data.labelled, "synthetic": work.data.synthetic}
    for family in ("tfidf", "encoder"):
        if family not in wanted:
            continue
        if not task.labels:
            work.missing[f"{family}_synthetic"] = "it answers with labels, and the task has none"
            continue
        try:
            learn = classic.train_tfidf if family == "tfidf" else _encoder_learner(work.c)
        except MetierError as error:
            work.missing[f"{family}_synthetic"] = error.message
            continue
        for name, pairs in sets.items():
            if pairs:
                _learn_and_answer(work, f"{family}_{name}", learn, pairs)
    if "replacements" in wanted and is_rewriting(task):
        if work.data.labelled:
            _learn_and_answer(work, "replacements", learn_replacements, work.data.labelled)
        else:
            work.missing["replacements"] = "there are no labelled pairs to learn from"
    if "harper" in wanted and is_correction(task):
        try:
            correct = classic.harper_corrector()
        except MetierError as error:
            work.missing["harper"] = f"{error.message} ({error.hint})"
            return
        start = time.perf_counter()
        work.answered["harper"] = [correct(text) for text in work.texts]
        work.stage.add_cost(seconds=time.perf_counter() - start, part="harper")
        work.stage.measure_latency("harper", correct, work.timed)


def _learn_and_answer(
    work: _Work,
    system: str,
    learn: Callable[[Sequence[Example]], classic.Classifier],
    pairs: Sequence[Example],
) -> None:
    start = time.perf_counter()
    try:
        model = learn(pairs)
    except MetierError as error:
        work.missing[system] = error.message
        return
    work.stage.add_cost(seconds=time.perf_counter() - start, part=f"learning {system}")
    start = time.perf_counter()
    work.answered[system] = model.answer(work.texts)
    work.stage.add_cost(seconds=time.perf_counter() - start, part=system)
    work.stage.measure_latency(system, lambda text: model.answer([text]), work.timed)
    work.stage.note_memory(system, model.nbytes)


def _encoder_learner(c: Context) -> Callable[[Sequence[Example]], classic.Classifier]:
    from metier.models.encoder import SentenceEncoder

    files = resolve_model(c.task.evaluation.encoder)
    encoder = SentenceEncoder(files.path, device=c.task.engine.device)
    return lambda pairs: classic.train_encoder(pairs, encoder.encode, 4 * encoder.parameters)
