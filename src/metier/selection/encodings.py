"""The vectors of a pool on file: made once for a pool and an encoder, piece by piece, gone on with where it stopped.

They are kept as 16-bit integers in a memory-mapped array (half of float32, and what `kcenter` works on), beside a note
of how many rows are done. Knows nothing about what is chosen by them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metier import storage
from metier.selection import kcenter
from metier.selection.encode import Encoder
from metier.selection.pool import Pool

_PIECE = 4096  # rows between two notes of what is done


def encoded(
    pool: Pool, encoder: Encoder, folder: Path, progress: Callable[[int, int], None] | None = None
) -> kcenter.Codes:
    """Return a pool's vectors as `kcenter.encode` gives them, ``[rows, width]``, memory-mapped.

    Args:
        pool: Whose rows' inputs are encoded.
        encoder: What encodes them.
        folder: Named by pool and encoder; what is in it is gone on with.
        progress: Called with rows done.

    Raises:
        UserError: A vector holds a value that is not a number.
    """
    path, note = folder / "codes.npy", folder / "done.json"
    done = int(storage.read_json(note)["rows"]) if note.exists() else 0
    if done == pool.rows:
        return _opened(path, "r")
    folder.mkdir(parents=True, exist_ok=True)
    codes: Any = _opened(path, "r+") if done else None
    begin = 0
    for rows in pool.pieces():
        for first in range(0, len(rows), _PIECE):
            part = rows[first : first + _PIECE]
            if begin + len(part) > done:
                vectors = encoder.encode([row.input for row in part])
                if codes is None:
                    shape = (pool.rows, vectors.shape[1])
                    codes = np.lib.format.open_memmap(path, mode="w+", dtype=np.int16, shape=shape)
                kcenter.encode(vectors, largest=1.0, out=codes[begin : begin + len(part)])
                codes.flush()
                storage.write_json(note, {"rows": begin + len(part)})
            begin += len(part)
            if progress:
                progress(begin, 0)
    del codes
    return _opened(path, "r")


def vectors_of(codes: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    """Return codes as vectors of length about 1."""
    return np.asarray(np.asarray(codes, np.float32) / kcenter.SCALE, np.float32)


def _opened(path: Path, mode: Any) -> kcenter.Codes:
    codes: kcenter.Codes = np.load(path, mmap_mode=mode)
    return codes
