"""Schemas from outside: those that can be followed, and those that are refused before they cost much."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from metier.core.errors import UserError
from metier.engines import schemas
from metier.engines.schemas import MOST_BYTES, MOST_LEVELS, NotTried, text_of, why_not


def nested(levels: int) -> Any:
    innermost: Any = {"type": "string"}
    return functools.reduce(lambda inner, _: {"type": "array", "items": inner}, range(levels - 1), innermost)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"enum": ["billing", "delivery"]},
        {"$defs": {"node": {"type": "array", "items": {"$ref": "#/$defs/node"}}}, "$ref": "#/$defs/node"},
        {"type": "string", "pattern": "^[a-z]{2,8}$"},
        {"type": "string", "maxLength": 10**9},
        nested(MOST_LEVELS),
    ],
)
def test_what_can_be_followed(schema: dict[str, Any]) -> None:
    assert why_not(text_of(schema)) is None


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "nothing"}, "Invalid type: nothing"),
        ({"not": {"type": "string"}}, 'Unimplemented keys: ["not"]'),
        ({"type": "integer", "minimum": 5, "maximum": 1}, "minimum (5) is greater than maximum (1)"),
        ({"type": "string", "pattern": "a("}, "unclosed group"),
        ({"type": "string", "format": "anything"}, "Unknown format"),
        ({"$ref": "file:///etc/passwd"}, "retrieving it failed"),
        ({"$ref": "#/nowhere"}, "nowhere"),
        ({"x-guidance": {"lenient": True}, "not": {}}, "Unimplemented keys"),
        ({"enum": ["\ud800"]}, "hex escape"),
    ],
)
def test_what_cannot_be_followed_is_told_with_its_reason(schema: dict[str, Any], why: str) -> None:
    told = why_not(text_of(schema))
    assert told is not None and why in told


def test_a_schema_that_compiles_for_ever_is_given_up() -> None:
    """These patterns take minutes; no limit of the compiler stops it."""
    endless = {"allOf": [{"type": "string", "pattern": f"a{{0,{k}}}.*b"} for k in range(20)]}
    told = why_not(text_of(endless))
    assert told is not None and "more than 2 seconds or 1 GiB" in told


def test_a_busy_machine_is_no_fault_of_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "_PATIENCE", 0.001)
    with pytest.raises(NotTried):
        why_not("{}")


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (nested(MOST_LEVELS + 1), "nested deeper"),
        (nested(100_000), "nested deeper"),
        ({"enum": ["x" * MOST_BYTES]}, "bytes"),
    ],
)
def test_size_and_depth_are_limited(schema: Any, why: str) -> None:
    with pytest.raises(UserError, match=why):
        text_of(schema)


def test_text_is_json() -> None:
    schema = {"enum": ["ä", 1, None]}
    assert json.loads(text_of(schema)) == schema
