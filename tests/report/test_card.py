from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path
from typing import Any, Literal

import pytest
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from metier.core.progress import Reporter
from metier.core.run_folder import Run
from metier.core.step import Artifact
from metier.engines.prompts import PromptFormat
from metier.engines.transformers import TransformersEngine
from metier.report.card import CONTENT_FREE, write_card
from metier.report.facts import MachineFacts, ModelFacts, PromptTemplate, RunFacts
from metier.report.made import FunnelStep
from metier.report.markdown import code, fenced
from metier.systems.asker import Asker
from metier.systems.base import Asked, Keep
from metier.systems.scored import _CONTENT_FREE, Scorer, _label_prior
from metier.tasks.settings import EngineSettings

from .conftest import LABELS, Make, advising, unclear, with_settings, with_writing

BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"


def _card(facts: RunFacts, folder: Path, base: str = BASE) -> Any:
    path = write_card(facts, folder, base)
    assert path == folder / "README.md"
    return ModelCard.load(path)


def _snippet(card: Any) -> str:
    found = re.search(r"(`{3,})python\n(.*?)\n\1", card.text, re.DOTALL)
    assert found is not None
    return found.group(2)


def _snippets(card: Any) -> list[str]:
    """Return every piece of Python on a card, in order."""
    return [code for _, code in re.findall(r"(`{3,})python\n(.*?)\n\1", card.text, re.DOTALL)]


def test_the_hub_reads_the_header(make: Make, tmp_path: Path) -> None:
    data = _card(make(), tmp_path).data
    assert data.base_model == BASE
    assert data.library_name == "peft"
    assert data.license == "apache-2.0"
    assert {"metier", "lora", "backward", "synthetic-data"} <= set(data.tags)
    found = [(r.task_type, r.dataset_name, r.metric_type, r.metric_name, r.metric_value) for r in data.eval_results]
    assert found == [
        ("text-classification", "test.jsonl", "exact_match", "exact match (labels scored)", 68.7),
        ("text-classification", "test.jsonl", "rouge", "ROUGE-L (labels scored)", 70.2),
    ]


def test_the_hub_is_told_what_the_weights_reach_when_they_write(make: Make, tmp_path: Path) -> None:
    """Whoever loads the weights and lets them write gets another score than the run's."""
    found = _card(with_writing(make(metrics=("exact_match",)), 12.5), tmp_path).data.eval_results
    assert [(r.metric_name, r.metric_value) for r in found] == [
        ("exact match (labels scored)", 68.7),
        ("exact match (writing)", 12.5),
    ]
    for facts in (make(labels=None), with_settings(with_writing(make(), 12.5), "evaluation", answer_by="writing")):
        names = [r.metric_name for r in _card(facts, tmp_path).data.eval_results]
        assert names == ["exact match", "ROUGE-L"], "there is one way to answer"


def test_the_card_says_which_score_belongs_to_which_code(make: Make, tmp_path: Path) -> None:
    card = _card(with_writing(make(), 12.5), tmp_path)
    scoring, writing = _snippets(card)
    assert "argmax" in scoring and "generate" not in scoring
    assert "model.generate" in writing
    first, _, second = card.text.partition(scoring)
    assert "This scores the labels, which is how the specialist answers and scored 68.7 exact match:" in first
    assert "This lets it write, which scored 12.5 exact match; an answer that is none of the labels" in second
    assert "its mean after inputs that say nothing is taken off" in first, "the prior is named"
    assert "without sampling" not in card.text


def test_a_prior_that_is_not_in_the_folder_is_named_and_the_code_says_what_it_reaches(
    make: Make, tmp_path: Path
) -> None:
    facts = with_settings(with_writing(make(), 12.5), "evaluation", label_prior="synthetic")
    card = _card(facts, tmp_path)
    (code,) = _snippets(card)
    assert "model.generate" in code
    assert (
        "answers (and scored 68.7 exact match) by scoring the labels, less a prior from the inputs of its "
        "synthetic pairs, which are not in this folder. The code below lets it write, which scored 12.5 exact match;"
    ) in card.text


def test_a_task_that_is_written_has_one_piece_of_code(make: Make, untested: RunFacts, tmp_path: Path) -> None:
    free = _card(make(labels=None), tmp_path)
    assert len(_snippets(free)) == 1 and "This lets it write" not in free.text and "scoring the labels" not in free.text
    unscored = _card(untested, tmp_path).text
    assert "how the specialist answers:" in unscored and "This lets it write; an answer" in unscored


