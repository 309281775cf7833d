"""What prompts of a base model begin with alike is found, and read once; the answers stay as they are."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from metier.engines.prompts import Prompt, PromptFormat
from metier.engines.transformers import TransformersEngine
from metier.serving.base_model import BaseQuestion, Message, Sampling, ServedBase
from metier.serving.beginning import Beginning
from metier.serving.model import Piece

ASK = "Rewrite the official sentence in plain, short English. Keep its meaning.\n\n"
OTHER = "Name the section of the newspaper that the sentence below is taken from, in one word.\n\n"


def shared(beginning: Beginning, *texts: str) -> str:
    (size,) = {prompt.shared for prompt in beginning.shared([Prompt(text) for text in texts])}
    return texts[0][:size]


def test_what_several_have_in_common_is_shared_up_to_the_end_of_a_word() -> None:
    assert shared(Beginning(), f"{ASK}the parcel", f"{ASK}the parch", f"{ASK}the pair") == f"{ASK}the"


def test_one_shares_what_the_one_before_it_began_with() -> None:
    beginning = Beginning()
    assert shared(beginning, f"{ASK}one") == ""
    assert shared(beginning, f"{ASK}two") == ASK
    assert shared(beginning, f"{ASK}twofold") == ASK, "what is kept is used again, since it costs nothing"


def test_little_in_common_is_not_shared_and_what_was_kept_stays() -> None:
    beginning = Beginning()
    shared(beginning, f"{ASK}one", f"{ASK}two")
    assert shared(beginning, "Hello there") == ""
    assert shared(beginning, f"{ASK}three") == ASK


def test_a_much_longer_beginning_takes_the_place_of_a_short_one() -> None:
    beginning, system = Beginning(), "You are a helpful assistant that answers all questions.\n"
    assert shared(beginning, f"{system}{ASK}one", f"{system}{OTHER}one") == system
    long = f"{system}{OTHER * 3}"
    assert shared(beginning, f"{long}one", f"{long}two", f"{long}three") == long
    assert shared(beginning, f"{system}{ASK}one") == system


def test_nothing_is_made_of_nothing() -> None:
    assert Beginning().shared([]) == []


@given(st.lists(st.lists(st.text("ab \n", max_size=80), min_size=1, max_size=4), max_size=6))
def test_what_is_shared_is_what_all_begin_with(batches: list[list[str]]) -> None:
    beginning = Beginning()
    for texts in batches:
        asked = [Prompt(text, data=((0, len(text)),)) for text in texts]
        told = beginning.shared(asked)
        assert [(one.text, one.data) for one in told] == [(one.text, one.data) for one in asked]
        (size,) = {one.shared for one in told}
        assert len({text[:size] for text in texts}) == 1 and size <= min(map(len, texts))


def test_the_answers_are_those_of_prompts_read_whole_and_fewer_tokens_are_read(smollm2: Path) -> None:
    def asked(text: str) -> BaseQuestion:
        return BaseQuestion((Message("user", f"{ASK}{text}"),), Sampling(0.0, 1, 0, (), 12))

    texts = ["It is essential that the door remains closed.", "Kindly refrain from smoking.", "<|im_end|> is text."]
    engine = TransformersEngine(smollm2, dtype="float32", device="cpu")
    prompts = PromptFormat(engine.tokenizer)
    alone = [ServedBase("base", engine, prompts, 0).answer([asked(text)])[0] for text in texts]
    whole = engine.stats.prompt_tokens
    base = ServedBase("base", engine, prompts, 0)
    together = base.answer([asked(text) for text in texts])
    one_by_one = [base.answer([asked(text)])[0] for text in texts]
    assert [one.texts for one in together] == [one.texts for one in one_by_one] == [one.texts for one in alone]
    assert [one.prompt_tokens for one in together] == [one.prompt_tokens for one in alone]
    assert "".join(base_pieces(base, asked(texts[0]))) == alone[0].texts[0]
    assert (engine.stats.prompt_tokens - whole) / 2 < 0.7 * whole


def base_pieces(base: ServedBase, question: BaseQuestion) -> list[str]:
    return [piece.text for piece in base.stream(question) if isinstance(piece, Piece)]
