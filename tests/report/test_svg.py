from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.report import svg

_NAMES = st.text(alphabet=st.characters(categories=("L", "P", "S", "Zs")), max_size=20)
_NUMBERS = st.floats(-1e6, 1e6)


def _shapes(markup: str, name: str) -> list[ElementTree.Element]:
    return ElementTree.fromstring(markup).findall(name)


def _percent(shape: ElementTree.Element, key: str) -> float:
    return float(shape.attrib[key].removesuffix("%"))


def test_dots_lie_in_the_order_of_their_values() -> None:
    rows = [svg.Dot("a", "10", 10), svg.Dot("b", "90", 90), svg.Dot("c", "50", 50)]
    a, b, c = (_percent(dot, "cx") for dot in _shapes(svg.dots("scores", rows, (0, 100)), "circle"))
    assert a < c < b
    assert math.isclose(c, 50.0)


def test_an_interval_reaches_from_its_low_to_its_high_end() -> None:
    figure = svg.dots("gains", [svg.Dot("a", "", 5, -10, 20)], (-20, 20), zero=True)
    whisker = next(s for s in _shapes(figure, "line") if "whisker" in s.attrib["class"])
    zero = next(s for s in _shapes(figure, "line") if s.attrib["class"] == "zero")
    assert _percent(whisker, "x1") < _percent(zero, "x1") < _percent(whisker, "x2")
    assert math.isclose(_percent(zero, "x1"), 50.0)


def test_bars_are_as_long_as_their_share_of_the_longest() -> None:
    figure = svg.bars("left", [svg.Bar("written", "100", 100), svg.Bar("noise", "60", 60, lost=40)])
    widths = [_percent(bar, "width") for bar in _shapes(figure, "rect")]
    assert widths == [100, 60, 40]


def test_a_curve_leaves_out_what_is_not_a_number() -> None:
    line = svg.Line("train", [(1, 2.0), (2, math.nan), (3, None), (4, 1.0), (5, math.inf)], "plain")
    figure = svg.lines("loss", [line], x_label="step")
    curve = [s for s in _shapes(figure, "line") if s.attrib["class"] == "curve plain"]
    assert len(curve) == 1
    assert float(curve[0].attrib["y1"]) < float(curve[0].attrib["y2"])  # down the page, as the loss goes down


def test_a_chart_of_nothing_is_nothing() -> None:
    assert svg.lines("loss", [svg.Line("train", [(1, math.nan)], "plain")], x_label="step") == ""


def test_one_point_is_drawn_as_a_dot() -> None:
    figure = svg.lines("loss", [svg.Line("train", [(1, 0.0)], "plain")], x_label="step", mark=(1, "epoch 1 kept"))
    assert len(_shapes(figure, "circle")) == 1


@given(_NAMES, _NUMBERS, _NUMBERS, _NUMBERS)
def test_every_label_and_number_makes_a_well_formed_figure(name: str, a: float, b: float, c: float) -> None:
    low, value, high = sorted((a, b, c))
    drawn = [
        svg.dots(name, [svg.Dot(name, name, value, low, high)], (low, high), zero=True),
        svg.bars(name, [svg.Bar(name, name, abs(a), abs(b))]),
        svg.lines(name, [svg.Line(name, [(abs(a), b), (abs(a) + 1, c)], "plain")], x_label=name, mark=(abs(a), name)),
    ]
    for figure in drawn:
        root = ElementTree.fromstring(figure)
        assert root.findtext("title") == name
        for shape in root.iter():
            for key in ("x", "x1", "x2", "cx"):
                assert key not in shape.attrib or -1e-6 <= _percent(shape, key) <= 100 + 1e-6


@given(_NUMBERS, _NUMBERS)
def test_ticks_are_few_rising_and_inside(a: float, b: float) -> None:
    low, high = sorted((a, b))
    found = svg.ticks(low, high)
    slack = 1e-6 * max(abs(low), abs(high), 1e-300)
    assert 1 <= len(found) <= 6
    assert found == sorted(found)
    assert low - slack <= found[0]
    assert found[-1] <= high + slack


def _drawn_width(shape: ElementTree.Element) -> float:
    """Return a label's width in pixels in DejaVu Sans, one of the widest that a browser may take; bold is wider."""
    bold = 1.08 if "strong" in shape.attrib["class"] else 1.0
    widths = {**dict.fromkeys("ijlft.,'|:;()[]- ", 5.2), **dict.fromkeys("mwMW", 13.0)}
    return bold * sum(14.0 if letter > "\u2e80" else widths.get(letter, 8.6) for letter in shape.text or "")


_LONG = "few-shot, with the synthetic pairs of the first round in the prompt"
_CASES = (
    ("over prompted, few-shot", "+12.3 [+6.1, +18.4]"),
    (f"over {_LONG}", "+12.3 [+6.1, +18.4]"),
    ("grammar_correction_of_learners_writing_at_intermediate_level", "-12.3 [-100.0, +18.4]"),
    ("simplification", "1,000 rows, 123,456 tokens (left out: 12 twice, 345 in a test, 6 too long)"),
    ("文法を直すための長い長い長い名前のついた課題です", "+12.3 [+6.1, +18.4]"),
)


@pytest.mark.parametrize(("label", "text"), _CASES)
@pytest.mark.parametrize("tone", ["plain", "good"])
def test_a_long_name_does_not_run_into_its_number(label: str, text: str, tone: str) -> None:
    column = 299  # pixels: the narrowest column of two figures side by side
    row = svg.Dot(label, text, 5, -10, 20, tone)
    for figure in (svg.dots("gains", [row, row], (-20, 20)), svg.bars("left", [svg.Bar(label, text, 5)] * 2)):
        said = [s for s in _shapes(figure, "text") if "label" in s.attrib["class"]]
        by_line: dict[str, float] = {}
        for shape in said:
            by_line[shape.attrib["y"]] = by_line.get(shape.attrib["y"], 0.0) + _drawn_width(shape)
        assert max(by_line.values()) <= column
        whole = "".join(s.text or "" for s in said).replace(" ", "")
        assert whole == 2 * f"{label}{text}".replace(" ", "")  # nothing is lost, and the number comes after the name


def test_a_row_of_several_lines_pushes_the_others_down() -> None:
    figure = svg.dots("gains", [svg.Dot(_LONG, "1", 1), svg.Dot("short", "2", 2)], (0, 2))
    texts = {s.text: float(s.attrib["y"]) for s in _shapes(figure, "text")}
    first, second = (float(s.attrib["cy"]) for s in _shapes(figure, "circle"))
    assert texts["1"] < first < texts["short"] < second < float(ElementTree.fromstring(figure).attrib["height"])


def test_a_short_name_and_its_number_share_a_line() -> None:
    said = _shapes(svg.dots("scores", [svg.Dot("label scoring, calibrated", "68.7", 1)], (0, 2)), "text")
    assert said[-2].attrib["y"] == said[-1].attrib["y"]
