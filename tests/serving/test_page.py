"""The page in a real browser, against the real server: products without a language model, and the tiny random one."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import metier
from metier.cli import run_cli
from metier.report.html import write_report
from tests.report.conftest import some_facts
from tests.runs.made import make_labelled, make_task
from tests.serving.browsing import Server, chromium, serving
from tests.serving.made import write_labels_run, write_model_run, write_replacements_run

pytest.importorskip("axe_playwright_python", reason="the page is not tested: pip install axe-playwright-python")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

KEY = "the-key-1234"
LONG = 400  # tokens that the tiny model writes: it never comes to an end by itself
DRAFT = """# They utilize it

They utilize the car. They utilize the road daily.

- They utilize the door.
- Untouched.
"""
FORMULA = "=HYPERLINK(1)"
TICKETS = f'id;message;note\n1;"the invoice; is ""wrong""";-5\n2;"the parcel\nis late";{FORMULA}\n3;the invoice;a\n'
OPTIONS = ["evaluation.baselines=[tfidf,label_scoring]", "training.epochs=1", "ship=tfidf_train"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> list[Path]:
    """Two finished runs with the same test rows, and products of every kind."""
    folder = tmp_path_factory.mktemp("page")
    task = make_task(folder / "task", tiny_model, "train: train.jsonl\ntrain_use: instead\n")
    make_labelled(task.parent)
    assert run_cli(["run", str(task), *OPTIONS, "--out", str(folder / "teams"), "--quiet"]) == 0
    shutil.copytree(folder / "teams", folder / "teams-again")
    return [
        folder / "teams",
        folder / "teams-again",
        write_labels_run(folder / "strict", threshold=0.9),
        write_replacements_run(folder / "plain"),
        write_model_run(folder / "writer", tiny_model, "zero_shot", max_tokens=LONG),
    ]


@pytest.fixture(scope="module")
def server(runs: list[Path]) -> Iterator[Server]:
    with serving(runs, "--feedback") as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=20_000)  # a busy machine is slow
    with chromium() as found:
        yield found


@pytest.fixture
def opened(browser: Browser, server: Server) -> Iterator[Callable[..., Page]]:
    """Return a function that opens the page at a product's use; nothing may fail in the browser's console."""
    contexts = []
    failed: list[str] = []

    def open_at(where: str = "", *, home: str = server.home, width: int = 1200, dark: bool = False) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light", reduced_motion="reduce"
        )
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.on("console", lambda message: failed.append(message.text) if "Security Policy" in message.text else None)
        page.goto(f"{home}{where}")
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert failed == []


def product(name: str, use: str) -> str:
    return f"#/product/{name}/{use}"


def shown(page: Page, text: str) -> Locator:
    """Return where a text is seen, and not only said to those who do not see."""
    return page.locator("#main").get_by_text(text)


def copied(page: Page) -> str:
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


def load_table(page: Page, text: str | bytes, name: str = "tickets.csv") -> None:
    data = text.encode() if isinstance(text, str) else text
    page.locator("#file").set_input_files({"name": name, "mimeType": "text/csv", "buffer": data})


def downloaded(page: Page) -> list[list[str]]:
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download as CSV").click()
    text = Path(waiting.value.path()).read_text(encoding="utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=";"))


def test_a_text_is_classified_with_a_bar_for_every_label(opened: Callable[..., Page], runs: list[Path]) -> None:
    page = opened()
    page.get_by_label("Text").fill("line 3 is down")
    page.keyboard.press("Control+Enter")
    answer = metier.load(runs[0]).classify("line 3 is down")
    assert answer.probabilities is not None
    expect(page.locator(".answer strong")).to_have_text(answer.text)
    bars = page.locator(".bars li")
    expect(bars).to_have_count(len(answer.probabilities))
    told = dict(zip(bars.locator(".name").all_inner_texts(), bars.locator(".number").all_inner_texts(), strict=True))
    assert told == {label: f"{100 * share:.1f}%" for label, share in answer.probabilities.items()}
    expect(page.locator("#said")).to_contain_text(answer.text)  # for those who do not see the bars


def test_below_the_threshold_a_person_is_asked(opened: Callable[..., Page]) -> None:
    page = opened(product("strict", "classify"))
    page.get_by_label("Text").fill("nothing of the kind")
    page.get_by_role("button", name="Classify").click()
    expect(page.locator(".answer")).to_have_text("Ask a person")
    expect(page.locator(".result")).to_contain_text("is below 90%")
    expect(page.locator(".bars.limited")).to_be_visible()


def test_an_answer_is_corrected(opened: Callable[..., Page], runs: list[Path]) -> None:
    page = opened(product("teams", "classify"))
    page.get_by_label("Text").fill("an input that no test row has")
    page.keyboard.press("Control+Enter")
    page.get_by_text("Correct this answer").click()
    page.get_by_label("The right answer").select_option("delivery")
    page.get_by_role("button", name="Send the correction").click()
    expect(shown(page, "Kept beside the run")).to_be_visible()
    assert "no test row" in (runs[0] / "feedback.jsonl").read_text()


ESCAPE_AT_FIRST_PIECE = """() => {
  const answer = document.querySelector(".stream .document");
  const press = () => answer.textContent && document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
  new MutationObserver(press).observe(answer, { childList: true });
}"""


def test_an_answer_streams_and_can_be_stopped(opened: Callable[..., Page], runs: list[Path]) -> None:
    page = opened(product("writer", "write"))
    answer = page.locator(".stream .document")
    page.get_by_label("Text").fill("the parcel came late")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("button", name="Run")).to_be_visible()
    expect(answer).not_to_be_empty()
    whole = answer.text_content()
    assert whole == metier.load(runs[4])("the parcel came late")
    page.evaluate(ESCAPE_AT_FIRST_PIECE)
    page.get_by_role("button", name="Run").click()
    expect(shown(page, "Stopped")).to_be_visible()
    part = answer.text_content()
    assert part and whole.startswith(part) and len(part) < len(whole)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert copied(page) == part


