"""What every model card needs: a YAML header that the hub reads, and Markdown in which data cannot become markup.

Everything a user or a file said is put into code spans and fences. Knows nothing about what a card says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import yaml

from metier.report import words

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_LICENCE_ID = re.compile(r"[a-z0-9][a-z0-9.+-]*")


def card(header: Mapping[str, object], template: str, *, package: str = "metier.report", **values: object) -> str:
    """Return a card: the header, and a template of a package's folder filled in."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package, "."),
        autoescape=False,  # Markdown, not HTML: `code`, `cell` and `fenced` keep text in its place
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        code=code, cell=cell, number=words.number, metric=words.metric_title, p=words.p_value, amount=words.count
    )
    body = words.clean(
        environment.get_template(template).render(interval_text=words.interval_text, fenced=fenced, **values)
    )
    front = yaml.safe_dump(_cleaned(header), sort_keys=False, allow_unicode=True, width=10_000)
    return f"---\n{front}---\n\n{body}"


def base_header(base_model: str, licence: str | None, *, adapter: bool, tags: list[str]) -> dict[str, object]:
    """Return the part of a header that says what the weights are made from.

    Args:
        base_model: The base model's hub id. Anything else (a path) is kept out, where it would be read as an id.
        licence: Its licence.
        adapter: Whether the weights are an adapter, or whole.
        tags: What else the hub may find it by.
    """
    header: dict[str, object] = {
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "text-generation",
    }
    if _HUB_ID.fullmatch(base_model):
        header["base_model"] = base_model
    if licence and _LICENCE_ID.fullmatch(licence.lower()):
        header["license"] = licence.lower()
    elif licence:
        header |= {"license": "other", "license_name": licence}
    header["tags"] = ["metier", *tags, *(["lora"] if adapter else [])]
    return header


def base_name(base_model: str) -> str:
    """Return a hub id as it is, and of a path the last part."""
    return base_model if _HUB_ID.fullmatch(base_model) else re.split(r"[/\\]", base_model.rstrip("/\\"))[-1]


def fenced(text: str, language: str) -> str:
    """Return a fence longer than any run of backticks in the text."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def code(text: str) -> str:
    """Return a code span of one line that holds any text, also inside a table."""
    line = " ".join(text.split()).replace("|", "\\|")
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{space}{line}{space}{ticks}"


def cell(text: str) -> str:
    """Return text for a table's cell: one line, in which nothing is markup."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))


def _cleaned(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _cleaned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    return words.clean(value) if isinstance(value, str) else value
