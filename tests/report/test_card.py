from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st

from metier.report.card import write_card
from metier.report.facts import ModelFacts, PromptTemplate, RunFacts
from metier.report.made import FunnelStep
from metier.report.markdown import code, fenced

from .conftest import Make, unclear

BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"


def _card(facts: RunFacts, folder: Path, base: str = BASE) -> Any:
    path = write_card(facts, folder, base)
    assert path == folder / "README.md"
    return ModelCard.load(path)


def _snippet(card: Any) -> str:
    found = re.search(r"(`{3,})python\n(.*?)\n\1", card.text, re.DOTALL)
    assert found is not None
    return found.group(2)


def test_the_hub_reads_the_header(make: Make, tmp_path: Path) -> None:
    data = _card(make(), tmp_path).data
    assert data.base_model == BASE
    assert data.library_name == "peft"
    assert data.license == "apache-2.0"
    assert {"metier", "lora", "backward", "synthetic-data"} <= set(data.tags)
    found = [(r.task_type, r.dataset_name, r.metric_type, r.metric_name, r.metric_value) for r in data.eval_results]
    assert found == [
        ("text-classification", "test.jsonl", "exact_match", "exact match", 68.7),
        ("text-classification", "test.jsonl", "rouge", "ROUGE-L", 70.2),
    ]


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


def test_without_a_test_there_are_no_results(untested: RunFacts, tmp_path: Path) -> None:
    card = _card(untested, tmp_path)
    assert card.data.eval_results is None
    assert "not shown to be better than its base.** Keep the base model." in card.text
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
    code = _snippet(_card(make(prompt=prompt), tmp_path))
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
