"""Products and run folders that are wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.torture.rubbish import Change, Content, Rubbish, put
from tests.torture.rubbish.models import SAFETENSORS

_TEXTS: dict[str, Content] = {
    "nothing": "",
    "cut off": '{"format": 1, "metier"',
    "a list": "[]",
    "a word": '"product"',
    "an object without anything": "{}",
    "nested without end": "[" * 100_000,
    "a number of five thousand digits": "9" * 5000,
    "Latin-1": '{"a": "é"}'.encode("latin-1"),
    "zeros": bytes(500),
}


def _edited(path: str, edit: Callable[[dict[str, Any]], object]) -> Change:
    """Return a change of a JSON file's values."""

    def change(here: Path) -> None:
        told = json.loads((here / path).read_text())
        edit(told)
        (here / path).write_text(json.dumps(told))

    return change


def _set(path: str, key: str, value: object) -> Change:
    return _edited(path, lambda told: told.update({key: value}))


def _flipped(pattern: str) -> Change:
    """Return a change of one bit in the middle of the one file of that name."""

    def change(here: Path) -> None:
        (path,) = here.glob(pattern)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    return change


def _cut(pattern: str) -> Change:
    def change(here: Path) -> None:
        (path,) = here.glob(pattern)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return change


def _gone(pattern: str) -> Change:
    def change(here: Path) -> None:
        for path in here.glob(pattern):
            path.unlink()

    return change


def _unlisted(path: str, content: Content) -> Change:
    """Return a change of a product's file that its list of files does not tell."""

    def change(here: Path) -> None:
        put(path, content)(here)
        _gone("product/files.json")(here)

    return change


_CLASSIC = "product/head.safetensors", "product/idf.safetensors", "product/vocabulary.json", "product/head.json"
_TUNED = "product/asker.json", "product/weights/adapter_config.json", "product/weights/adapter_model.safetensors"
_PRODUCT: dict[str, Change] = {
    "an unknown key": _set("product/product.json", "magic", 1),
    "a later format": _set("product/product.json", "format", 99),
    "a format in words": _set("product/product.json", "format", "one"),
    "labels that are a word": _set("product/product.json", "labels", "billing"),
    "other labels": _set("product/product.json", "labels", ["a", "b"]),
    "no labels": _set("product/product.json", "labels", []),
    "a form that is a path": _set("product/product.json", "form", "../../os"),
    "a form that is another module": _set("product/product.json", "form", "product"),
    "a form that is dotted": _set("product/product.json", "form", "scored.os"),
    "no form": _set("product/product.json", "form", ""),
    "a form nobody knows": _set("product/product.json", "form", "magic"),
    "a model for one that asks none": _set("product/product.json", "model", {"name": "x"}),
    "files.json: a path out of it": _edited("product/files.json", lambda t: t.update({"../../../x": 3})),
    "files.json: a path at the root": _edited("product/files.json", lambda t: t.update({"/etc/passwd": 3})),
    "files.json: a size in words": _edited("product/files.json", lambda t: t.update({"head.json": "many"})),
    "gone": _gone("product/product.json"),
    "another instruction": _set("product/product.json", "instruction", "Do what I say."),
}
_LINES = "predictions.jsonl", "rows.jsonl"


def _predict(name: str, change: Change, copies: str = "classic", code: int = 2) -> Rubbish:
    command = ("predict", "{here}", "{here}/../rows.jsonl", "-o", "{here}/../out.jsonl", "--quiet")
    return Rubbish(f"product: {name}", command, change=change, copies=copies, code=code)


def _of_run(name: str, change: Change, command: str, code: int = 2) -> Rubbish:
    commands = {
        "compare": ("compare", "{here}", "{run}"),
        "export": ("export", "{here}", "--to", "adapter", "--system", "specialist", "--quiet"),
        "rewrite": ("rewrite", "{here}", "{here}/task.json"),
    }
    return Rubbish(f"run, {command}: {name}", commands[command], change=change, copies="run", code=code)


def all_products() -> list[Rubbish]:
    """Return the wrong products and run folders."""
    found = [_predict(f"product.json: {name}", put("product/product.json", text)) for name, text in _TEXTS.items()]
    found += [_predict(f"files.json: {name}", put("product/files.json", text)) for name, text in _TEXTS.items()]
    found += [_predict(name, change) for name, change in _PRODUCT.items()]
    for copies, files in (("classic", _CLASSIC), ("run", _TUNED)):
        for file in files:
            for how, change in (("gone", _gone(file)), ("cut off", _cut(file)), ("a bit flipped", _flipped(file))):
                found.append(_predict(f"{file}: {how}", change, copies))
    for name, text in _TEXTS.items():
        found.append(_predict(f"head.json, unlisted: {name}", _unlisted("product/head.json", text)))
        found.append(_predict(f"asker.json, unlisted: {name}", _unlisted("product/asker.json", text), "run"))
    for name, content in SAFETENSORS.items():
        found.append(_predict(f"head, unlisted: {name}", _unlisted("product/head.safetensors", content)))
    found += [_of_run(f"result.json: {name}", put("result.json", text), "compare") for name, text in _TEXTS.items()]
    for name in ("nothing", "cut off", "a list", "zeros"):
        change = put("result.json", _TEXTS[name])
        found.append(_of_run(f"result.json: {name}", change, "export"))
    found.append(_of_run("gone", _gone("result.json"), "compare"))
    for lines in _LINES:
        for name, harmed in (("gone", _gone), ("cut off", _cut), ("a bit flipped", _flipped)):
            found.append(_of_run(f"{lines}: {name}", harmed(f"evaluation-*/{lines}"), "compare"))
    found.append(_of_run("an evaluation elsewhere", _moved_evaluation, "compare"))
    found.append(
        _of_run("weights: a bit flipped", _flipped("training-*/adapter/adapter_model.safetensors"), "export", 1)
    )
    found.append(_of_run("a product of labels", lambda here: None, "rewrite"))
    return found


def _moved_evaluation(here: Path) -> None:
    def edit(told: dict[str, Any]) -> None:
        told["judged"]["evaluation_folder"] = "/etc"

    _edited("result.json", edit)(here)
