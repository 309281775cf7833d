"""What is served, by name: runs, what they ended with, and their base models."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from metier.core.progress import Reporter
from metier.engines.base import Engine
from metier.report.facts import RunFacts
from metier.runs.use import WantedModel
from metier.serving.base_model import ServedBase
from metier.serving.cutting import NO_LIMITS, Cutter, Limits
from metier.serving.errors import ApiError, clean
from metier.serving.guided import NO_GUIDE, Guide, asker_of, stream, write
from metier.serving.logprobs import Tokens
from metier.serving.mixing import writes_with, written_together
from metier.serving.model import Outcome, Piece, Pieces
from metier.systems.asker import Asks
from metier.systems.base import Samples
from metier.systems.product import Answer, OpenProduct
from metier.systems.product_record import Product


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """An input, where its answer is to end, and what else is wished for it."""

    text: str
    limits: Limits = NO_LIMITS
    guide: Guide = NO_GUIDE

    def __str__(self) -> str:
        return self.text


@dataclasses.dataclass(frozen=True, slots=True)
class ServedRun:
    """A run, or one task of a run with several, under its name.

    Attributes:
        name: The folder's name, or RUN/TASK.
        folder: Where its facts and its page are.
        facts: What it found; None for several tasks together, and where a product was copied without its run.
        product: What it ended with; None for several tasks together.
    """

    name: str
    folder: Path
    facts: RunFacts | None
    product: Product | None

    @property
    def report(self) -> Path | None:
        """Its page; None where there is none."""
        path = self.folder / "report.html"
        return path if path.is_file() else None


@dataclasses.dataclass(frozen=True, slots=True)
class ServedProduct:
    """A product under its run's name.

    Attributes:
        run: The run, or the task in it.
        opened: The product.
        created: When it was made, in seconds since 1970.
    """

    run: ServedRun
    opened: OpenProduct
    created: int

    @property
    def name(self) -> str:
        """Its name."""
        return self.run.name

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
        facts = self.run.facts
        given = facts.settings.get("examples") if facts is not None else None
        first = given[0] if isinstance(given, list) and given else None
        return str(first["input"]) if isinstance(first, Mapping) and "input" in first else None

    @property
    def streams(self) -> bool:
        """Whether it writes its answer piece by piece."""
        return self.opened.streams

    @property
    def guides(self) -> bool:
        """Whether it keeps to a JSON schema, and tells how likely tokens were."""
        return asker_of(self.opened.learned) is not None

    @property
    def tokens(self) -> int | None:
        """The most tokens that an answer has; None where no language model is asked."""
        learned = self.opened.learned
        return learned.room if isinstance(learned, Asks) else None

    @property
    def kin(self) -> object | None:
        """What it writes with, if others may write with it in the same passes."""
        return writes_with(self.opened)

    def beside(self, asked: Sequence[tuple[ServedProduct, Sequence[Question]]]) -> list[ServedProduct]:
        """Write for several products of one kin together, and return each so that it knows its answers."""
        plain = [place for place, (_, questions) in enumerate(asked) if not any(one.guide for one in questions)]
        pairs = [(asked[place][0].opened, [one.text for one in asked[place][1]]) for place in plain]
        knowing = dict(zip(plain, written_together(pairs), strict=True))
        return [dataclasses.replace(one, opened=knowing.get(place, one.opened)) for place, (one, _) in enumerate(asked)]

    def answer(self, questions: Sequence[Question]) -> list[Outcome]:
        """Answer inputs as evaluation did, unless one of them wishes for more."""
        if any(question.guide for question in questions):
            return self._guided(questions)
        answers = self.opened.answer([question.text for question in questions])
        finished = self.opened.finished([answer.text for answer in answers])
        sizes = self._sizes([question.text for question in questions])
        made = []
        for question, answer, ended, (size, fits) in zip(questions, answers, finished, sizes, strict=True):
            cutter = Cutter(question.limits, self._count)
            made.append(self._outcome(cutter, cutter.whole(answer.text), ended, size, fits, answer))
        return made

    def stream(self, question: Question) -> Pieces:
        """Write the answer to an input piece by piece."""
        cutter = Cutter(question.limits, self._count)
        asker = asker_of(self.opened.learned) if question.guide else None
        tokens = Tokens()
        pieces = (
            self.opened.stream(question.text)
            if asker is None
            else stream(asker, question.text, question.guide, tokens.note)
        )
        whole = ""
        for piece in cutter.pieces(pieces):
            whole += piece
            yield Piece(piece, tokens.within(whole))
        ended = self.opened.finished([whole])[0]
        yield self._outcome(cutter, whole, ended, *self._sizes([question.text])[0], None)

    def _guided(self, questions: Sequence[Question]) -> list[Outcome]:
        asker = asker_of(self.opened.learned)
        assert asker is not None
        texts = [question.text for question in questions]
        found = write(asker, texts, [question.guide for question in questions])
        made = []
        for question, one, (size, fits) in zip(questions, found, self._sizes(texts), strict=True):
            cutter = Cutter(question.limits, self._count)
            outcome = self._outcome(cutter, cutter.whole(one.text), one.ended, size, fits, None)
            told = question.guide.top is not None
            made.append(dataclasses.replace(outcome, steps=(one.steps,)) if told else outcome)
        return made

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


class Outside(Protocol):
    """What runs the models of all products, in place of the engines that their runs have used."""

    @property
    def scores(self) -> bool:
        """Whether it says how likely a given label is."""
        ...

    def engine(self, wanted: WantedModel) -> Engine:
        """Return an engine that may be asked once `start` has returned."""
        ...

    def start(self, reporter: Reporter) -> None:
        """Start it with all that was asked for."""
        ...

    @property
    def ended(self) -> str | None:
        """That it has ended by itself; None as long as it runs."""
        ...

    def close(self) -> None:
        """End it."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Served:
    """All that is served, by name.

    Attributes:
        runs: The runs that were named; of one with several tasks each of these too. Nothing else of the file system
            can be reached by a name.
        products: What they ended with.
        bases: Their base models, where these are served too.
        outside: What runs their models; None: they are run here.
    """

    runs: Mapping[str, ServedRun]
    products: Mapping[str, ServedProduct]
    bases: Mapping[str, ServedBase]
    outside: Outside | None = None

    @property
    def ended(self) -> str | None:
        """That what runs the models has ended; None as long as it runs, or where they are run here."""
        return self.outside.ended if self.outside is not None else None

    def close(self) -> None:
        """End what runs the models elsewhere."""
        if self.outside is not None:
            self.outside.close()

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

    def run(self, name: str) -> ServedRun:
        """Return a run.

        Raises:
            ApiError: There is none of that name.
        """
        if name in self.runs:
            return self.runs[name]
        raise ApiError(404, f"no run that is served is named `{shown(name)}`", param="name", code="run_not_found")

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
        near = difflib.get_close_matches(name[:200], known, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(known)}"
        return ApiError(
            404, f"the model `{shown(name)}` is not served here; {hint}", param="model", code="model_not_found"
        )


def shown(name: str) -> str:
    """Return a name from a request as it may stand in a message."""
    return clean(name)[:200]


def base_name(model: str) -> str:
    """Return the name of a base model: of a folder its last part, so that no path of this machine is told."""
    return Path(model).name if Path(model).is_absolute() else model
