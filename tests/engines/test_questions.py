from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from metier.engines.questions import Question, questions


def test_continuations_are_asked_for_where_they_part_two_places_at_once() -> None:
    assert questions([(5, 1, 0), (5, 2, 0), (7, 0)], 128) == [
        Question((), (5, 7, 1, 2), then=5),
        Question((5, 1), (0,)),
        Question((5, 2), (0,)),
        Question((7,), (0,)),
    ]
    assert questions([(0,)], 128) == [Question((), (0,))]
    many = questions([(token, 0) for token in range(1, 301)], 128)
    assert [len(q.wanted) for q in many if not q.behind] == [128, 128, 45]  # with the end after the first one
    assert {token for q in many if not q.behind for token in q.wanted} == set(range(301))
    assert sum(len(q.behind) for q in many) == 299, "the other words' ends"


tokens = st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple)


@given(ends=st.lists(tokens, min_size=1, max_size=6), most=st.integers(2, 5))
def test_the_answers_tell_every_token_of_every_continuation(ends: list[tuple[int, ...]], most: int) -> None:
    known = set()
    for question in questions(ends, most):
        assert 1 <= len(question.wanted) <= most
        known |= {(*question.behind, token) for token in question.wanted}
        if question.then is not None:
            known |= {(*question.behind, question.then, token) for token in question.wanted}
    assert {end[:k] for end in ends for k in range(1, len(end) + 1)} <= known
