"""Writes a classifier as safetensors, JSON and a short ``predict.py``, and runs that to see that it is equal."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import metier
from metier.core import storage
from metier.core.codec import encode
from metier.core.errors import MetierError, first_line
from metier.data.two_parts import NAME, TwoParts
from metier.exporting.card import parity_lines
from metier.exporting.parity import HARD, Parity, agreement, both_scores
from metier.exporting.source import Classifier
from metier.models.encoder import LONGEST
from metier.models.locate import ModelFiles, resolve_model
from metier.report.markdown import base_header, card
from metier.runs.use import open_at
from metier.systems import encoder_pair
from metier.systems.encoder import read_used

_HEAD = ("head.safetensors", "head.json")
_TFIDF = ("vocabulary.json", "idf.safetensors")
_TIMEOUT = 1800.0  # seconds
_CLOSE = 1e-3  # of a probability: the product encodes texts in batches, which moves the last digits


@dataclasses.dataclass(frozen=True, slots=True)
class _Settings:
    """What ``predict.py`` reads from settings.json.

    Attributes:
        temperature: Scores are divided by it.
        threshold: Below this probability an answer is not to be used.
        encoder: The hub id of the encoder; None for TF-IDF.
        longest: Tokens of a text that the encoder reads.
        parts: The names of the two parts of an input that the encoder reads; None: it reads the input whole.
    """

    temperature: float
    threshold: float
    encoder: str | None = None
    longest: int = 0
    parts: tuple[str, str] | None = None


def write_classifier(source: Classifier, folder: Path) -> Parity:
    """Write a classifier that runs without Metier.

    Args:
        source: The product.
        folder: Where to; must exist.

    Returns:
        How its answers compare with the product's.

    Raises:
        MetierError: ``predict.py`` fails or answers otherwise than the product.
    """
    product = source.product
    encoder, parts = _encoder(source)
    for name in (*_HEAD, *(() if encoder else _TFIDF)):
        with storage.explained(folder):
            shutil.copy2(source.folder / name, folder / name)
    settings = _Settings(
        temperature=product.confidence.temperature if product.confidence else 1.0,
        threshold=product.threshold.threshold if product.threshold else 0.0,
        encoder=encoder.card_name if encoder else None,
        longest=LONGEST if encoder else 0,
        parts=(parts.first, parts.second) if parts else None,
    )
    storage.write_json(folder / "settings.json", encode(settings))
    script = folder / "predict.py"
    storage.write_text(script, _script(settings))
    parity = _compare(source, script, encoder)
    _write_card(source, parity, encoder, folder)
    return parity


def _encoder(source: Classifier) -> tuple[ModelFiles | None, TwoParts | None]:
    """Return the encoder that a product needs, and the parts of an input that it reads, if it has them."""
    if source.product.form == "encoder":
        return resolve_model(read_used(source.folder).name), None
    if source.product.form == "encoder_pair":
        used = encoder_pair.read_used(source.folder)
        return resolve_model(used.encoder.name), used.parts
    return None, None


def _script(settings: _Settings) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("metier.exporting", "."),
        autoescape=False,
        keep_trailing_newline=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    template = environment.get_template(f"predict_{'encoder' if settings.encoder else 'tfidf'}.py.j2")
    # No name that comes from data is written into code: settings.json has them.
    return template.render(encoder=settings.encoder, pair=bool(settings.parts), part_name=repr(NAME)).rstrip() + "\n"


def _compare(source: Classifier, script: Path, encoder: ModelFiles | None) -> Parity:
    """Run ``predict.py`` on the test rows and on made-up inputs, each a line, beside the product."""
    tested = source.tested
    rows = [row.input for row in tested.rows] if tested else []
    texts = [*rows, *(text for text in HARD if text.strip())]
    ours = open_at(source.folder).answer(texts)
    theirs = _run(script, texts, encoder)
    same = [a.text == str(b["prediction"]) for a, b in zip(ours, theirs, strict=True)]
    near = [
        abs((a.probability or 0.0) - float(str(b["probability"]))) < _CLOSE for a, b in zip(ours, theirs, strict=True)
    ]
    if not all(same) or not all(near):
        at = next(i for i, fine in enumerate(zip(same, near, strict=True)) if not all(fine))
        raise MetierError(
            f"the export was not kept: predict.py answers {texts[at][:60]!r} with {theirs[at]}, the product with "
            f"{ours[at].text!r} ({ours[at].probability})",
            hint="report this; metier predict answers with the product itself",
        )
    found = [str(b["prediction"]) for b in theirs]
    return Parity(
        format="numpy",
        host="predict.py",
        test_rows=len(rows),
        made_up=len(texts) - len(rows),
        answers=agreement([a.text for a in ours], found),
        scores=both_scores(tested, found[: len(rows)]) if tested else None,
    )


def _run(script: Path, texts: Sequence[str], encoder: ModelFiles | None) -> list[dict[str, object]]:
    """Return what ``predict.py`` answers, run by itself: it may import nothing of Metier."""
    place = ["--encoder", str(encoder.path)] if encoder else []
    code = (
        "import json, runpy, sys; texts = json.load(sys.stdin); script = sys.argv.pop(1); sys.argv[0] = script; "
        "predict = runpy.run_path(script)['predict']; print(json.dumps([predict(t) for t in texts]))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(script), *place],
        input=json.dumps(list(texts)),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    if done.returncode != 0:
        raise MetierError(f"predict.py fails ({first_line(RuntimeError(done.stderr.strip().rpartition(chr(10))[2]))})")
    found: list[dict[str, object]] = json.loads(done.stdout.splitlines()[-1])
    return found


def _write_card(source: Classifier, parity: Parity, encoder: ModelFiles | None, folder: Path) -> None:
    base, licence = (encoder.card_name, encoder.licence) if encoder else ("", None)
    header = base_header(base, licence, adapter=False, tags=[])
    header |= {"pipeline_tag": "text-classification", "library_name": "transformers" if encoder else "numpy"}
    needs = "It needs numpy and safetensors alone."
    if encoder:
        needs = f"It needs transformers and torch, and downloads the encoder ({encoder.card_name}) from the hub."
    text = card(
        header,
        "classifier_card.md.j2",
        package="metier.exporting",
        product=source.product,
        version=metier.__version__,
        needs=needs,
        packages="numpy safetensors" + (" torch transformers" if encoder else ""),
        parity=parity_lines(parity),
        limits=_limits(encoder),
    )
    storage.write_text(folder / "README.md", text)


def _limits(encoder: ModelFiles | None) -> list[str]:
    if encoder is None:
        return ["A text none of whose words it knows is answered all the same: look at the probability."]
    found = ["The same encoder must make the vectors: another gives answers that mean nothing."]
    if encoder.licence:
        found.append(f"The encoder's licence ({encoder.licence}) applies to it.")
    return found
