"""Every kind of product, opened in a new process, answers 1,000 rows with the bytes of what learnt it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import metier
from metier.cli import run_cli
from metier.core.errors import UserError
from metier.core.progress import Reporter
from metier.core.records import Example
from metier.core.run_folder import Run
from metier.core.step import Artifact
from metier.evaluation.records import Confidence, Threshold
from metier.models.encoder import SentenceEncoder
from metier.models.locate import resolve_model
from metier.steps.slot import Running, Slot
from metier.systems.base import Asked, Keep, Learned, Material, Tools, Tuned
from metier.systems.product import OpenProduct, save_product
from metier.systems.product_record import FORMAT, ModelUsed, Product
from metier.systems.registry import SYSTEMS, Entry
from metier.tasks.settings import EngineSettings, LaunchSettings, SynthesisSettings
from tests.runs.made import read_rows
from tests.systems.test_saved import HELD_OUT, PAIRS, REWRITES

KEYS = (  # one of each form that can be loaded
    "majority",
    "copied_input",
    "few_shot",
    "sampled_majority",
    "specialist",
    "specialist_guarded",
    "tfidf_train",
    "encoder_all",
    "harper",
    "replacements",
)
SHIPPED = ("few_shot_best", "sampled_majority", "self_icl", "label_scoring", "tfidf_synthetic", "specialist")
LABELS = ("billing", "delivery")
ENGINE = EngineSettings(dtype="float32", device="cpu")
ROWS = [
    f"{('the invoice', 'my parcel', 'they utilize the road', 'hm')[i % 4]} {('is wrong', 'come late')[i % 2]} {i}"
    for i in range(1000)
]
_OPEN = """
import hashlib, json, sys, metier
from pathlib import Path
from tests.runs.test_reopened import ROWS, digest
for folder in sorted(Path(sys.argv[1]).iterdir()):
    print(json.dumps([folder.name, digest(metier.load(folder).opened)]), flush=True)
"""


def digest(opened: OpenProduct) -> str:
    """Return the hash of all that a product says to the rows."""
    said = [
        (a.text, a.probability, a.abstained, a.probabilities and dict(a.probabilities)) for a in opened.answer(ROWS)
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Workshop:
    """A tiny model, its adapter, and what Systems learn with them."""

    model: Path
    adapter: Path
    folder: Path

    def learn(self, entry: Entry) -> tuple[Learned, Artifact | None, ModelUsed]:
        files = resolve_model(str(self.model))
        slot = Slot(Running(str(self.model), ENGINE, LaunchSettings(), "auto"), files)
        base = Artifact(files.digest, files.path)
        tools = Tools(
            base,
            lambda weights: slot.open(weights.path if weights else None),
            lambda: slot.prompts,
            lambda encoder: SentenceEncoder(encoder.path),
            Keep(Run(self.folder), Reporter(quiet=True)),
        )
        tuned: tuple[Tuned, ...] = ("task", "examples")
        weights = dict.fromkeys(tuned, Artifact("tuned", self.adapter))
        material = Material(
            None if entry.fits in ("rewriting", "correction", "free text") else LABELS,
            Asked(base, "auto", ENGINE, "Name the team.", 2, 0),
            examples=PAIRS[:2],
            labelled=REWRITES if entry.key == "replacements" else PAIRS,
            synthetic=tuple(Example(f"{pair.input} now", pair.output) for pair in PAIRS),
            test_answers=("delivery",),
            weights=weights,
            label_prior="synthetic",
            sampling=SynthesisSettings(output_samples=3),
            demonstration_tokens=128,
            encoder=base,
            encoder_name=str(self.model),
            held_out=HELD_OUT,
            metric="sari",
        )
        used = ModelUsed(str(self.model), files.digest, "auto", ENGINE)
        return entry.learn(material, tools), weights.get(entry.tuned) if entry.tuned else None, used

    def make(self, key: str, folder: Path) -> str:
        """Learn a System, save it as a product, and return the hash of its answers before that."""
        product, learned, weights = self.product(key)
        told = digest(OpenProduct(product, learned))
        save_product(product, learned, weights, folder)
        return told

    def product(self, key: str) -> tuple[Product, Learned, Artifact | None]:
        """Learn a System, and return what is said of it, what it has learnt, and its weights."""
        entry = SYSTEMS[key]
        learned, weights, model = self.learn(entry)
        labels = None if entry.fits in ("rewriting", "correction", "free text") else LABELS
        product = Product(
            FORMAT, metier.__version__, "tiny", "Name the team.", labels, key, entry.title, entry.kind, learned.form,
            model if "asked" in entry.uses else None, None, Confidence(1.7, 0.1, 0.1, 40),
            Threshold(0.9, 0.6, 0.5, 0.9, 0.9, "firm"), "the test says so", learned.nbytes,
        )  # fmt: skip
        return product, learned, weights


@pytest.fixture(scope="module")
def workshop(tiny_model: Path, task_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    (adapter,) = (task_run / "out").glob("training-??????????/adapter")
    yield Workshop(tiny_model, adapter, tmp_path_factory.mktemp("workshop"))


def test_every_kind_of_product_answers_in_a_new_process_as_when_it_was_learnt(
    workshop: Workshop, tmp_path: Path
) -> None:
    learnt = {key: workshop.make(key, tmp_path / key) for key in KEYS}
    root = Path(__file__).parents[2]
    code = [sys.executable, "-c", _OPEN, str(tmp_path)]
    told = subprocess.run(code, cwd=root, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr[-3000:]
    opened = dict(json.loads(line) for line in told.stdout.splitlines() if line.startswith("["))
    assert opened == learnt
    forms = {json.loads((tmp_path / key / "product.json").read_text())["form"] for key in KEYS}
    written = {path.stem for path in (root / "src/metier/systems").glob("*.py") if "\ndef load(" in path.read_text()}
    # What needs inputs of two parts is saved and loaded in tests/systems/test_saved.py.
    assert forms == written - {"encoder_pair"}, "every form that can be loaded is here"


def test_whatever_system_of_a_run_ships_it_answers_the_test_rows_as_evaluation_did(
    task_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(task_run, tmp_path / "task")
    out = tmp_path / "task" / "out"
    (step,) = out.glob("evaluation-??????????")
    judged: dict[str, list[str]] = {}
    for row in read_rows(step / "predictions.jsonl"):
        judged.setdefault(row["system"], []).append(row["prediction"])
    rows = tmp_path / "task" / "test.jsonl"
    for key in SHIPPED:
        command = ["run", str(tmp_path / "task" / "task.yaml"), f"ship={key}", "--out", str(out), "--quiet"]
        assert run_cli(command) == 0
        assert run_cli(["predict", str(out), str(rows), "-o", str(tmp_path / f"{key}.jsonl"), "--quiet"]) == 0
        found = [row["prediction"] for row in read_rows(tmp_path / f"{key}.jsonl")]
        assert (key, found) == (key, judged[key])


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
@pytest.mark.parametrize("how", ["missing", "half"])
def test_a_half_copied_adapter_is_refused(workshop: Workshop, tmp_path: Path, name: str, how: str) -> None:
    folder = tmp_path / "product"
    product, learned, weights = workshop.product("specialist")
    save_product(product, learned, weights, folder)
    path = folder / "weights" / name
    data = path.read_bytes()
    path.unlink()  # it is a link to the run's
    if how == "half":
        path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=f"the product is not whole .*weights/{name}"):
        metier.load(folder)
