"""Keeps finished answers on file as they come, so that an answer that was paid for is not asked for again.

One JSON line for each answer, under the hash of what was asked; a line that a kill left incomplete is skipped.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from metier.core import storage

_M = TypeVar("_M", bound=BaseModel)


class Journal:
    """Answers by key, in memory and appended to a file; several threads may use it.

    Args:
        path: The file; None: answers are kept in memory only.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._held: dict[str, object] = dict(_lines(path)) if path is not None else {}

    def get(self, key: str, kind: type[_M]) -> _M | None:
        """Return the answer under a key; None if there is none of this kind."""
        try:
            return kind.model_validate(self._held[key])
        except (KeyError, ValidationError):
            return None

    def put(self, key: str, answer: BaseModel) -> None:
        """Keep an answer."""
        value = answer.model_dump(mode="json")
        with self._lock:
            self._held[key] = value
            if self._path is not None:
                with storage.explained(self._path):
                    self._path.parent.mkdir(parents=True, exist_ok=True)
                    with self._path.open("a", encoding="utf-8") as file:
                        file.write(json.dumps({"key": key, "value": value}, ensure_ascii=False) + "\n")


def _lines(path: Path) -> Iterator[tuple[str, object]]:
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
            yield entry["key"], entry["value"]
        except (ValueError, KeyError, TypeError):
            continue
