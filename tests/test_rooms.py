"""The order of the rooms: no file imports from a room above its own, and no files import one another in a circle."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
ROOMS: tuple[tuple[str, ...], ...] = (  # from the ground up; rooms of one level do not import each other
    ("scenarios",),
    ("core",),
    ("models",),
    ("tasks",),
    ("engines",),
    ("data",),
    ("training", "selection", "synthesis", "rewriting"),
    ("evaluation",),
    ("systems",),
    ("report",),
    ("steps",),
    ("runs",),
    ("estimator",),
    ("studies",),
    ("exporting", "labelling"),
    ("serving",),
    ("commands",),
    ("cli",),
    ("__main__",),
)
LEVELS = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
# The imports that go upwards: the package is a door too, and imports what it opens when that is asked for.
KNOWN: set[tuple[str, str]] = {("metier", "metier.runs.model"), ("metier", "metier.estimator")}
Imports = dict[str, set[str]]


def read_imports(source: Path) -> Imports:
    """Return, for every module below a folder, which of these modules it imports, wherever in the file."""
    paths = {module_name(path.relative_to(source)): path for path in source.rglob("*.py")}
    return {name: set(imported(path, paths)) for name, path in paths.items()}


def module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, modules: Collection[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in modules:
                    yield inner
                elif node.module in modules:
                    yield node.module or ""


def room_of(module: str) -> str | None:
    """Return the room of a module; None for the package itself, which holds its version alone."""
    return module.split(".")[1] if "." in module else None


def upward(imports: Imports) -> set[tuple[str, str]]:
    """Return every import from a room above, or from another room of the same level."""
    pairs = ((name, target) for name, targets in imports.items() for target in targets)
    return {(name, target) for name, target in pairs if not may_import(room_of(name), room_of(target))}


def may_import(room: str | None, target: str | None) -> bool:
    if target is None or room == target:
        return True
    return room is not None and LEVELS[target] < LEVELS[room]


def circle(imports: Imports) -> list[str]:
    """Return modules that import one another in a circle; none if there is no circle."""
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_every_folder_is_a_known_room() -> None:
    assert {room_of(name) for name in read_imports(SOURCE)} - {None} <= LEVELS.keys()


def test_nobody_imports_from_a_room_above() -> None:
    found = upward(read_imports(SOURCE))
    assert sorted(found - KNOWN) == [], "these imports go upwards"
    assert sorted(KNOWN - found) == [], "these are fixed: remove them from KNOWN"


def test_no_files_import_one_another_in_a_circle() -> None:
    imports = read_imports(SOURCE)
    for module, imported_by_the_door in KNOWN:
        imports[module].discard(imported_by_the_door)
    assert circle(imports) == []


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / "metier" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "line",
    [
        "from metier.data import files",
        "from metier.data.files import read",
        "import metier.data.files",
        "def late():\n    from metier.data.files import read",
        "if TYPE_CHECKING:\n    from metier.data.files import read",
    ],
)
def test_an_upward_import_is_found_wherever_it_stands(tmp_path: Path, line: str) -> None:
    files = {"data/__init__.py": "", "data/files.py": "def read(): ...", "core/net.py": line}
    assert upward(read_imports(write(tmp_path, files))) == {("metier.core.net", "metier.data.files")}


def test_rooms_of_one_level_do_not_import_each_other(tmp_path: Path) -> None:
    files = {"training/tune.py": "from metier.selection.pool import Pool", "selection/pool.py": "class Pool: ..."}
    assert upward(read_imports(write(tmp_path, files))) == {("metier.training.tune", "metier.selection.pool")}


def test_a_circle_is_found(tmp_path: Path) -> None:
    files = {"core/a.py": "from metier.core import b", "core/b.py": "def late():\n    import metier.core.a"}
    assert {"metier.core.a", "metier.core.b"} <= set(circle(read_imports(write(tmp_path, files))))
