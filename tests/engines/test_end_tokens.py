from __future__ import annotations

import shutil
from pathlib import Path

from metier.engines.end_tokens import end_tokens, end_tokens_in
from metier.models.load import load_causal


def test_the_tokens_that_end_an_answer_are_the_same_without_the_model(tiny_model: Path, tmp_path: Path) -> None:
    model, tokenizer = load_causal(tiny_model, dtype="float32", device="cpu")
    found = end_tokens_in(tiny_model, tokenizer)
    assert found == end_tokens(model, tokenizer)
    assert found == {tokenizer.get_added_vocab()[name] for name in ("<|im_end|>", "<|endoftext|>")}
    bare = Path(shutil.copytree(tiny_model, tmp_path / "bare"))
    (bare / "generation_config.json").unlink()
    assert end_tokens_in(bare, tokenizer) == found