@pytest.mark.parametrize("prior", ["content_free", "none"])
@pytest.mark.parametrize("style", ["chat", "plain"])
def test_the_code_that_scores_answers_as_the_run_does(
    make: Make,
    tmp_path: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    prior: str,
    style: Literal["chat", "plain"],
) -> None:
    engine = TransformersEngine(tiny_model, dtype="float32", device="cpu")
    prompts = PromptFormat(AutoTokenizer.from_pretrained(tiny_model), style)
    asked = Asked(Artifact("tiny", tiny_model), style, EngineSettings(), "Name the team.", 24, 0)
    asker = Asker(engine, prompts, asked, None, LABELS, (), 24)
    run = Run(tmp_path / "run")
    own = _label_prior(asker, (), Keep(run, Reporter(quiet=True))) if prior == "content_free" else ()
    texts = ["I was charged twice.", "the parcel came late", "cannot log in", "the app closes", "N/A"]
    wanted = Scorer(asker, "prior" if own else "mean", own).answer(texts).texts

    template = prompts.task("Name the team.", (), "")
    before, after = template.text[: template.shared], template.text[template.shared :]
    prompt = PromptTemplate(before, after, prompts.stop, 24, tuple(map(prompts.answer, LABELS)))
    facts = with_settings(make(method="full", prompt=prompt), "evaluation", label_prior=prior)
    code = _snippets(_card(facts, tmp_path))[0]
    monkeypatch.chdir(tiny_model)
    # The model is loaded and the prior computed once; the answer is asked for again for every text.
    *before_answer, answer = code.splitlines()
    assert answer.startswith("print(")
    loaded: dict[str, Any] = {}
    exec("\n".join(before_answer), loaded)
    for text in texts:
        exec(answer, loaded | {"text": text})
    assert tuple(capsys.readouterr().out.split()) == wanted
    assert len(set(wanted)) > 1 or prior == "none", "the same answer to all would show little"


def test_the_inputs_that_say_nothing_are_those_of_the_run() -> None:
    assert CONTENT_FREE == _CONTENT_FREE


def test_a_fully_tuned_model_is_loaded_with_transformers(make: Make, tmp_path: Path) -> None:
    card = _card(make(method="full", labels=None), tmp_path)
    assert card.data.library_name == "transformers"
    assert "lora" not in card.data.tags
    assert card.data.eval_results[0].task_type == "text-generation"
    assert "peft" not in _snippet(card)


def test_the_verdict_comes_first_and_only_a_better_one_has_no_warning(make: Make, tmp_path: Path) -> None:
    better = _card(make(), tmp_path).text
    assert better.split("\n\n")[1].startswith("**Better: +12.3 points")
    assert "[!WARNING]" not in better
    open_one = _card(make(**unclear()), tmp_path).text
    assert open_one.split("\n\n")[2].startswith("> [!WARNING]\n> **Warning: this model was not shown")


def test_a_better_one_that_is_not_what_to_use_says_so(make: Make, tmp_path: Path) -> None:
    card = _card(advising(make(), "few_shot"), tmp_path).text
    assert "[!NOTE]\n> **Something cheaper is good enough.** Keep the base model (prompted, few-shot)" in card
    assert "[!WARNING]" not in card


def test_a_smoke_run_and_rows_left_out_are_told_on_the_card(make: Make, tmp_path: Path) -> None:
    facts = make(rows=8, drawn_from=150)
    for section, changes in (
        ("training", {"epochs": 1, "holdout_share": 0}),
        ("evaluation", {"limit": 8, "max_tokens": 24, "timed_rows": 2}),
    ):
        facts = with_settings(facts, section, **changes)
    text = _card(facts, tmp_path).text
    assert (
        text.index("its scores mean nothing")
        < text.index("Only 8 of the 150 test rows were used")
        < text.index("## What it does")
    )


def test_without_a_test_there_are_no_results(untested: RunFacts, tmp_path: Path) -> None:
    card = _card(untested, tmp_path)
    assert card.data.eval_results is None
    assert "not shown to be better than its base.** Keep the base model until test rows show" in card.text
    assert "How good it is" not in card.text


