from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.rewriting.guard import why_not
from metier.rewriting.pieces import pieces, sentences

DOCUMENT = """\
---
title: A plan
---
# The plan for Mr. Smith

We met Dr. Brown at 3.30 p.m. in St. Ives. It rained! Did it stop? Yes, e.g. at noon.
The line goes on here.

- First we eat. Then we go,
  and the item goes on.
- [ ] A task to be done.
> Someone said this. And that.

| a | b |
|---|---|
| Not this. | Nor this. |

```python
print("Not this either. Really.")
```

    indented code. Stays.

<div>
Raw HTML. Stays.
</div>

[link]: https://example.org "A title. Stays."

Last one, with `a.b. C` code and [a link](https://x.org/a.b). The end
"""


def prose(text: str, by: str = "sentence") -> list[str]:
    return [piece.text for piece in pieces(text, by=by) if piece.prose]


def test_markdown_gives_its_sentences_and_nothing_else() -> None:
    assert prose(DOCUMENT) == [
        "We met Dr. Brown at 3.30 p.m. in St. Ives.",
        "It rained!",
        "Did it stop?",
        "Yes, e.g. at noon.",
        "The line goes on here.",
        "First we eat.",
        "Then we go,\n  and the item goes on.",
        "A task to be done.",
        "Someone said this.",
        "And that.",
        "Last one, with `a.b. C` code and [a link](https://x.org/a.b).",
        "The end",
    ]


def test_by_paragraph_a_paragraph_is_one_piece() -> None:
    assert prose("One. Two.\nThree.\n\nFour. Five.\n", "paragraph") == ["One. Two.\nThree.", "Four. Five."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("One. Two", ["One. ", "Two"]),
        ("He said “Stop.” She did.", ["He said “Stop.” ", "She did."]),
        ("Really?! Yes…  No.", ["Really?! ", "Yes…  ", "No."]),
        ("Version 2.5 is out. it works", ["Version 2.5 is out. it works"]),
        ("J. R. Smith came.", ["J. R. Smith came."]),
        ("これは文です。次の文です。", ["これは文です。", "次の文です。"]),
        ("هذه جملة. هل هذه جملة؟ نعم.", ["هذه جملة. ", "هل هذه جملة؟ ", "نعم."]),
        ("Great 😀! More text.", ["Great 😀! ", "More text."]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@settings(max_examples=300, deadline=None)
@given(
    text=st.text(
        alphabet=st.sampled_from("ab. !?\n\r\t>-*`|#<1[]()_~😀ع。\u2028\x0c\ufeff"),
        max_size=80,
    ),
    by=st.sampled_from(["sentence", "paragraph"]),
)
def test_pieces_are_the_text_again_whatever_it_is(text: str, by: str) -> None:
    found = pieces(text, by=by)
    assert "".join(piece.text for piece in found) == text
    assert all(piece.text == piece.text.strip() for piece in found if piece.prose)


@given(st.text(max_size=200))
def test_any_text_at_all_comes_back(text: str) -> None:
    assert "".join(piece.text for piece in pieces(text)) == text
    assert "".join(sentences(text)) == text


def test_ten_thousand_words_in_one_line_are_one_piece_and_quick() -> None:
    text = "word " * 10_000
    assert prose(text) == [text.strip()]


@pytest.mark.parametrize("text", ["", "\n\n", "😀 😀\n", "1234 5678\n", "----\n", "| a | b |\n|---|---|\n| c | d |\n"])
def test_where_there_is_no_prose_nothing_is_offered(text: str) -> None:
    assert prose(text) == []


@pytest.mark.parametrize(
    "text", ["`" * 20_000, "` `` " * 5000, "[" * 20_000, "a. " * 20_000, ">" * 3000 + " a b", "<a " * 8000]
)
def test_texts_made_to_be_slow_are_not(text: str) -> None:
    start = time.perf_counter()
    assert "".join(piece.text for piece in pieces(text)) == text
    why_not(text, text)
    assert time.perf_counter() - start < 8  # a second at most; the first of them took eleven once
