from __future__ import annotations

import pytest

from metier.rewriting.guard import why_not

BEFORE = "On 3 May Anna told Paul that `run()` fails, see [the log](https://x.org/log) or mail a@b.org."


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (BEFORE, BEFORE.replace("fails", "does not work"), None),
        (BEFORE, "", "there is no answer to it"),
        (BEFORE, "   \n ", "there is no answer to it"),
        (BEFORE, BEFORE.replace("`run()`", "run"), "it lost code"),
        (BEFORE, BEFORE.replace("https://x.org/log", "https://x.org"), "it lost a link"),
        (BEFORE, BEFORE.replace("a@b.org", "us"), "it lost a link: a@b.org"),
        (BEFORE, BEFORE.replace("3 May", "May"), "it lost a number: 3"),
        (BEFORE, BEFORE.replace("Paul", "him"), "it lost a name: Paul"),
        (BEFORE, BEFORE + " There are 7.", "it made up a number: 7"),
        ("It is good.", "It is good.\nIt is.", "several lines"),
        ("It is good.", "so it is so it is so it is so it is so it is", "it repeats itself"),
        ("It is good.", "It is " + " ".join(f"w{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(40)), "too long"),
        ("It is a rather long sentence about little.", "It is.", "it lost too much"),
        ("We saw NASA there.", "We saw it there.", "it lost a name: NASA"),
        ("In the end I'm glad.", "Finally, I am glad.", None),
        ("Anna's house is big.", "The house is big.", None),  # a sentence begins with it: it may be any word
        ("He likes Anna's house.", "He likes the house of Anna.", None),
        ("The 2 of us, 2 in all, go.", "The 2 of us go.", None),
        ("Prices rose 3.5% in 2020/21.", "In 2020/21 prices rose by 3.5%.", None),
    ],
)
def test_what_a_sentence_may_not_lose(before: str, after: str, told: str | None) -> None:
    found = why_not(before, after)
    assert found is None if told is None else found is not None and told in found, found


def test_what_repeats_itself_already_may_go_on() -> None:
    text = "la la la la la la la la la la la la"
    assert why_not(text, text + " la") is None