def test_the_card_says_where_the_data_is_from(make: Make, tmp_path: Path) -> None:
    written = _card(make(), tmp_path).text
    assert "The base model wrote 480 pairs for this task" in written and "written by its base model" in written
    funnel = (FunnelStep("rows to choose from", 50_000), FunnelStep("chosen", 300))
    chosen = make(pairs_by_origin={"pool": 300}, synthesis_funnel=(), selection_funnel=funnel, recipe="low-data")
    card = _card(chosen, tmp_path)
    assert "It was trained on 300 rows chosen from a pool. The pool has 50,000 rows; 300 were chosen." in card.text
    assert "synthetic" not in card.content and "wrote" not in card.text and "written by" not in card.text
    # A task of a scenario whose pairs the model wrote: there is no funnel, and they are synthetic all the same.
    task = _card(make(pairs_by_origin={"synthetic": 40}, synthesis_funnel=()), tmp_path)
    assert "It was trained on 40 synthetic pairs." in task.text and "synthetic-data" in task.data.tags


@pytest.mark.parametrize(
    ("threads", "said"), [(2, "of threads than 2,"), (None, "of threads than it was trained with,")]
)
def test_the_threads_that_scores_depend_on_are_told(make: Make, tmp_path: Path, threads: int | None, said: str) -> None:
    machine = MachineFacts("Some CPU", 2, 10**9, threads=threads)
    assert said in _card(dataclasses.replace(make(), machine=machine), tmp_path).text


def test_the_seeds_that_were_measured_are_told(make: Make, tmp_path: Path) -> None:
    assert "Over 2 training seeds its exact match has a standard deviation of 1.6" in _card(make(), tmp_path).text
    assert "trained with one seed" in _card(make(seeds=(), seed_spread=None), tmp_path).text


@pytest.mark.parametrize("base", ["/home/me/models/base", "models\\base", "../base", "base.gguf/"])
def test_a_path_is_not_given_out_as_a_hub_id(make: Make, tmp_path: Path, base: str) -> None:
    card = _card(make(), tmp_path, base)
    assert getattr(card.data, "base_model", None) is None
    assert "/home/me" not in card.content
    assert "base" in card.text


@pytest.mark.parametrize(
    ("licence", "header", "name"),
    [("Apache-2.0", "apache-2.0", None), ("Qwen Research", "other", "Qwen Research"), (None, None, None)],
)
def test_licence(make: Make, tmp_path: Path, licence: str | None, header: str | None, name: str | None) -> None:
    data = _card(make(model=ModelFacts("m", "a folder", licence)), tmp_path).data.to_dict()
    assert (data.get("license"), data.get("license_name")) == (header, name)


def test_the_snippet_is_python_that_writes_the_trained_prompt(make: Make, tmp_path: Path) -> None:
    prompt = PromptTemplate("Say: ```{input}``` \"'\n", "\n<|im_end|>\\n", ("\n\n", '"'), 17)
    code = _snippets(_card(make(prompt=prompt), tmp_path))[-1]
    tree = ast.parse(code)
    assigned = {
        n.targets[0].id: n.value for n in tree.body if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)
    }
    written = eval(compile(ast.Expression(assigned["prompt"]), "card", "eval"), {"text": "INPUT"})
    assert written == prompt.before + "INPUT" + prompt.after
    assert "max_new_tokens=17" in code
    assert repr(["\n\n", '"']) in code


def test_text_of_others_stays_in_its_place(make: Make, tmp_path: Path) -> None:
    odd = "```\n---\nlicense: mit\n---\n# Title | <script>\x00\ud800"
    facts = make(instruction=odd, labels=("a|b", "`c`"), source=odd, label_counts={}, warnings=(odd,))
    card = _card(facts, tmp_path)
    assert card.data.license == "apache-2.0"
    assert "\n# Title" not in card.text.replace(re.findall(r"(````text\n.*?\n````)", card.text, re.DOTALL)[0], "")
    assert r"`a\|b`" in card.text
    assert "`` `c` ``" in card.text


@given(st.text(alphabet="`ab \n", max_size=30))
def test_no_backticks_break_out(text: str) -> None:
    fence = fenced(text, "text").split("text\n", 1)[0]
    assert fence not in text
    ticks = re.match("`+", code(text))
    assert ticks is not None
    assert ticks.group() not in re.findall("`+", " ".join(text.split()))
