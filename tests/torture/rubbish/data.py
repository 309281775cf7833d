"""Data files that are wrong: rows to train and test on, rows to answer, outputs to score."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from tests.torture.rubbish import Change, Content, Rubbish, put
from tests.torture.rubbish.tasks import GOOD

_ROW = '{"input": "a", "output": "billing"}\n'


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), out)
    return out.getvalue()


_PARQUET = _parquet([{"input": f"a {i}", "output": "billing"} for i in range(50)])
_GZIP = gzip.compress((_ROW * 5000).encode())
_LINES: dict[str, Content] = {
    "nothing": "",
    "empty lines": "\n\n\n",
    "not JSON": "input\toutput\n",
    "cut off": _ROW + '{"input": "a", "out',
    "a list": '["a", "b"]\n',
    "a number": "17\n",
    "null": "null\n",
    "no columns": "{}\n",
    "unknown columns": '{"q": "a", "a": "b"}\n',
    "no output": '{"input": "a"}\n',
    "an empty output": '{"input": "a", "output": ""}\n',
    "a null output": '{"input": "a", "output": null}\n',
    "an output that is an object": '{"input": "a", "output": {"x": 1}}\n',
    "an output that is NaN": '{"input": "a", "output": NaN}\n',
    "an output of another label": '{"input": "a", "output": "sales"}\n',
    "a number of five thousand digits": '{"input": ' + "9" * 5000 + ', "output": "billing"}\n',
    "a column that is a number of five thousand digits": '{"n": ' + "9" * 5000 + ', "q": "billing"}\n',
    "half a surrogate pair": '{"input": "\\ud800", "output": "billing"}\n',
    "brackets without end": '{"input": ' + "[" * 100_000 + "\n",
    "Latin-1": _ROW.replace("a", "é").encode("latin-1"),
    "UTF-16": _ROW.encode("utf-16"),
    "UTF-8 cut off": _ROW.replace('"a"', '"é"').encode()[:13],
    "random bytes": bytes(range(256)) * 40,
    "gzip": _GZIP,
    "one line of eleven megabytes": '{"input": "' + "a" * 11_000_000 + '"}\n',
    "a chat without an answer": '{"messages": [{"role": "user", "content": "a"}]}\n',
    "a chat of words": '{"messages": ["a", "b"]}\n',
    "a chat that is null": '{"messages": null}\n',
    "references that are empty": '{"input": "a", "references": []}\n',
    "references that are numbers in lists": '{"input": "a", "references": [[1]]}\n',
    "HTML": "<html>404</html>\n",
}
_TABLES: dict[str, Content] = {
    "nothing": "",
    "a header alone": "input,output\n",
    "a column twice": "input,input\na,b\n",
    "an open quote": 'input,output\na,"b\n',
    "text behind a quote": 'input,output\na,"b"c\n',
    "too many fields": "input,output\na,billing,c\n",
    "too few fields": "input,output\na\n",
    "unknown columns": "q,a\nx,billing\n",
    "no header": "a,billing\nb,billing\n",
    "a zero byte": "input,output\na\0,sales\n",
    "old Mac line ends": "input,output\ra,sales\r",
    "Latin-1": "input,output\né,billing\n".encode("latin-1"),
    "UTF-16": "input,output\na,billing\n".encode("utf-16"),
    "semicolons": "input;output\na;billing\n",
    "a field of eleven megabytes": "input,output\n" + "a" * 11_000_000 + ",billing\n",
}
_LISTS: dict[str, Content] = {
    "nothing": "",
    "an object": '{"input": "a"}',
    "a word": '"a"',
    "a list of words": '["a"]',
    "cut off": '[{"input": "a"',
    "nested without end": "[" * 100_000,
    "lines": _ROW * 2,
    "a number of five thousand digits": "9" * 5000,
}
_COLUMNS: dict[str, Content] = {
    "nothing": b"",
    "text": "input,output\n",
    "the magic alone": b"PAR1",
    "the magic twice": b"PAR1PAR1",
    "cut off": _PARQUET[: len(_PARQUET) // 2],
    "the end alone": _PARQUET[-60:],
    "a length that is too large": _PARQUET[:-8] + b"\xff\xff\xff\x7fPAR1",
    "pages overwritten": _PARQUET[:8] + bytes(200) + _PARQUET[208:],
    "a footer overwritten": _PARQUET[:-60] + b"\xff" * 52 + _PARQUET[-8:],
    "no rows": _parquet([]),
    "unknown columns": _parquet([{"q": "a", "a": "b"}]),
    "nested columns": _parquet([{"input": {"x": [1]}, "output": "billing"}]),
    "bytes": _parquet([{"input": b"\xff\xfe", "output": b"billing"}]),
}
_GZIPPED: dict[str, Content] = {
    "nothing": b"",
    "text": _ROW,
    "cut off": _GZIP[: len(_GZIP) // 2],
    "the header alone": _GZIP[:10],
    "a byte changed": _GZIP[:60] + bytes([_GZIP[60] ^ 255]) + _GZIP[61:],
    "a wrong checksum": _GZIP[:-8] + bytes(8),
    "a hundred megabytes of zeros": gzip.compress(bytes(100_000_000)),
    "rubbish behind it": _GZIP + b"rubbish",
}


def _arrow(content: bytes) -> Change:
    return put("rows/data-00000-of-00001.arrow", content)


def _loop(here: Path) -> None:
    (here / "rows").mkdir()
    (here / "rows" / "a.parquet").symlink_to(here / "rows" / "a.parquet")


_FOLDERS: dict[str, Change] = {
    "nothing": lambda here: (here / "rows").mkdir(),
    "text": put("rows/readme.txt", "x"),
    "an empty Arrow file": _arrow(b""),
    "an Arrow file of text": _arrow(b"ARROW1 no"),
    "an Arrow file of 0xff": _arrow(b"\xff" * 500),
    "an Arrow file that promises much": _arrow(b"\xff\xff\xff\xff\xff\xff\xff\x7f" + bytes(64)),
    "two splits": lambda here: [put(f"rows/{n}-0.parquet", _PARQUET)(here) for n in ("train", "test")],
    "a folder named as a file": lambda here: (here / "rows" / "a.parquet").mkdir(parents=True),
    "a link to itself": _loop,
}
_SCORED: dict[str, tuple[Content, Content, str]] = {
    "nothing": ("", "", "exact_match"),
    "fewer lines": ("a\n", "a\nb\n", "exact_match"),
    "an unknown metric": ("a\n", "a\n", "best"),
    "a metric without inputs": ("a\n", "a\n", "sari"),
    "a metric without labels": ("a\n", "a\n", "macro_f1"),
    "Latin-1": ("é\n".encode("latin-1"), "a\n", "exact_match"),
    "a line of eleven megabytes": ("a" * 11_000_000, "a\n", "exact_match"),
}
_SCORED_TABLES: dict[str, Content] = {
    "nothing": "",
    "no column": '{"x": "a"}\n',
    "a null": '{"prediction": null}\n',
    "a list": '{"prediction": ["a"]}\n',
    "not JSON": "prediction\n",
}


def _tested(kind: str, name: str, ending: str, content: Content) -> Rubbish:
    task = f"{GOOD}test: rows{ending}\n"
    files = {"task.yaml": task, f"rows{ending}": content}
    return Rubbish(f"{kind}: {name}", ("validate", "{here}/task.yaml"), files)


def _answered(kind: str, name: str, ending: str, content: Content, code: int) -> Rubbish:
    command = ("predict", "{classic}", f"{{here}}/rows{ending}", "-o", "{here}/out.jsonl", "--quiet")
    return Rubbish(f"rows to answer, {kind}: {name}", command, {f"rows{ending}": content}, code=code)


def all_data() -> list[Rubbish]:
    """Return the wrong data files."""
    found = [_tested("JSON Lines", name, ".jsonl", content) for name, content in _LINES.items()]
    found += [_tested("CSV", name, ".csv", content) for name, content in _TABLES.items()]
    found += [
        _tested("TSV", name, ".tsv", _with_tabs(content)) for name, content in _TABLES.items() if len(content) < 99
    ]
    found += [_tested("JSON", name, ".json", content) for name, content in _LISTS.items()]
    found += [_tested("Parquet", name, ".parquet", content) for name, content in _COLUMNS.items()]
    found += [_tested("gzip", name, ".jsonl.gz", content) for name, content in _GZIPPED.items()]
    for name, change in _FOLDERS.items():
        task = {"task.yaml": f"{GOOD}test: rows\n"}
        found.append(Rubbish(f"folder: {name}", ("validate", "{here}/task.yaml"), task, change))
    # A row that cannot be asked is put on a list, and the command ends with 1; a file that cannot be read: with 2.
    listed = (
        "not JSON",
        "cut off",
        "a list",
        "no columns",
        "unknown columns",
        "Latin-1",
        "half a surrogate pair",
        "HTML",
    )
    found += [_answered("JSON Lines", name, ".jsonl", _LINES[name], 1) for name in listed]
    long = ("one line of eleven megabytes", "brackets without end", "a number of five thousand digits")
    found += [_answered("JSON Lines", name, ".jsonl", _LINES[name], 1) for name in long]
    found += [_answered("JSON Lines", name, ".jsonl", _LINES[name], 2) for name in ("nothing", "empty lines")]
    tables = ("nothing", "a column twice", "unknown columns", "no header", "Latin-1")
    found += [_answered("CSV", name, ".csv", _TABLES[name], 2) for name in tables]
    found += [
        _answered("Parquet", name, ".parquet", content, 2)
        for name, content in _COLUMNS.items()
        if name not in ("nested columns", "bytes")
    ]
    found += [
        _answered("gzip", name, ".jsonl.gz", content, 2)
        for name, content in _GZIPPED.items()
        if name in ("nothing", "cut off", "text")
    ]
    for name, (outputs, wanted, metric) in _SCORED.items():
        command = ("score", "--metric", metric, "--prediction", "{here}/a.txt", "--reference", "{here}/b.txt")
        found.append(Rubbish(f"outputs: {name}", command, {"a.txt": outputs, "b.txt": wanted}))
    for name, content in _SCORED_TABLES.items():
        command = ("score", "--metric", "bleu", "--prediction", "{here}/a.jsonl", "--reference", "{here}/b.jsonl")
        found.append(
            Rubbish(
                f"outputs in a table: {name}", command, {"a.jsonl": content, "b.jsonl": json.dumps({"reference": "a"})}
            )
        )
    return found


def _with_tabs(content: Content) -> Content:
    return content.replace(b",", b"\t") if isinstance(content, bytes) else content.replace(",", "\t")
