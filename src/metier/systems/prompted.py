"""What the base model can do without any training: other prompts, a vote of samples, synthetic pairs in the prompt.

Knows nothing about references or scores. A specialist that does not beat the best of these was not worth tuning.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from functools import partial

from metier.core.records import Candidate, Example
from metier.core.storage import seed_of
from metier.engines.base import Engine, GenerationRequest, Progress, ScoringRequest
from metier.engines.prompts import Prompt, PromptFormat, Turn, fitting_demonstrations
from metier.engines.shards import Job, Shard, in_shards, logprob_per_token
from metier.synthesis.outputs import vote, vote_rule
from metier.synthesis.votes import sample_until_decided
from metier.systems.predict import Render, answer_length, fitting_rows, write_answers
from metier.tasks.task import Task

_SAMPLES = 10  # as many answers as vote in SELF-GUIDE
_SHARD = 32
_RENDERINGS = 3


def renderings(task: Task, prompts: PromptFormat) -> tuple[Render, ...]:
    """Return three ways to write a few-shot prompt: as in training, all in one turn, the instruction in every turn."""
    stop = tuple(dict.fromkeys((*prompts.stop, "\nInput:", "\n\n")))
    return (
        Render(partial(prompts.task, task.instruction), prompts.stop),
        Render(partial(_one_turn, task, prompts), stop),
        Render(partial(_every_turn, task, prompts), prompts.stop),
    )


def best_rendering(
    task: Task, engine: Engine, prompts: PromptFormat, demonstrations: Sequence[Example], shard: Shard
) -> int:
    """Return which rendering makes the demonstrations' own answers likeliest, each under the others (leave one out).

    The choice sees the demonstrations alone, as a user's would. With a single one there is nothing to leave in: 0.
    """
    if len(demonstrations) < 2:
        return 0
    asked = []
    for render in renderings(task, prompts):
        for i, left_out in enumerate(demonstrations):
            others = [d for k, d in enumerate(demonstrations) if k != i]
            prompt = render.prompt(others, left_out.input)
            asked.append(ScoringRequest(prompt, (prompts.answer(left_out.output),)))
    likely: list[float] = shard("rendering-choice", partial(logprob_per_token, asked, engine))
    size = len(demonstrations)
    means = [sum(likely[k * size : (k + 1) * size]) / size for k in range(_RENDERINGS)]
    return max(range(_RENDERINGS), key=lambda k: means[k])


def sampled_majority(
    task: Task,
    engine: Engine,
    prompts: PromptFormat,
    demonstrations: Sequence[Example],
    inputs: Sequence[str],
    shard: Shard,
    name: str,
    progress: Progress | None = None,
) -> list[str]:
    """Return the commonest of ten sampled answers that pass SELF-GUIDE's output filters; empty where none does.

    What that paper's filters gain without any training (Zhao et al. 2024): its temperature, its filters, its mapping to
    labels, but no row is given up for want of agreement.
    """
    settings = task.synthesis
    most = answer_length(task, engine)
    rule = vote_rule(task, prompts, agreement=0.0, keep=_SAMPLES)
    asked = [
        GenerationRequest(
            prompt=prompts.task(task.instruction, demonstrations, text),
            samples=_SAMPLES,
            max_tokens=most,
            temperature=settings.output_temperature,
            top_k=settings.output_top_k,
            stop=prompts.stop,
            seed=seed_of(task.seed, name, i),
        )
        for i, text in enumerate(inputs)
    ]
    fitting = fitting_rows(engine, [request.prompt for request in asked], most)
    jobs: list[tuple[str, Job]] = []
    for begin in range(0, len(fitting), _SHARD):
        part = [asked[i] for i in fitting[begin : begin + _SHARD]]
        jobs.append((f"{name}-{begin // _SHARD:05d}", partial(sample_until_decided, part, rule)))
    sampled: list[list[str]] = []
    before = engine.stats.generated_tokens
    for made in in_shards(engine, shard, jobs):
        sampled += made
        if progress:
            progress(len(sampled), engine.stats.generated_tokens - before)
    by_row = dict(zip(fitting, sampled, strict=True))
    rows = [
        Candidate(str(i), text, answers=tuple(prompts.read_answer(t) for t in by_row.get(i, ())))
        for i, text in enumerate(inputs)
    ]
    whole_vote = settings.model_copy(update={"agreement": 0.0, "output_keep": _SAMPLES})
    voted = vote(task.model_copy(update={"synthesis": whole_vote}), rows)
    return [row.output if row.kept else "" for row in voted]


def self_icl(
    task: Task,
    engine: Engine,
    prompts: PromptFormat,
    pairs: Sequence[Example],
    inputs: Sequence[str],
    shard: Shard,
    name: str,
    progress: Progress | None = None,
) -> list[str]:
    """Return few-shot answers with synthetic pairs as further demonstrations, as many as fit (after Self-ICL).

    Source: Chen et al. 2023 (arXiv 2305.15035); SELF-GUIDE's comparison uses its synthetic data in this way.
    """
    own = [Example(e.input, e.output) for e in task.examples]
    room = min(task.evaluation.demonstration_tokens, engine.context_length // 2)
    room -= engine.count_tokens([task.instruction])[0]
    shown = fitting_demonstrations([*own, *_by_turns(pairs)], engine.count_tokens, room)
    return write_answers(task, engine, prompts, shown, inputs, shard, name, progress)


def _by_turns(pairs: Sequence[Example]) -> list[Example]:
    """Return the pairs with their outputs taking turns, so that the first few hold as many labels as there are."""
    by_output: dict[str, list[Example]] = {}
    for pair in pairs:
        by_output.setdefault(pair.output, []).append(pair)
    rounds = itertools.zip_longest(*by_output.values())
    return [pair for turn in rounds for pair in turn if pair is not None]


def _one_turn(task: Task, prompts: PromptFormat, demonstrations: Sequence[Example], text: str) -> Prompt:
    shown = "".join(f"Input: {d.input}\nOutput: {d.output}\n\n" for d in demonstrations)
    return _ended(prompts, prompts.conversation((), f"{task.instruction}\n\n{shown}Input: ", f"{text}\nOutput:"))


def _every_turn(task: Task, prompts: PromptFormat, demonstrations: Sequence[Example], text: str) -> Prompt:
    turns = [Turn(f"{task.instruction}\n\n{d.input}", d.output) for d in demonstrations]
    return _ended(prompts, prompts.conversation(turns, f"{task.instruction}\n\n", text))


def _ended(prompts: PromptFormat, prompt: Prompt) -> Prompt:
    """Return a prompt as `prompts.answer` goes on after it: a plain one without the line's end."""
    return prompt if prompts.style == "chat" else dataclasses.replace(prompt, text=prompt.text.rstrip("\n"))
