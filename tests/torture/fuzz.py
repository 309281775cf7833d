"""Fuzzes one reader with atheris for some seconds: ``python -m tests.torture.fuzz NAME SECONDS FOLDER``.

Inputs that reach new branches of Metier's code are kept in FOLDER; one that raises what is not Metier's ends it with an
error, and is put there too.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["metier"]):
    from tests.torture.readers import SEEDS, read


def main(name: str, seconds: int, folder: Path) -> None:
    """Fuzz the reader of a file of that name."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True)
    (corpus / "seed").write_bytes(SEEDS[name])
    options = [f"-max_total_time={seconds}", "-timeout=5", "-rss_limit_mb=2048", "-max_len=4096"]
    atheris.Setup(
        [sys.argv[0], *options, f"-artifact_prefix={folder}/", str(corpus)], lambda content: read(name, content)
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
