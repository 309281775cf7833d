"""YAML as text: what was written stays, what could hide or explode is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.core.errors import UserError
from metier.tasks.yamltext import key_name, parse, read_text


def test_scalars_stay_text_and_keys_know_their_lines() -> None:
    value, lines = parse("labels: [yes, no, on, 1, 0x10]\n\ntraining:\n  epochs: 3\n", "t.yaml")
    assert value == {"labels": ["yes", "no", "on", "1", "0x10"], "training": {"epochs": "3"}}
    assert lines[("training", "epochs")] == 4
    assert lines[("labels", 2)] == 1


def test_null_is_nothing_unless_it_is_asked_to_be_text() -> None:
    assert parse("a: null\nb: ~\nc: 'null'", "t")[0] == {"a": None, "b": None, "c": "null"}
    assert parse("a: null", "t", keeps_null=lambda key: True)[0] == {"a": "null"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: &x [1]\nb: *x", "t:1: b: YAML aliases are not allowed"),
        ("a: 1\na: 2", "t:2: a: this key appears twice"),
        ("? [1, 2]\n: x", "a key must be a single word"),
        ("a: [1", "t:2:1: not YAML|t:1:6: not YAML"),
        ("[" * 5000, "nested too deeply"),
        ("a: \x07", "character #x0007 is not allowed"),
    ],
)
def test_what_is_refused(text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        parse(text, "t")


def test_nothing_is_constructed_from_tags() -> None:
    assert parse("a: !!python/object/apply:os.system ['true']", "t")[0] == {"a": ["true"]}


def test_files_that_cannot_be_task_files(tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_bytes(b"a" * 5_000_001)
    with pytest.raises(UserError, match="larger than 5 MB"):
        read_text(tmp_path / "big.yaml")
    with pytest.raises(UserError, match="is a folder"):
        read_text(tmp_path)
    with pytest.raises(UserError, match="no such file") as missing:
        read_text(tmp_path / "bigg.yaml")
    assert "big.yaml" in str(missing.value.hint)


def test_key_names() -> None:
    assert key_name(("examples", 1, "output")) == "examples[1].output"
    assert key_name(()) == "the file"
