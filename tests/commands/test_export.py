"""``metier export`` and ``metier push`` on a small finished run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from metier.cli import run_cli
from metier.exporting.hosts import TransformersHost
from metier.exporting.source import LanguageModel, open_source
from tests.exporting.test_formats import run_readme


@pytest.fixture
def run(task_run: Path, tmp_path: Path) -> Path:
    shutil.copytree(task_run / "out", tmp_path / "run")
    return tmp_path / "run"


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 2) -> str:
    """Run a command that must fail, and return what it says."""
    capsys.readouterr()
    assert run_cli([str(argument) for argument in arguments]) == code
    return capsys.readouterr().err


def test_the_product_is_exported_into_the_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["export", str(run), "--to", "gguf", "--json", "--quiet"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["folder"] == str(run / "export" / "gguf")
    assert said["parity"] == json.loads((run / "export" / "gguf" / "parity.json").read_text())
    assert (
        said["parity"]["test_rows"] == 10 and said["parity"]["tokens"]["equal"] == said["parity"]["tokens"]["compared"]
    )
    assert said["parity"]["product_answers"]["compared"] == 10  # its product scores labels
    card = (run / "export" / "gguf" / "README.md").read_text()
    assert "The product does not write" in card and "llama-server -m model.gguf" in card


def test_the_tuned_model_is_exported_as_an_adapter_that_runs_as_its_readme_says(
    run: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_cli(["export", str(run), "--to", "adapter", "--system", "specialist", "--quiet"]) == 0
    folder = run / "export" / "specialist-adapter"
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == tiny_model.name
    assert str(tiny_model) not in "".join(path.read_text() for path in folder.glob("*.json"))
    (folder / tiny_model.name).symlink_to(tiny_model)
    told = json.loads((folder / "parity.json").read_text())
    assert told["answers"]["equal"] == told["answers"]["compared"] == 10
    source = open_source(run, system="specialist")
    assert isinstance(source, LanguageModel)
    host = TransformersHost(folder, tiny_model, source.prompt(source.slot()), source.how.engine)
    assert run_readme(folder, "case 3 charged", monkeypatch, capsys) == host.answers(["case 3 charged"])[0]


def test_vllm_has_the_merged_model_and_the_adapter_beside_it(run: Path) -> None:
    assert run_cli(["export", str(run), "--to", "vllm", "--system", "specialist", "--quiet"]) == 0
    folder = run / "export" / "specialist-vllm"
    assert (folder / "model.safetensors").exists() and (folder / "adapter" / "chat_template.jinja").exists()
    card = (folder / "README.md").read_text()
    assert "vllm serve . --served-model-name tiny" in card and "--lora-modules tiny=./adapter" in card


def test_an_export_is_replaced_but_nothing_else_is(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "mine").mkdir()
    (run / "mine" / "letter.txt").write_text("dear")
    assert "something else" in refused(capsys, "export", run, "--to", "merged", "-o", run / "mine")
    assert (run / "mine" / "letter.txt").read_text() == "dear"
    (run / "mine" / "letter.txt").rename(run / "mine" / "parity.json")
    assert run_cli(["export", str(run), "--to", "merged", "-o", str(run / "mine"), "--quiet"]) == 0
    assert json.loads((run / "mine" / "parity.json").read_text())["format"] == "merged"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--to", "pickle"), "'pickle' is not known"),
        (("--to", "onnx"), "use --to merged"),
        (("--to", "numpy"), "asks a language model"),
        (("--to", "adapter"), "base model under a prompt"),
        (("--to", "merged", "--quant", "f16"), "--quant"),
        (("--to", "merged", "--system", "zero_shot"), "ship: zero_shot"),
    ],
)
def test_what_cannot_be_is_refused(
    run: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert message in refused(capsys, "export", run, *arguments)
    assert not (run / "export" / arguments[1]).exists()


def test_a_vote_is_no_single_prompt(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run / "product" / "product.json"
    path.write_text(path.read_text().replace('"form": "scored"', '"form": "voted"'))
    assert "with one prompt" in refused(capsys, "export", run, "--to", "merged")


def test_rules_are_no_model(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run / "product" / "product.json"
    said = json.loads(path.read_text()) | {"form": "replacements", "model": None}
    path.write_text(json.dumps(said))
    assert "made of rules that only Metier runs" in refused(capsys, "export", run, "--to", "merged")


def test_another_base_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run / "product" / "asker.json"
    saved = json.loads(path.read_text())
    saved["asked"]["model"] = "another"
    path.write_text(json.dumps(saved))
    assert "not the one" in refused(capsys, "export", run, "--to", "merged", code=1)


def test_a_dry_run_lists_files_and_card_and_sends_nothing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["push", str(run), "--to", "merged", "--repo", "me/tiny", "--dry-run", "--quiet"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("me/tiny (private if it is new)") and "model.safetensors" in said and "# tiny" in said
    assert run_cli(["push", str(run / "export" / "merged"), "--repo", "me/tiny", "--dry-run", "--public"]) == 0
    assert capsys.readouterr().out.startswith("me/tiny (public if it is new)")


def test_a_push_needs_an_export_and_a_token(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    assert "name a format with --to" in refused(capsys, "push", run, "--repo", "me/tiny", "--dry-run")
    assert run_cli(["export", str(run), "--to", "merged", "--quiet"]) == 0
    export = run / "export" / "merged"
    assert "add --to FORMAT" in refused(capsys, "push", export, "--repo", "me/tiny", "--system", "specialist")
    assert "no token" in refused(capsys, "push", export, "--repo", "me/tiny", code=1)
