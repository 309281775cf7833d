"""JSON schemas from outside as grammars, and whether one can be followed, found out in a process of its own.

Compiling a schema can take any time and memory: a few patterns that must all hold are enough. No limit of the compiler
bounds it, and a thread cannot be stopped, so a schema that nobody has seen is first compiled where it can be.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from metier.core.errors import MetierError, UserError

if TYPE_CHECKING:
    from llguidance import LLParserLimits
    from llguidance._lib import JsonCompileOptions

MOST_BYTES = 65_536
MOST_LEVELS = 40
SECONDS = 2  # of a processor that compiling may take
_PATIENCE = 30.0  # seconds that it may take on a busy machine
_MEMORY = 1 << 30  # bytes that it may take, the interpreter's own among them
_TOLD = 300  # characters of the compiler's message
_NOT_INSTALLED = 3
_WHITE = r"( |\n {0,16})?"  # between two parts: without a bound, a small model may write spaces for ever
_HOW: JsonCompileOptions = {
    "item_separator": ",",
    "key_separator": ":",
    "whitespace_flexible": True,
    "whitespace_pattern": _WHITE,
    "coerce_one_of": False,
    "lenient": False,
}


def text_of(schema: object) -> str:
    """Return a schema as text.

    Raises:
        UserError: It is too large, or nested too deep.
    """
    if _levels(schema) > MOST_LEVELS:
        raise UserError(f"the schema is nested deeper than {MOST_LEVELS} levels")
    text = json.dumps(schema)
    if len(text) > MOST_BYTES:
        raise UserError(f"the schema has more than {MOST_BYTES:,} bytes")
    return text


class NotTried(MetierError):
    """Whether a schema can be followed was not found out in time."""


def why_not(schema: str) -> str | None:
    """Return why a schema cannot be followed; None: it can.

    Raises:
        UserError: llguidance is not installed.
        NotTried: The machine is too busy to say.
    """
    command = [sys.executable, "-m", "metier.engines.schemas"]
    try:
        done = subprocess.run(command, input=schema.encode(), capture_output=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotTried("the schema was not compiled in time; try again later") from error
    said = done.stdout.decode("utf-8", "replace").split()
    if done.returncode == _NOT_INSTALLED:
        raise UserError("llguidance is not installed", hint="pip install 'metier[serve]'")
    if done.returncode:
        return f"it takes more than {SECONDS} seconds or {_MEMORY >> 30} GiB to compile"
    return " ".join(said)[:_TOLD] or None


def grammar_of(schema: str) -> str:
    """Return a schema as llguidance's grammar; whether it can be compiled is not known yet."""
    from llguidance import LLMatcher

    return LLMatcher.grammar_from_json_schema(schema, overrides=_HOW)


def limits() -> LLParserLimits:
    """Return what following a schema may take at each step."""
    from llguidance import LLParserLimits

    return LLParserLimits(max_lexer_states=20_000, precompute_large_lexemes=False, verbose_errors=False)


def _levels(schema: Any) -> int:
    """Return how deep a schema is nested, without recursion."""
    deepest, left = 0, [(schema, 1)]
    while left:
        one, level = left.pop()
        deepest = max(deepest, level)
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        left += [(part, level + 1) for part in inner if isinstance(part, dict | list)]
    return deepest


def _compiled() -> None:
    """Compile the schema that comes on standard input, within limits, and print what is wrong with it."""
    try:
        from llguidance import LLMatcher
    except ImportError:
        sys.exit(_NOT_INSTALLED)
    try:
        import resource
    except ImportError:  # Windows has no such limits; the time is limited there too
        pass
    else:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    try:
        print(LLMatcher.validate_grammar(grammar_of(sys.stdin.read()), None, limits=limits()))
    except ValueError as error:
        print(error)


if __name__ == "__main__":
    _compiled()