STOP_AT_FIRST_PIECE = """() => {
  const output = document.querySelector(".result");
  const press = () => {
    if (output.querySelector("progress")?.value > 0) {
      document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
    }
  };
  new MutationObserver(press).observe(output, { childList: true, subtree: true });
}"""


def test_a_long_text_shows_progress_and_can_be_stopped(opened: Callable[..., Page]) -> None:
    page = opened(product("plain", "rewrite"))
    text = " ".join(f"They utilize the car {i} times." for i in range(400))
    page.get_by_label("Text or Markdown").fill(text)
    page.evaluate(STOP_AT_FIRST_PIECE)
    page.get_by_role("button", name="Rewrite").click()
    expect(shown(page, "Stopped")).to_be_visible()
    assert 0 < page.locator(".change").count() < 400
    page.get_by_role("button", name="Accept all").click()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    made = copied(page)
    assert made.startswith("They use the car 0 times.") and made.endswith("They utilize the car 399 times.")
    assert made.replace("They use ", "They utilize ") == text


def test_changes_are_accepted_rejected_and_undone_one_by_one(opened: Callable[..., Page]) -> None:
    page = opened(product("plain", "rewrite"))
    page.get_by_label("Text or Markdown").fill(DRAFT)
    page.keyboard.press("Control+Enter")
    changes = page.locator(".change")
    expect(changes).to_have_count(3)  # the heading is no prose
    accept, reject = page.get_by_role("button", name="Accept", exact=True), page.get_by_role("button", name="Reject")
    undo, copying = page.get_by_role("button", name="Undo"), page.get_by_role("button", name="Copy")
    accept.click()
    reject.click()
    expect(shown(page, "1 change undecided")).to_be_visible()
    copying.click()
    assert copied(page) == DRAFT.replace("They utilize the car", "They use the car")
    undo.click()
    undo.click()
    expect(shown(page, "3 changes undecided")).to_be_visible()
    page.get_by_role("button", name="Accept all").click()
    page.get_by_role("button", name="Cop").click()
    page.wait_for_timeout(50)
    assert copied(page) == DRAFT.replace("They utilize the", "They use the")
    undo.click()
    page.reload()
    expect(shown(page, "3 changes undecided")).to_be_visible()  # what was decided survives, too


def test_changes_are_reviewed_with_the_keyboard(opened: Callable[..., Page]) -> None:
    page = opened(product("plain", "rewrite"))
    page.get_by_label("Text or Markdown").fill(DRAFT)
    page.keyboard.press("Control+Enter")
    page.locator(".change").first.focus()
    for key in ("r", "k", "k", "a", "j"):
        page.keyboard.press(key)
    states = [change.get_attribute("data-state") for change in page.locator(".change").all()]
    assert states == ["rejected", "open", "accepted"]
    page.keyboard.press("u")
    page.keyboard.press("Shift+A")
    states = [change.get_attribute("data-state") for change in page.locator(".change").all()]
    assert states == ["rejected", "accepted", "accepted"]


def test_review_can_be_turned_off(opened: Callable[..., Page]) -> None:
    page = opened(product("plain", "rewrite"))
    page.get_by_label("Review the changes").uncheck()
    page.get_by_label("Text or Markdown").fill(DRAFT)
    page.keyboard.press("Control+Enter")
    expect(page.locator(".result .document")).to_have_text(DRAFT.replace("They utilize the", "They use the"))
    page.get_by_label("Review the changes").check()
    expect(page.locator(".change")).to_have_count(3)


