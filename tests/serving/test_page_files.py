"""What the files of the page may hold, so that it stays offline, under a strict policy, and safe with any text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import metier

PAGE = Path(metier.__file__).parent / "serving" / "page"
FILES = sorted(PAGE.iterdir())
MODULES = [path for path in FILES if path.suffix == ".js"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_text_never_becomes_markup_or_code(path: Path) -> None:
    code = re.sub(r"//.*", "", path.read_text(encoding="utf-8"))
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\(\"style"
    assert re.findall(forbidden, code) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")  # a name, which nobody fetches
    assert re.findall(r"https?://\S+|@import|url\(", text) == []


def test_the_page_has_no_script_or_style_of_its_own() -> None:
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<style|<script>|\sstyle=|\son\w+=", html) == []
    named = re.findall(r"(?:href|src)=\"static/([^\"]+)\"", html)
    assert named and {name for name in named if not (PAGE / name).exists()} == set()


def test_every_module_is_used_and_says_its_job() -> None:
    imported = {"main.js", "theme.js"}
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        assert text.startswith("// "), path.name
        imported |= set(re.findall(r'from "\./([\w.]+)"', text))
    assert imported == {path.name for path in MODULES}
