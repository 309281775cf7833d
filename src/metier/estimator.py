"""A run as a scikit-learn classifier of texts: ``MetierClassifier(instruction=…, examples=…).fit(texts, labels)``.

It is imported when it is first used (``metier.MetierClassifier``), as scikit-learn takes its time.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from metier.core import storage
from metier.core.progress import Reporter
from metier.runs.model import Model, load
from metier.tasks.task import DEFAULT_MODEL

Pair = tuple[str, Any]
Pairs = Sequence[Pair | Mapping[str, Any]]
Floats = npt.NDArray[np.float64]
_SEEDS = 2**31 - 1


def _gives_probabilities(estimator: MetierClassifier) -> bool:
    """Whether the product that was fitted has probabilities; before that it may yet."""
    if not getattr(estimator, "has_probabilities_", True):
        raise AttributeError(
            f"the product ({estimator.product_.title}) gives no probabilities: one that does is chosen with "
            "settings=('ship=tfidf_train',) or the like"
        )
    return True


class MetierClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classifies texts with what a run ends with: the cheapest System that is good enough.

    ``fit`` is a whole run (minutes; `metier plan` says how long), so wide searches over parameters are not for it. A
    fitted one is pickled by the path of its product, without the models, and so only if it was given a folder.

    Args:
        instruction: What to do, as you would tell a person.
        examples: Hand-written pairs, (text, label) or {"input": …, "output": …}; none: one row of each label in `fit`.
        labels: All possible labels; None: those of the rows and examples.
        model: The language model: a catalogue name, hub id, folder or .gguf file.
        settings: Any settings of a task file, as on the command line: ``("training.epochs=2", "ship=encoder_train")``.
        holdout: Share of the rows that is not trained on, and by which the product is chosen; 0: none is, and the tuned
            model ships untested.
        budget: Fit the run to a time: ``90s``, ``10m``, ``2h``.
        folder: Where the run is kept: fitting again on the same rows resumes it. None: in a temporary folder, which
            goes with the estimator.
        random_state: Seeds the run and the choice of rows that are held out.
        verbose: Whether to show progress.

    Attributes:
        classes_: The labels, sorted.
        product_: What is said of the product: its System, why it ships, its scores.
        model_: The product itself, as `metier.load` returns it: probabilities, abstention, streaming.
        has_probabilities_: Whether there is `predict_proba`.
        folder_: Where the product is.
    """

    def __init__(
        self,
        instruction: str = "Name the label of the text.",
        examples: Pairs = (),
        *,
        labels: Sequence[Any] | None = None,
        model: str = DEFAULT_MODEL,
        settings: Sequence[str] = (),
        holdout: float = 0.2,
        budget: str | None = None,
        folder: str | Path | None = None,
        random_state: Any = 0,
        verbose: bool = False,
    ) -> None:
        self.instruction = instruction
        self.examples = examples
        self.labels = labels
        self.model = model
        self.settings = settings
        self.holdout = holdout
        self.budget = budget
        self.folder = folder
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any = None, y: Any = None) -> Self:  # noqa: N803
        """Run the task in the estimator's folder and keep its product.

        Args:
            X: Texts. None: the run has the examples alone, and all else is what the model writes itself.
            y: Their labels: text, numbers or booleans.

        Raises:
            ValueError: The rows or labels cannot be learnt from.
            MetierError: The run failed; with a folder, fitting again resumes it.
        """
        texts, answers = self._rows(X, y)
        examples = [_pair(pair) for pair in self.examples]
        known = [label for _, label in examples]
        self.classes_ = np.unique(np.asarray(self.labels if self.labels is not None else [*answers, *known]))
        by_text = {str(label): label for label in self.classes_.tolist()}
        if len(by_text) < 2:
            raise ValueError(f"at least two labels are needed; got {len(by_text)} class: {list(by_text)}")
        if unknown := {str(label) for label in (*answers, *known)} - set(by_text):
            raise ValueError(f"not among the labels: {', '.join(sorted(unknown))}")
        seed = self.random_state
        if not isinstance(seed, int):
            seed = int(check_random_state(seed).randint(_SEEDS))
        rows = [(text, str(label)) for text, label in zip(texts, answers, strict=True)]
        train, test = _split(rows, self.holdout, seed)
        first = {label: (text, label) for text, label in reversed(train)}
        shown = [(text, str(label)) for text, label in examples] or [first[label] for label in sorted(first)]
        if not shown:
            raise ValueError("there are neither examples nor rows to learn from")
        self._shares = dict(Counter(label for _, label in rows or shown))
        home = self._home()
        task = _write_task(home, self._said(list(by_text), shown, seed), train, test)
        self.folder_ = self._product(task, home / "run")
        self._opened: Model | None = None
        self.product_ = self.model_.product
        self.has_probabilities_ = self.model_.classify(shown[0][0]).probabilities is not None
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """Return the label of each text.

        Where the product gives none (a text too long for its model), it is the commonest label of the rows. Whether it
        would rather abstain is in ``model_.classify(texts)``.
        """
        check_is_fitted(self)
        by_text = {str(label): i for i, label in enumerate(self.classes_.tolist())}
        common = by_text[max(self._shares, key=lambda label: self._shares[label])]
        found = self.model_(self._texts(X))
        return self.classes_[[by_text.get(text, common) for text in found]]

    @available_if(_gives_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Floats:  # noqa: N803
        """Return how likely each label is for each text, ``[texts, labels]``, in the order of ``classes_``.

        A text that does not fit the model's context has the labels' shares in the rows. There is no such method where
        the product gives no probabilities: made-up ones would be taken for real.
        """
        check_is_fitted(self)
        names = [str(label) for label in self.classes_.tolist()]
        found = [answer.probabilities or {} for answer in self.model_.classify(self._texts(X))]
        rows = np.array([[share.get(name, 0.0) for name in names] for share in found]).reshape(len(found), len(names))
        rows[rows.sum(axis=1) == 0] = [self._shares.get(name, 0) for name in names]
        shares: Floats = rows / rows.sum(axis=1, keepdims=True)
        return shares

    @property
    def model_(self) -> Model:
        """The product, opened when it is first asked for."""
        check_is_fitted(self, "folder_")
        if self._opened is None:
            self._opened = load(self.folder_)
        return self._opened

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "folder_" in state and self.folder is None:
            raise TypeError("a fitted MetierClassifier is pickled by the path of its product: give it a folder=")
        return state | ({"_opened": None} if "folder_" in state else {})

    def _rows(self, X: Any, y: Any) -> tuple[list[str], list[Any]]:  # noqa: N803
        """Return texts and labels."""
        if X is None and y is None:
            return [], []
        if X is None or y is None:
            raise ValueError(
                "requires y to be passed, but the target y is None: fit takes texts and labels, or neither"
            )
        texts = self._texts(X, fitting=True)
        check_classification_targets(y)
        answers = column_or_1d(y, warn=True)
        check_consistent_length(texts, answers)
        return texts, answers.tolist()

    def _texts(self, X: Any, *, fitting: bool = False) -> list[str]:  # noqa: N803
        """Return the texts of ``X``."""
        rows = np.asarray(X, dtype=object)
        if rows.ndim != 1:
            raise ValueError(f"one text a row is expected: a list or 1-D array, not one of {rows.ndim} dimensions")
        for i, text in enumerate(rows):
            if not isinstance(text, str):
                raise ValueError(f"row {i} is no text but {type(text).__name__}")
            if fitting and not text.strip():
                raise ValueError(f"row {i} is empty")
        if fitting and not len(rows):
            raise ValueError("there are no rows: 0 texts")
        return [str(text) for text in rows]

    def _home(self) -> Path:
        if self.folder is not None:
            return Path(self.folder)
        home = Path(tempfile.mkdtemp(prefix="metier-"))
        weakref.finalize(self, shutil.rmtree, home, ignore_errors=True)
        return home

    def _said(self, labels: list[str], examples: Sequence[tuple[str, str]], seed: int) -> dict[str, Any]:
        here = Path(self.model).expanduser()
        return {
            "name": "classifier",
            "instruction": self.instruction,
            "labels": labels,
            "examples": [{"input": text, "output": label} for text, label in examples],
            "model": str(here.resolve()) if here.exists() else self.model,
            "seed": seed,
        }

    def _product(self, task_file: Path, folder: Path) -> Path:
        """Run a task file in a folder, and return where its product is."""
        from metier.runs.plan import fit_to_budget, parse_time
        from metier.runs.run import run
        from metier.runs.use import product_folder
        from metier.tasks.read_task import load_task
        from metier.tasks.scenario import of_one

        scenario = of_one(load_task(task_file, list(self.settings)))
        if self.budget is not None:
            folder.mkdir(parents=True, exist_ok=True)
            scenario = fit_to_budget(scenario, parse_time(self.budget), folder)
        run(scenario, folder, Reporter(quiet=not self.verbose))
        return product_folder(folder)


def _pair(pair: Pair | Mapping[str, Any]) -> Pair:
    text, label = (pair["input"], pair["output"]) if isinstance(pair, Mapping) else pair
    return text, label


def _split(
    rows: Sequence[tuple[str, str]], share: float, seed: int
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the rows to train on and those held out: of every label that share, and never its last row."""
    if not 0 <= share < 1:
        raise ValueError(f"holdout is a share of the rows from 0 to below 1, not {share}")
    draw = np.random.default_rng(seed)
    held: set[int] = set()
    for label in sorted({label for _, label in rows}):
        own = [i for i, (_, of) in enumerate(rows) if of == label]
        held |= set(draw.permutation(own)[: min(round(share * len(own)), len(own) - 1)].tolist())
    return [row for i, row in enumerate(rows) if i not in held], [rows[i] for i in sorted(held)]


def _write_task(
    folder: Path, said: dict[str, Any], train: Sequence[tuple[str, str]], test: Sequence[tuple[str, str]]
) -> Path:
    """Write a task file and its rows, and return the file; it runs by itself, too."""
    for name, rows in (("train", train), ("test", test)):
        if rows:
            path = folder / f"{name}.jsonl"
            storage.write_lines(path, [{"input": text, "output": label} for text, label in rows])
            said = said | {name: path.name}
    storage.write_json(folder / "task.yaml", said)  # JSON is YAML
    return folder / "task.yaml"