def test_why_a_sentence_stayed_is_told(opened: Callable[..., Page]) -> None:
    page = opened(product("writer", "rewrite"))
    page.get_by_label("Text or Markdown").fill("The parcel came late.")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".reasons li")).to_contain_text("The parcel came late.")
    expect(page.locator(".result")).to_contain_text("Nothing was changed")


def test_a_table_is_answered_and_downloaded(opened: Callable[..., Page], runs: list[Path]) -> None:
    page = opened(product("teams", "table"))
    load_table(page, TICKETS)
    expect(page.get_by_label("Input column")).to_have_value("1")  # by its name
    page.get_by_role("button", name="Answer the rows").click()
    expect(shown(page, "3 rows answered")).to_be_visible()
    inputs = ['the invoice; is "wrong"', "the parcel\nis late", "the invoice"]
    answers = metier.load(runs[0]).classify(inputs)
    told = [[a.text, f"{a.probability}", "false"] for a in answers]
    found = downloaded(page)
    assert found[0] == ["id", "message", "note", "prediction", "probability", "abstained"]
    assert [row[:3] for row in found[1:]] == [
        ["1", inputs[0], "-5"],
        ["2", inputs[1], f"'{FORMULA}"],
        ["3", inputs[2], "a"],
    ]
    assert [[row[3], f"{float(row[4])}", row[5]] for row in found[1:]] == told
    page.get_by_label("Put an apostrophe").uncheck()
    assert downloaded(page)[2][2] == FORMULA


def test_a_table_shows_progress_stops_and_survives_a_reload(opened: Callable[..., Page]) -> None:
    page = opened(product("writer", "table"))
    load_table(page, "text\n" + "".join(f"parcel {i}\n" for i in range(200)))
    page.get_by_role("button", name="Answer the rows").click()
    expect(shown(page, "of 200 rows, about")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    told = shown(page, "of 200 rows answered")
    expect(told).to_be_visible()
    stopped = told.inner_text()
    done = int(stopped.split()[0])
    assert 0 < done < 200
    page.reload()
    expect(told).to_have_text(stopped)
    page.get_by_role("button", name="Continue").click()
    page.wait_for_function("done => document.querySelector('progress').value > done", arg=done)
    page.get_by_role("button", name="Another table").click()
    load_table(page, "text\nanother\n")
    page.reload()
    expect(shown(page, "1 row, 1 column")).to_be_visible()
    assert page.locator("td.said").all_inner_texts() == [""]


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.pdf", b"%PDF-1.7 ...", "is a PDF"),
        ("a.xlsx", b"PK\x03\x04....", "is a spreadsheet"),
        ("a.bin", b"text \x00\x01\x02", "is not a text file"),
        ("a.csv", b"\n \n", "is empty"),
    ],
)
def test_what_is_no_table_is_refused_in_a_line(opened: Callable[..., Page], name: str, data: bytes, told: str) -> None:
    page = opened(product("teams", "table"))
    load_table(page, data, name)
    expect(page.get_by_role("alert").filter(has_text=told)).to_be_visible()


def test_tables_are_read_as_python_reads_them(opened: Callable[..., Page]) -> None:
    page = opened()
    tables: list[tuple[str, str]] = [
        (",", 'a,b\r\n"x, y","say ""no"""\r\n'),
        (";", "a;b\n1,5;\n;2\n"),
        ("\t", 'a\tb\n"two\nlines"\tit is 5" wide\n'),
        (",", "a,b,c\n,,\nlast,line,open"),
        (",", 'a,b\n"",x\n"never closed,y\n'),
    ]
    for delimiter, text in tables:
        read: dict[str, Any] = page.evaluate("text => import('/static/csv.js').then((csv) => csv.parse(text))", text)
        assert read == {
            "delimiter": delimiter,
            "rows": list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)),
        }


def test_what_was_typed_survives_a_reload(opened: Callable[..., Page]) -> None:
    page = opened(product("teams", "classify"))
    page.get_by_label("Text").fill("half a sent")
    page.reload()
    expect(page.get_by_label("Text")).to_have_value("half a sent")


def test_text_is_never_markup(opened: Callable[..., Page]) -> None:
    markup = "<img src=x onerror=document.title='run'><b>They utilize the car</b> <script>1</script>."
    page = opened(product("plain", "rewrite"))
    page.get_by_label("Text or Markdown").fill(f"See {markup}")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".result .document")).to_contain_text("<script>1</script>")
    page.goto(page.url.replace("rewrite", "table"))
    load_table(page, f"text\n{markup}\n")
    page.get_by_role("button", name="Answer the rows").click()
    expect(page.locator("td.said")).to_contain_text("<b>They use")
    assert page.locator("main img, main script, main td b").count() == 0
    assert "run" not in page.title()


