"""Every format of a tiny model: what is in its folder runs, and does what the product does."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path

import pytest

from metier.core.errors import MetierError, UserError
from metier.core.progress import Reporter
from metier.exporting import export as exporting
from metier.exporting import gguf_writer, weights
from metier.exporting.export import export
from metier.exporting.formats import FORMATS, Job, quant_of
from metier.exporting.gguf_tokenizer import GgufTokenizer, read_tokenizer
from metier.exporting.hosts import Unavailable
from metier.exporting.parity import Parity
from metier.exporting.source import LanguageModel
from tests.exporting.made import make_source


def made(source: LanguageModel, to: str, folder: Path, quant: str | None = None) -> tuple[Job, Parity]:
    """Write a format and compare it."""
    folder.mkdir()
    job = Job(source, source.prompt(source.slot()), folder, quant_of(quant, to))
    return job, exporting._write(job, to, Reporter(quiet=True))


def run_readme(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the Python of a folder's README with an input, and return what it prints."""
    code = re.search(r"```python\n(.*?)\n```", (folder / "README.md").read_text(), re.S)
    assert code is not None
    monkeypatch.chdir(folder)
    capsys.readouterr()
    exec(code[1].replace('"the input to answer"', repr(text)), {})
    return capsys.readouterr().out.strip()


def test_merged_weights_run_as_the_readme_says(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job, parity = made(make_source(tiny_model), "merged", tmp_path / "out")
    assert parity.prompts is not None and parity.prompts.equal == parity.made_up == 100
    assert parity.answers is not None and parity.answers.equal == parity.answers.compared
    host = FORMATS["merged"].host(job, 0)
    assert not isinstance(host, Unavailable)
    text = "the app closes when I open it"
    assert run_readme(tmp_path / "out", text, monkeypatch, capsys) == host.answers([text])[0]


def test_a_base_model_without_template_is_cut_at_its_stop_strings(
    tiny_base_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job, parity = made(make_source(tiny_base_model, max_tokens=24), "merged", tmp_path / "out")
    assert job.prompt.stop == ("\nInput:", "\n\n")
    assert parity.answers is not None and parity.answers.equal == parity.answers.compared
    assert "which every request must name" in (tmp_path / "out" / "README.md").read_text()
    host = FORMATS["merged"].host(job, 0)
    assert not isinstance(host, Unavailable)
    assert run_readme(tmp_path / "out", "the app", monkeypatch, capsys) == host.answers(["the app"])[0]


@pytest.mark.parametrize("quant", ["f16", "q8_0", "q4_0"])
def test_a_gguf_file_is_prompted_and_tokenized_as_the_product(tiny_model: Path, tmp_path: Path, quant: str) -> None:
    _, parity = made(make_source(tiny_model), "gguf", tmp_path / "out", quant)
    assert parity.host is not None and parity.host.startswith("llama.cpp")
    assert parity.tokens is not None and parity.tokens.equal == 100
    if quant == "f16":  # of random weights, where two tokens are often nearly as likely
        assert parity.answers is not None and parity.answers.share > 80
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["README.md", "model.gguf"]


def test_transformers_reads_the_gguf_file_back(tiny_model: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    made(make_source(tiny_model), "gguf", tmp_path / "out", "f16")
    back = AutoModelForCausalLM.from_pretrained(str(tmp_path / "out"), gguf_file="model.gguf", dtype=torch.float32)
    base = AutoModelForCausalLM.from_pretrained(str(tiny_model), dtype=torch.float32)
    for name, values in base.state_dict().items():
        assert torch.allclose(values, back.state_dict()[name], atol=2e-3), name


def test_ollama_has_a_modelfile_without_template(tiny_base_model: Path, tmp_path: Path) -> None:
    made(make_source(tiny_base_model), "ollama", tmp_path / "out")
    text = (tmp_path / "out" / "Modelfile").read_text()
    assert text.startswith("FROM ./model.gguf\nPARAMETER temperature 0\nPARAMETER num_predict 6\n")
    assert 'PARAMETER stop """\nInput:"""' in text and "TEMPLATE" not in text


def test_without_llama_cpp_it_says_that_nothing_was_measured(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    _, parity = made(make_source(tiny_model), "gguf", tmp_path / "out")
    assert parity.host is None and "not installed" in str(parity.not_measured)
    assert "**It was not measured**" in (tmp_path / "out" / "README.md").read_text()


def test_the_adapter_of_a_prompt_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="base model under a prompt"):
        made(make_source(tiny_model), "adapter", tmp_path / "out")


def test_a_quant_is_for_gguf_files_alone() -> None:
    with pytest.raises(UserError, match="merged keeps the base model's precision"):
        quant_of("q8_0", "merged")
    with pytest.raises(UserError, match="q3_k"):
        quant_of("q3_k", "gguf")


def test_another_architecture_is_refused() -> None:
    from transformers import GPT2Config

    with pytest.raises(UserError, match="gpt2") as caught:
        gguf_writer.architecture_of(GPT2Config())
    assert "convert_hf_to_gguf" in str(caught.value.hint)


def test_another_pre_tokenizer_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    data = json.loads((tiny_model / "tokenizer.json").read_text())
    data["pre_tokenizer"] = {"type": "Whitespace"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(UserError, match="pre-tokenizer"):
        read_tokenizer(tmp_path, 400)


def test_a_wrong_template_leaves_nothing_behind(
    task_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "chat_template", lambda prompt: "{{ messages[-1]['content'] }}")
    wanted = exporting.Wanted(task_run / "out", "merged", system="specialist", out=tmp_path / "out")
    with pytest.raises(MetierError, match="prompt differ from the product's for"):
        export(wanted, Reporter(quiet=True))
    assert list(tmp_path.iterdir()) == []


def test_wrong_tokens_leave_nothing_behind(task_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_few_merges(folder: Path, vocabulary: int) -> GgufTokenizer:
        found = read_tokenizer(folder, vocabulary)
        return dataclasses.replace(found, merges=found.merges[:9])

    monkeypatch.setattr(gguf_writer, "read_tokenizer", with_few_merges)
    wanted = exporting.Wanted(task_run / "out", "gguf", system="specialist", out=tmp_path / "out")
    with pytest.raises(MetierError, match="tokens differ"):
        export(wanted, Reporter(quiet=True))
    assert list(tmp_path.iterdir()) == []
