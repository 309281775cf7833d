"""Everything that reads what others wrote, as functions of bytes that may raise Metier's own errors and no other."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet

from metier.core import storage
from metier.core.codec import CodecError, decode
from metier.core.errors import MetierError
from metier.data.files import read_rows, read_rows_or_problems
from metier.data.pairs import read_examples
from metier.models.gguf_file import check_gguf
from metier.systems.product_record import Product
from metier.systems.regression import load_head
from metier.tasks.read_scenario import load_scenario
from metier.tasks.read_task import load_task
from tests.torture.rubbish.models import GGUFS
from tests.torture.rubbish.tasks import GOOD

ROWS = [{"input": f"a {i}", "output": "b", "n": i} for i in range(20)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def _parquet() -> bytes:
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), out)
    return out.getvalue()


def _arrow() -> bytes:
    out = io.BytesIO()
    table = pyarrow.Table.from_pylist(ROWS)
    with pyarrow.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    return out.getvalue()


SEEDS: dict[str, bytes] = {
    "rows.jsonl": LINES,
    "rows.jsonl.gz": gzip.compress(LINES, mtime=0),
    "rows.json": json.dumps(ROWS).encode(),
    "rows.csv": b'input,output,n\n"a ""quoted"" one",b,1\na,b,2\n',
    "rows.tsv": b"input\toutput\na\tb\n",
    "rows.parquet": _parquet(),
    "rows/data.arrow": _arrow(),
    "task.yaml": GOOD.encode(),
    "mixture.yaml": b"name: m\ntasks: {t: {unchanged: 0.5}}\nrows: 10\n",
    "model.gguf": GGUFS["a tensor without bytes"],
    "product.json": b'{"format": 1, "metier": "0.1.0", "task": "t", "labels": ["a", "b"]}',
    "head.safetensors": b"\x3a\x00\x00\x00\x00\x00\x00\x00"
    + b'{"bias":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}'.ljust(58)
    + bytes(8),
}
"""By the name of a file, one that is right or nearly so."""


def read(name: str, content: bytes) -> None:
    """Read bytes as the file of that name.

    Raises:
        Exception: One that is not Metier's own: a fault.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        with contextlib.suppress(MetierError):
            _reader(name)(path)


def _reader(name: str) -> Callable[[Path], object]:
    kind = name.rpartition("/")[2].partition(".")[0]
    readers: dict[str, Callable[[Path], object]] = {
        "rows": _rows,
        "data": lambda path: list(read_rows(path.parent, "test")),
        "task": load_task,
        "mixture": _scenario,
        "model": check_gguf,
        "product": _product,
        "head": _head,
    }
    return readers[kind]


def _rows(path: Path) -> None:
    for reads in (lambda: list(read_rows_or_problems(path)), lambda: read_examples(path, labels=None)):
        with contextlib.suppress(MetierError):
            reads()


def _scenario(path: Path) -> None:
    (path.parent / "t.yaml").write_text(GOOD)
    load_scenario(path)


def _product(path: Path) -> None:
    with contextlib.suppress(CodecError):
        decode(Product, storage.read_json(path))


def _head(path: Path) -> None:
    from safetensors import SafetensorError

    (path.parent / "head.json").write_text('{"learnt": ["a", "b"], "labels": ["a", "b"]}')
    with contextlib.suppress(SafetensorError, KeyError):  # which `open_product` turns into one of Metier's
        load_head(path.parent)
