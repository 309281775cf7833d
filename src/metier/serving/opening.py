"""Opens what is served: the runs that were named, what each ended with, and their base models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from metier.core.errors import MetierError, UserError
from metier.core.progress import Reporter
from metier.core.threads import in_a_thread_that_ends
from metier.engines.base import Engine
from metier.engines.prompts import PromptFormat
from metier.report.facts import RunFacts
from metier.runs.load import load_facts
from metier.runs.use import Elsewhere, Opener, product_folder, products_in
from metier.serving.base_model import ServedBase
from metier.serving.on_llamacpp import OnLlamaCpp
from metier.serving.served import Outside, Served, ServedProduct, ServedRun, base_name
from metier.systems.base import Writes
from metier.systems.product import FILE, OpenProduct
from metier.systems.product_record import ModelUsed


def open_runs(
    folders: Sequence[Path], *, base: bool = False, llamacpp: bool = False, outside: Outside | None = None
) -> Served:
    """Open runs and their products.

    Args:
        folders: The runs.
        base: Whether their base models are served too.
        llamacpp: Whether llama.cpp runs their models: a single product by the GGUF file that it was exported to,
            several by a file of their base model and their adapters.
        outside: Runs their models; it is started here. None: each is run as its run did.

    Raises:
        UserError: A folder has no product, two have the same name, or none has a base model to serve.
        MetierError: A product's base model or encoder is not there, an extra is not installed, or what is to run the
            models does not start.
    """
    alone = llamacpp and not base and sum(len(products_in(folder)) for folder in folders) == 1
    if llamacpp and not alone:
        outside = OnLlamaCpp()
    opener, elsewhere = Opener(), outside.engine if outside is not None else None
    runs: dict[str, ServedRun] = {}
    products: dict[str, ServedProduct] = {}
    bases: dict[str, ServedBase] = {}
    for folder in folders:
        name = _name(folder)
        if name in runs:
            raise UserError(f"{folder}: another run here is named {name} too", hint="rename one of the two folders")
        there = products_in(folder)
        if not there:
            product_folder(folder)  # says why there is none
        several = (folder / "tasks").is_dir()
        if several:
            runs[name] = ServedRun(name, folder, None, None)
        for task, place in there.items():
            opened = _opened(opener, place, elsewhere, alone)
            if outside is not None:
                _check_can(outside, place, opened)
            own = place.parent if place.name == "product" else place
            run = ServedRun(f"{name}/{task}" if several else name, own, _facts(own), opened.product)
            runs[run.name] = run
            one = ServedProduct(run, opened, int((place / FILE).stat().st_mtime))
            products[run.name] = one
            if base:
                _add_base(bases, place, one, partial(opener.open_base, elsewhere=elsewhere))
    if base and not bases:
        raise UserError("--base: none of these products asks a language model", hint="leave --base out")
    if both := sorted(set(runs) & set(bases)):
        raise UserError(f"--base: {both[0]} is a run's name too", hint="rename the run's folder")
    if outside is not None:
        outside.start(Reporter())
    return Served(runs, products, bases, outside)


def _opened(opener: Opener, place: Path, elsewhere: Elsewhere | None, gguf: bool) -> OpenProduct:
    if gguf:
        return opener.open_with_gguf(place, _gguf(place))
    # Models are run by another thread than this one.
    return in_a_thread_that_ends(partial(opener.open, place, elsewhere))


def _name(folder: Path) -> str:
    """Return the name of a run's folder, or of the run that a product's folder is in."""
    whole = folder.resolve()
    return whole.parent.name if whole.name == "product" else whole.name


def _gguf(place: Path) -> Path:
    """Return the file that a product was exported to.

    Raises:
        UserError: There is none, or the product is newer.
    """
    owner = place.parent if place.name == "product" else place
    path = owner / "export" / "gguf" / "model.gguf"
    if not path.is_file():
        raise UserError(f"--engine llamacpp: there is no {path}", hint=f"metier export {owner} --to gguf")
    if path.stat().st_mtime < (place / FILE).stat().st_mtime:
        raise UserError(f"{path}: older than the product", hint=f"metier export {owner} --to gguf")
    return path


def _check_can(outside: Outside, folder: Path, opened: OpenProduct) -> None:
    """Refuse a product that asks what the engine does not tell."""
    if opened.product.model is not None and not outside.scores and not isinstance(opened.learned, Writes):
        raise UserError(
            f"{folder}: {opened.product.title} asks how likely labels are, which llama.cpp does not tell",
            hint="leave --engine out",
        )


def _add_base(
    bases: dict[str, ServedBase],
    place: Path,
    one: ServedProduct,
    opened: Callable[[Path, ModelUsed], tuple[Engine, PromptFormat]],
) -> None:
    used = one.product.model
    if used is None:
        return
    name = base_name(used.name)
    if name not in bases:
        engine, prompts = in_a_thread_that_ends(partial(opened, place, used))
        bases[name] = ServedBase(name, engine, prompts, one.created)


def _facts(folder: Path) -> RunFacts | None:
    try:
        return load_facts(folder)
    except MetierError:
        return None
