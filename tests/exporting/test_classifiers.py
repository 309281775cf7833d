"""A classifier's export answers as the product does, by ``predict.py`` alone."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metier.core.errors import MetierError
from metier.core.progress import Reporter
from metier.core.records import Example
from metier.core.step import Artifact
from metier.evaluation.measure import Measure
from metier.evaluation.records import Confidence, Threshold
from metier.exporting.classifiers import write_classifier
from metier.exporting.export import MARK, Wanted, export
from metier.exporting.source import Classifier
from metier.models.locate import resolve_model
from metier.runs.load import KnownAnswers
from metier.runs.use import open_at
from metier.systems import encoder as encoding
from metier.systems import encoder_pair, tfidf
from metier.systems.base import Material
from metier.systems.product import save_product
from metier.systems.product_record import Product
from tests.systems.scripted import make_tools
from tests.systems.test_product import PAIRS, PRODUCT

LABELS = ("billing", "delivery", "other")
MORE = (*PAIRS, *(Example(f"the café opens, they say, at {i}0", "other") for i in range(6)))
IN_PARTS = tuple(Example(f"Claim: it is so, {i}.\nReason: {pair.input}", pair.output) for i, pair in enumerate(MORE))
SURE = dataclasses.replace(
    PRODUCT, confidence=Confidence(3.0, 0.1, 0.05, 80), threshold=Threshold(0.9, 0.5, 0.8, 0.95, 0.91, "firm")
)


def make_tfidf(folder: Path, labels: tuple[str, ...], pairs: tuple[Example, ...], product: Product = SURE) -> Path:
    product = dataclasses.replace(product, labels=labels)
    learned = tfidf.learn(Material(labels, labelled=pairs), make_tools(folder / "tools"), source="labelled")
    save_product(product, learned, None, folder / "product")
    return folder / "product"


@pytest.mark.parametrize(("labels", "pairs"), [(LABELS[:2], PAIRS), (LABELS, MORE)], ids=["two labels", "three"])
def test_tfidf_needs_numpy_alone(tmp_path: Path, labels: tuple[str, ...], pairs: tuple[Example, ...]) -> None:
    product = make_tfidf(tmp_path, labels, pairs)
    made = export(Wanted(product, "numpy", out=tmp_path / "out"), Reporter(quiet=True))
    assert made.parity.answers is not None and made.parity.answers.share == 100
    texts = ["The INVOICE, the invoice; is wrong", "parcel café 10", "nothing known at all", "number 3"]
    blocked = "import sys; sys.modules.update(dict.fromkeys(['sklearn', 'torch', 'scipy', 'metier'])); "
    code = f"{blocked}import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(tmp_path / "out" / "predict.py"), *texts],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = [json.loads(line) for line in done.stdout.splitlines()]
    ours = open_at(product).answer(texts)
    assert [(f["prediction"], f["abstained"]) for f in found] == [(a.text, a.abstained) for a in ours]
    assert [f["probability"] for f in found] == pytest.approx([a.probability for a in ours], abs=1e-5)


def test_a_script_that_answers_otherwise_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from metier.exporting import classifiers

    def wrong(settings: object) -> str:
        return "def predict(text):\n    return {'prediction': 'billing', 'probability': 1.0, 'abstained': False}\n"

    monkeypatch.setattr(classifiers, "_script", wrong)
    product = make_tfidf(tmp_path, LABELS, MORE)
    with pytest.raises(MetierError, match=r"predict.py answers .* the product with"):
        export(Wanted(product, "numpy", out=tmp_path / "out"), Reporter(quiet=True))
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize("form", ["encoder", "encoder_pair"])
def test_an_encoder_is_named_and_its_head_written(encoder: Path, tmp_path: Path, form: str) -> None:
    name = "all-minilm-l6-v2"
    rows = MORE if form == "encoder" else IN_PARTS
    material = Material(LABELS, labelled=rows, encoder=Artifact(resolve_model(name).digest, encoder), encoder_name=name)
    from metier.models.encoder import SentenceEncoder

    tools = dataclasses.replace(make_tools(tmp_path / "tools"), open_encoder=lambda found: SentenceEncoder(found.path))
    learn: Any = encoding.learn if form == "encoder" else encoder_pair.learn
    learned = learn(material, tools, source="labelled")
    product = dataclasses.replace(SURE, labels=LABELS, form=form, system="encoder_all")
    save_product(product, learned, None, tmp_path / "product")
    answers = tuple(answer.text for answer in open_at(tmp_path / "product").answer([row.input for row in rows]))
    known = KnownAnswers(Measure("exact_match", LABELS), rows, answers)
    out = tmp_path / "out"
    out.mkdir()
    parity = write_classifier(Classifier(tmp_path / "product", product, known), out)
    assert parity.test_rows == len(rows) and parity.scores is not None
    assert parity.scores.product == parity.scores.export > 80
    assert "sentence-transformers/all-MiniLM-L6-v2" in (out / "README.md").read_text()
    settings = json.loads((out / "settings.json").read_text())
    assert settings["parts"] == (None if form == "encoder" else ["Claim", "Reason"])
    assert not (out / MARK).exists()  # which is the driver's to write