def test_the_server_may_go_and_come_back(opened: Callable[..., Page], runs: list[Path]) -> None:
    with serving(runs[2:3]) as server:
        page = opened(home=server.home)
        page.get_by_label("Text").fill("the parcel is late")
        server.kill()
        page.get_by_role("button", name="Classify").click()
        notice = page.get_by_role("alert").filter(has_text="The server does not answer")
        expect(notice).to_be_visible()
        page.get_by_role("button", name="Try again").click()
        expect(notice).to_be_visible()
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_label("Text")).to_have_value("the parcel is late")
        page.keyboard.press("Control+Enter")
        server.start()
        expect(page.locator(".answer")).to_be_visible()
        expect(notice).to_be_hidden()


def test_the_key_is_asked_for_and_kept(opened: Callable[..., Page], runs: list[Path]) -> None:
    with serving(runs[2:3], key=KEY) as server:
        page = opened(home=server.home)
        for given in ("wrong", KEY):
            page.get_by_role("textbox", name="Key").fill(given)
            page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="strict")).to_be_visible()
        page.reload()
        expect(page.get_by_role("heading", name="strict")).to_be_visible()
        assert page.evaluate("Object.keys(localStorage)") == []


def test_runs_are_listed_opened_and_compared(opened: Callable[..., Page]) -> None:
    page = opened("#/runs")
    expect(page.get_by_role("row", name="teams TF-IDF")).to_be_visible()
    with page.context.expect_page() as waiting:
        page.get_by_role("row", name="teams TF-IDF").get_by_role("link", name="Report").click()
    expect(waiting.value.locator("svg.figure").first).to_be_visible()
    waiting.value.close()
    page.get_by_role("link", name="teams", exact=True).click()
    expect(page.get_by_role("img", name="score against the time")).to_be_visible()
    dots, rows = page.locator("svg.plot circle"), page.locator("table.systems tbody tr")
    assert 2 <= dots.count() <= rows.count()
    expect(page.locator("tr.ours")).to_contain_text("TF-IDF on train")
    page.goto(page.url.split("#")[0] + "#/runs")
    page.get_by_label("To", exact=True).select_option("strict")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("alert").filter(has_text="strict")).to_be_visible()  # it has no test rows
    page.get_by_label("To", exact=True).select_option("teams-again")
    page.get_by_role("button", name="Compare").click()
    expect(shown(page, "Of 10 test rows, teams-again is better on 0, as good on 10")).to_be_visible()


VIEWS = [
    product("teams", "classify"),
    product("writer", "write"),
    product("plain", "rewrite"),
    product("plain", "table"),
    "#/runs",
    "#/runs/teams",
    "#/compare/teams/teams-again",
]


@pytest.mark.parametrize("dark", [False, True])
def test_every_view_is_accessible_and_fits_a_phone(opened: Callable[..., Page], dark: bool) -> None:
    page = opened(width=360, dark=dark)
    home = page.url.split("#")[0]
    for view in VIEWS:
        page.goto(home + view)
        expect(page.locator("main h1")).to_be_visible()
        if view.endswith(("classify", "rewrite")):
            page.locator("main textarea").fill(DRAFT)
            page.keyboard.press("Control+Enter")
            expect(page.locator(".bars, .review")).to_be_visible()
        if view.endswith("table"):
            load_table(page, TICKETS)
            page.get_by_role("button", name="Answer the rows").click()
            expect(shown(page, "3 rows answered")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, view
        found = Axe().run(page)
        assert found.violations_count == 0, f"{view}: {found.generate_report()}"


def test_a_report_fits_a_phone(opened: Callable[..., Page], server: Server, tmp_path: Path) -> None:
    write_report(some_facts(), tmp_path / "report.html")
    page = opened(width=360)
    for where in (f"{server.home}/runs/teams/report", f"file://{tmp_path}/report.html"):
        page.goto(where)
        page.evaluate("() => document.querySelectorAll('details').forEach((one) => (one.open = true))")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, where


def test_everything_can_be_done_with_the_keyboard(opened: Callable[..., Page]) -> None:
    page = opened()
    expect(page.get_by_role("heading", name="teams")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Ctrl+Enter")
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    expect(page.locator("#side a[aria-current]")).to_be_focused()
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="strict")).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.type("the parcel is late? / p")  # no shortcuts while typing
    page.keyboard.press("Control+Enter")
    expect(page.locator(".answer")).to_be_visible()
    expect(page.get_by_label("Text")).to_have_value("the parcel is late? / p")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_light_and_dark_are_switched_and_kept(opened: Callable[..., Page]) -> None:
    page = opened(dark=True)
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_role("button", name="Switch to light").click()
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
