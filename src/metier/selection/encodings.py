"""A pool's vectors on file: made once for a pool and an encoder, piece by piece, and resumed after an interruption.

They are kept as 16-bit integers in a memory-mapped array (half the size of float32, and what `kcenter` works on),
beside a list of the pieces that are done. Knows nothing about what is chosen by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.core import storage
from metier.engines.pool import connected
from metier.models.encoder import Encoder
from metier.selection import kcenter
from metier.selection.pool import Pool

PIECE = 4096  # rows saved at a time; a multiple of this is the size of a pool's own pieces

Piece = tuple[int, Sequence[str]]
"""A piece's number, and its texts."""

EncodePieces = Callable[[Iterable[Piece]], Iterable[tuple[int, npt.NDArray[np.float32]]]]


def encoded(
    pool: Pool, encode: EncodePieces, folder: Path, progress: Callable[[int, int], None] | None = None
) -> kcenter.Codes:
    """Return a pool's vectors as `kcenter.encode` gives them, ``[rows, width]``, memory-mapped.

    Args:
        pool: Whose rows' inputs are encoded.
        encode: Encodes pieces of it, here or elsewhere; results may come in any order.
        folder: One for each pool and encoder; unfinished work in it is resumed.
        progress: Called with the number of rows done.

    Raises:
        UserError: A vector contains a value that is not a number.
    """
    path, note = folder / "codes.npy", folder / "done.json"
    done: list[int] = storage.read_json(note)["pieces"] if note.exists() else []
    pieces = -(-pool.rows // PIECE)
    if len(done) == pieces:
        return _opened(path, "r")
    folder.mkdir(parents=True, exist_ok=True)
    codes: Any = _opened(path, "r+") if done else None
    for piece, vectors in encode(_open_pieces(pool, frozenset(done))):
        if codes is None:
            shape = (pool.rows, vectors.shape[1])
            codes = np.lib.format.open_memmap(path, mode="w+", dtype=np.int16, shape=shape)
        begin = piece * PIECE
        kcenter.encode(vectors, largest=1.0, out=codes[begin : begin + len(vectors)])
        codes.flush()
        done.append(piece)
        storage.write_json(note, {"pieces": sorted(done)})
        if progress:
            progress(min(pool.rows, len(done) * PIECE), 0)
    del codes
    return _opened(path, "r")


def keep(codes: kcenter.Codes, folder: Path) -> None:
    """Put a pool's vectors on file that are known already, as those of a larger pool are; `encoded` then finds them.

    Args:
        codes: As `kcenter.encode` gives them, ``[rows, width]``, in the pool's order.
        folder: The pool's and the encoder's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "codes.npy", codes)
    storage.write_json(folder / "done.json", {"pieces": list(range(-(-len(codes) // PIECE)))})


def encode_here(encoder: Encoder) -> EncodePieces:
    """Return a function that encodes pieces one after the other, in this process."""
    return lambda pieces: ((number, encoder.encode(texts)) for number, texts in pieces)


def encode_with_ray(open_encoder: Callable[[], Encoder], workers: int, address: str | None) -> EncodePieces:
    """Return a function that encodes pieces in a pool of Ray Data actors, each with its own encoder.

    Args:
        open_encoder: Opens a worker's encoder; it is sent to the workers.
        workers: How many actors.
        address: A running cluster; None: start Ray on this machine.
    """

    def encode(pieces: Iterable[Piece]) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        connected(address, workers)
        import ray.data

        ray.data.DataContext.get_current().enable_progress_bars = False
        data = ray.data.from_items([{"piece": number, "texts": texts} for number, texts in pieces])
        # Half a core each: if actors held all cores, none would be left for the tasks that feed them.
        made = data.map_batches(
            _RayEncoder, fn_constructor_args=(open_encoder,), concurrency=workers, batch_size=1, num_cpus=0.5
        )
        for row in made.iter_rows():
            yield int(row["piece"]), np.asarray(row["vectors"], np.float32).reshape(-1, int(row["width"]))

    return encode


class _RayEncoder:
    """Runs in a Ray Data actor."""

    def __init__(self, open_encoder: Callable[[], Encoder]) -> None:
        self._encoder = open_encoder()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        vectors = [self._encoder.encode([str(text) for text in texts]) for texts in batch["texts"]]
        flat = np.empty(len(vectors), object)
        flat[:] = [found.ravel() for found in vectors]
        return {"piece": batch["piece"], "vectors": flat, "width": np.array([found.shape[1] for found in vectors])}


def _open_pieces(pool: Pool, done: frozenset[int]) -> Iterator[Piece]:
    number = 0
    for rows in pool.pieces():
        for first in range(0, len(rows), PIECE):
            if number not in done:
                yield number, [row.input for row in rows[first : first + PIECE]]
            number += 1


def vectors_of(codes: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    """Return codes as vectors of length about 1."""
    return np.asarray(np.asarray(codes, np.float32) / kcenter.SCALE, np.float32)


def _opened(path: Path, mode: Any) -> kcenter.Codes:
    codes: kcenter.Codes = np.load(path, mmap_mode=mode)
    return codes
