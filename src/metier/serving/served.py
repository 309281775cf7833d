"""What is served: the products of the runs that were named, each under its name, and their base models."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from metier.core.errors import MetierError, UserError
from metier.report.facts import RunFacts
from metier.runs.load import load_facts
from metier.runs.use import Opener, product_folder, products_in
from metier.serving.base_model import ServedBase
from metier.serving.cutting import NO_LIMITS, Cutter, Limits
from metier.serving.errors import ApiError
from metier.serving.worker import Outcome
from metier.systems.asker import Asks
from metier.systems.base import Samples
from metier.systems.product import FILE, Answer, OpenProduct
from metier.systems.product_record import Product


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """An input, and where its answer is to end."""

    text: str
    limits: Limits = NO_LIMITS


@dataclasses.dataclass(frozen=True, slots=True)
class ServedProduct:
    """A product under its name.

    Attributes:
        name: The run's name, or RUN/TASK.
        opened: The product.
        folder: The task's folder in the run, where its facts and its page are.
        facts: What the run found; None where its folder is not there.
        created: When it was made, in seconds since 1970.
    """

    name: str
    opened: OpenProduct
    folder: Path
    facts: RunFacts | None
    created: int

    @property
    def product(self) -> Product:
        """What is said of it."""
        return self.opened.product

    @property
    def together(self) -> bool:
        """Whether requests may be put together without a change to their answers."""
        return not isinstance(self.opened.learned, Samples)

    @property
    def example(self) -> str | None:
        """An input from the task's own examples."""
        given = self.facts.settings.get("examples") if self.facts is not None else None
        first = given[0] if isinstance(given, list) and given else None
        return str(first["input"]) if isinstance(first, Mapping) and "input" in first else None

    @property
    def streams(self) -> bool:
        """Whether it writes its answer piece by piece."""
        return self.opened.streams

    @property
    def tokens(self) -> int | None:
        """The most tokens that an answer has; None where no language model is asked."""
        learned = self.opened.learned
        return learned.room if isinstance(learned, Asks) else None

    def answer(self, questions: Sequence[Question]) -> list[Outcome]:
        """Answer inputs as evaluation did."""
        answers = self.opened.answer([question.text for question in questions])
        finished = self.opened.finished([answer.text for answer in answers])
        sizes = self._sizes([question.text for question in questions])
        made = []
        for question, answer, ended, (size, fits) in zip(questions, answers, finished, sizes, strict=True):
            cutter = Cutter(question.limits, self._count)
            made.append(self._outcome(cutter, cutter.whole(answer.text), ended, size, fits, answer))
        return made

    def stream(self, question: Question) -> Iterator[str | Outcome]:
        """Write the answer to an input piece by piece."""
        cutter = Cutter(question.limits, self._count)
        whole = ""
        for piece in cutter.pieces(self.opened.stream(question.text)):
            whole += piece
            yield piece
        ended = self.opened.finished([whole])[0]
        yield self._outcome(cutter, whole, ended, *self._sizes([question.text])[0], None)

    def _outcome(self, cutter: Cutter, text: str, ended: bool, size: int, fits: bool, answer: Answer | None) -> Outcome:
        reason = cutter.reason or ("stop" if ended else "length")
        return Outcome((text,), (reason,), size, self._count([text])[0], fits, answer)

    def _sizes(self, texts: Sequence[str]) -> list[tuple[int, bool]]:
        """Return how many tokens each input's prompt has, and whether it fits the model's context."""
        learned = self.opened.learned
        if not isinstance(learned, Asks):
            return [(0, True)] * len(texts)
        most = learned.asker.engine.context_length - learned.room
        return [(size, size <= most) for size in learned.asker.sizes(texts)]

    def _count(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens texts have; none where no language model is asked."""
        learned = self.opened.learned
        return learned.asker.engine.count_tokens(texts) if isinstance(learned, Asks) else [0] * len(texts)


@dataclasses.dataclass(frozen=True, slots=True)
class Served:
    """All that is served, by name.

    Attributes:
        products: What runs ended with.
        bases: Their base models, where these are served too.
    """

    products: Mapping[str, ServedProduct]
    bases: Mapping[str, ServedBase] = dataclasses.field(default_factory=dict)

    @property
    def models(self) -> list[ServedProduct | ServedBase]:
        """Everything that answers."""
        return [*self.products.values(), *self.bases.values()]

    def product(self, name: str) -> ServedProduct:
        """Return a product.

        Raises:
            ApiError: There is none of that name.
        """
        if name in self.products:
            return self.products[name]
        if name in self.bases:
            raise ApiError(400, f"{name} is a base model, and only a product does this", param="model")
        raise self._unknown(name)

    def model(self, name: str) -> ServedProduct | ServedBase:
        """Return a product or a base model.

        Raises:
            ApiError: There is neither of that name.
        """
        found = self.products.get(name) or self.bases.get(name)
        if found is None:
            raise self._unknown(name)
        return found

    def _unknown(self, name: str) -> ApiError:
        known = [*self.products, *self.bases]
        shown = name.encode("utf-8", "backslashreplace").decode()[:200]
        near = difflib.get_close_matches(name[:200], known, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(known)}"
        return ApiError(404, f"the model `{shown}` is not served here; {hint}", param="model", code="model_not_found")


def open_runs(folders: Sequence[Path], *, base: bool = False) -> Served:
    """Open the products of runs.

    Args:
        folders: The runs.
        base: Whether their base models are served too.

    Raises:
        UserError: A folder has no product, two have the same name, or none has a base model to serve.
        MetierError: A product's base model or encoder is not there, or an extra is not installed.
    """
    opener = Opener()
    found: dict[str, ServedProduct] = {}
    bases: dict[str, ServedBase] = {}
    for folder in folders:
        for name, place in _named(folder).items():
            if name in found:
                raise UserError(
                    f"{folder}: another run that is served is named {name} too", hint="rename one of the two folders"
                )
            task = place.parent if place.name == "product" else place
            created = int((place / FILE).stat().st_mtime)
            found[name] = one = ServedProduct(name, opener.open(place), task, _facts(task), created)
            used = one.product.model
            if base and used is not None:
                engine, prompts = opener.open_base(place, used)
                bases.setdefault(_base_name(used.name), ServedBase(_base_name(used.name), engine, prompts, created))
    if base and not bases:
        raise UserError("--base: none of these products asks a language model", hint="leave --base out")
    if both := sorted(set(found) & set(bases)):
        raise UserError(f"--base: {both[0]} is a run's name too", hint="rename the run's folder")
    return Served(found, bases)


def _base_name(model: str) -> str:
    """Return the name a base model is served under: a folder's last part, anything else as it is."""
    return Path(model).name if Path(model).is_absolute() else model


def _named(folder: Path) -> dict[str, Path]:
    """Return the folders of a run's products by the names they are served under."""
    there = products_in(folder)
    if not there:
        product_folder(folder)  # says why there is none
    whole = folder.resolve()
    run = whole.parent.name if whole.name == "product" else whole.name
    if len(there) == 1 and "tasks" not in next(iter(there.values())).relative_to(folder).parts:
        return {run: next(iter(there.values()))}
    return {f"{run}/{task}": place for task, place in there.items()}


def _facts(folder: Path) -> RunFacts | None:
    try:
        return load_facts(folder)
    except MetierError:
        return None
