"""`MetierClassifier`: scikit-learn's own checks of estimators, and whole runs of the tiny model."""

from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import validate_data

import metier
from metier.core.errors import UserError
from metier.data.pairs import read_examples
from metier.estimator import MetierClassifier, Pairs, _split
from metier.systems import tfidf
from metier.systems.base import Material
from metier.systems.product import Answer, OpenProduct, save_product
from metier.systems.product_record import FORMAT, Product
from tests.systems.scripted import make_tools

TINY = (
    "train_use=instead", "training.epochs=1", "evaluation.baselines=[few_shot, tfidf]", "evaluation.timed_rows=0",
    "evaluation.max_tokens=4", "evaluation.resamples=100", "engine.dtype=float32", "engine.device=cpu",
)  # fmt: skip
TEXTS = [f"{what} {i}" for i in range(12) for what in ("the invoice is wrong", "my parcel is late")]
LABELS = ["billing", "delivery"] * 12


class OfNumbers(MetierClassifier):
    """Takes rows of numbers for words, and learns TF-IDF in place of a run: so that scikit-learn can check the rest."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.one_d_array, tags.input_tags.two_d_array = False, False, True
        return tags

    def _texts(self, X: Any, *, fitting: bool = False) -> list[str]:  # noqa: N803
        rows = validate_data(self, X, reset=fitting)
        return super()._texts([" ".join(f"w{i}x{round(v)}" for i, v in enumerate(row)) for row in rows.tolist()])

    def _product(self, task_file: Path, folder: Path) -> Path:
        pairs = [
            pair
            for name in ("train", "test")
            if (path := task_file.with_name(f"{name}.jsonl")).exists()
            for pair in read_examples(path, labels=None).examples
        ]
        labels = tuple(str(label) for label in self.classes_.tolist())
        learned = tfidf.learn(Material(labels, labelled=tuple(pairs)), make_tools(folder), source="labelled")
        product = Product(
            FORMAT, "0", "numbers", "Name it.", labels, "tfidf_train", "TF-IDF", "classic", learned.form,
            None, None, None, None, "", 0,
        )  # fmt: skip
        save_product(product, learned, None, folder)
        return folder


EXPECTED = {
    "check_estimators_pickle": "without a folder the product is in a temporary one, which a pickle would outlive",
}


@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [OfNumbers()], expected_failed_checks=lambda estimator: EXPECTED, xfail_strict=True
)
def test_scikit_learns_checks_with_numbers_for_words(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.filterwarnings("ignore:Can't test estimator")
@parametrize_with_checks([MetierClassifier()])  # type: ignore[untyped-decorator]
def test_scikit_learn_leaves_out_what_needs_numbers(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def fitted(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> MetierClassifier:
    """A classifier whose run was one of the tiny model, and which ships TF-IDF."""
    folder = tmp_path_factory.mktemp("classifier")
    made = MetierClassifier(
        "Name the team.", model=str(tiny_model), settings=(*TINY, "ship=tfidf_train"), folder=folder
    )
    return made.fit(TEXTS, LABELS)


def test_a_run_is_fitted_and_answers(fitted: MetierClassifier, tiny_model: Path) -> None:
    assert fitted.product_.system == "tfidf_train" and fitted.product_.measured is not None
    assert fitted.product_.measured.rows == 4, "a fifth of each label's rows is held out"
    assert fitted.classes_.tolist() == ["billing", "delivery"]
    asked = ["my parcel", "an invoice"]
    assert fitted.predict(asked).tolist() == ["delivery", "billing"] == fitted.model_(asked)
    shares = fitted.predict_proba(asked)
    assert shares.shape == (2, 2) and shares.argmax(axis=1).tolist() == [1, 0]
    assert np.allclose(shares.sum(axis=1), 1)
    assert fitted.score(TEXTS, LABELS) == 1.0
    assert metier.load(fitted.folder_)(asked) == fitted.model_(asked)
    again = clone(fitted).fit(TEXTS, LABELS)
    assert again.folder_ == fitted.folder_ and again.predict(asked).tolist() == ["delivery", "billing"]


def test_with_a_folder_it_is_pickled_by_its_path(fitted: MetierClassifier) -> None:
    data = pickle.dumps(fitted)
    assert len(data) < 20_000
    code = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read()).predict(['my parcel']).tolist())"
    told = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    assert told.stdout.decode().strip() == "['delivery']"
    with pytest.raises(TypeError, match="give it a folder"):
        pickle.dumps(OfNumbers().fit([[1], [2], [1], [2]], [0, 1, 0, 1]))


def test_a_temporary_folder_goes_with_the_estimator() -> None:
    made = OfNumbers().fit([[1], [2], [1], [2]], [0, 1, 0, 1])
    home = made.folder_.parent
    assert made.folder_.exists()
    del made
    gc.collect()
    assert not home.exists()


def test_examples_alone_are_enough(tiny_model: Path) -> None:
    examples: Pairs = [{"input": "I was charged twice", "output": "billing"}, ("the parcel is late", "delivery")]
    written = ("synthesis.inputs=24", "synthesis.input_max_tokens=16", "synthesis.noise_filter=false")
    loose = ("synthesis.near_duplicates=null", "synthesis.min_pairs=1", "training.holdout_share=0")
    made = MetierClassifier("Name the team.", examples, model=str(tiny_model), settings=(*TINY[1:], *written, *loose))
    made.fit()
    assert made.product_.system == "specialist" and made.product_.measured is None
    assert set(made.predict(["a bill", "a van"])) <= {"billing", "delivery"}
    assert made.predict_proba(["a bill"]).shape == (1, 2)


@pytest.mark.model
def test_the_real_model_is_fitted_and_names_classes_with_shares_that_sum_to_one(smollm2: Path) -> None:
    rows = read_examples(Path(__file__).parent.parent / "examples/newspaper-sections/test.jsonl", labels=None).examples
    two = [row for row in rows if row.output in ("sports", "food")]
    few = ("train_use=instead", "training.epochs=1", "training.holdout_share=0", "evaluation.max_tokens=4")
    asked = ("evaluation.baselines=[label_scoring]", "evaluation.timed_rows=1", "evaluation.resamples=100")
    made = MetierClassifier("Name the section of the newspaper.", settings=(*few, *asked, "ship=specialist"))
    made.fit([row.input for row in two[:12]], [row.output for row in two[:12]])
    texts = [row.input for row in two[12:20]]
    named, shares = made.predict(texts), made.predict_proba(texts)
    assert made.classes_.tolist() == ["food", "sports"] and set(named) <= {"food", "sports"}
    assert np.allclose(shares.sum(axis=1), 1) and np.all(shares > 0)
    assert named.tolist() == made.classes_[shares.argmax(axis=1)].tolist()
    assert made.score(texts, [row.output for row in two[12:20]]) > 0.5, "sports and food are told apart"


def test_a_product_without_probabilities_has_no_predict_proba_and_what_is_no_label_is_the_commonest(
    fitted: MetierClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = copy.copy(fitted)
    made.has_probabilities_ = False
    assert not hasattr(made, "predict_proba")
    with pytest.raises(AttributeError) as caught:
        _ = made.predict_proba
    assert "gives no probabilities" in str(caught.value.__cause__)
    answers = [Answer("nonsense", None, False, None), Answer("", None, True, None)]
    monkeypatch.setattr(OpenProduct, "answer", lambda self, inputs: answers)
    made._shares = {"billing": 2, "delivery": 3}
    assert made.predict(["a", "b"]).tolist() == ["delivery", "delivery"]
    assert fitted.predict_proba(["a", "b"]).tolist() == [[0.5, 0.5]] * 2, "not asked: the labels' shares"


@pytest.mark.parametrize(
    ("texts", "labels", "told"),
    [
        ([1, 2], [0, 1], "row 0 is no text but int"),
        ([["a"], ["b"]], [0, 1], "not one of 2 dimensions"),
        (["a", " "], [0, 1], "row 1 is empty"),
        (["a", "b"], [0, 0], "1 class"),
        (["a", "b"], None, "target y is None"),
        (["a", "b"], [0, 2], "not among the labels: 2"),
        ([], [], "no rows"),
    ],
)
def test_what_cannot_be_learnt_from_is_said(texts: Any, labels: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        MetierClassifier(labels=[0, 1] if labels == [0, 2] else None).fit(texts, labels)


def test_a_wrong_setting_is_told_as_on_the_command_line(tmp_path: Path) -> None:
    made = MetierClassifier(settings=("trainin.epochs=1",), folder=tmp_path)
    with pytest.raises(UserError, match="trainin"):
        made.fit(TEXTS, LABELS)


def test_rows_held_out_are_some_of_every_label_and_never_the_last() -> None:
    rows = [(str(i), "a" if i < 20 else "b") for i in range(21)]
    train, test = _split(rows, 0.25, 3)
    assert sorted(train + test) == sorted(rows) and len(test) == 5
    assert _split(rows, 0.25, 3) == (train, test) and _split(rows, 0.25, 4) != (train, test)
    assert _split(rows, 0.0, 3) == (rows, [])
