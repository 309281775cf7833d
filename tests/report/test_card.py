from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st

from metier.core.records import Interval
from metier.report.card import write_card
from metier.report.facts import ModelFacts, PromptTemplate, RunFacts
from metier.report.markdown import code, fenced

from .conftest import Make

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
    data = _card(make(datasets=("someone/tickets",)), tmp_path).data
    assert data.base_model == BASE
    assert data.library_name == "peft"
    assert data.license == "apache-2.0"
    assert data.datasets == ["someone/tickets"]
    assert {"metier", "lora", "backward"} <= set(data.tags)
    found = [(r.task_type, r.dataset_name, r.metric_type, r.metric_name, r.metric_value) for r in data.eval_results]
    assert found == [
        ("text-classification", "test.jsonl", "exact_match", "exact match", 68.7),
        ("text-classification", "test.jsonl", "rouge", "ROUGE-L", 70.2),
    ]


def test_a_fully_tuned_model_is_loaded_with_transformers(make: Make, tmp_path: Path) -> None:
    card = _card(make(tuning="full", labels=None), tmp_path)
    assert card.data.library_name == "transformers"
    assert "lora" not in card.data.tags
    assert card.data.eval_results[0].task_type == "text-generation"
    assert "peft" not in _snippet(card)


def test_the_verdict_comes_first_and_only_a_better_one_has_no_warning(make: Make, tmp_path: Path) -> None:
    better = _card(make(), tmp_path).text
    assert better.split("\n\n")[1].startswith("**Better: +12.3 points")
    assert "[!WARNING]" not in better
    unclear = _card(make(gain=Interval(2.1, -3.9, 8.0), verdict="not shown to be better"), tmp_path).text
    assert unclear.split("\n\n")[2].startswith("> [!WARNING]\n> **Warning: this model was not shown")


def test_without_a_test_there_are_no_results(untested: RunFacts, tmp_path: Path) -> None:
    card = _card(untested, tmp_path)
    assert card.data.eval_results is None
    assert "No harm" in card.text
    assert "How good it is" not in card.text


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
    facts = make(instruction=odd, labels=("a|b", "`c`"), test_source=odd, label_counts={}, warnings=(odd,))
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
