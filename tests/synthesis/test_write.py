from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

import pytest

from metier.core.progress import Reporter
from metier.engines.base import GenerationRequest, Progress
from metier.engines.prompts import PromptFormat
from metier.synthesis.write import synthesize
from tests.scripted import ByteTokenizer, ScriptedEngine, Shards, last_question, make_brief

PROMPTS = PromptFormat(ByteTokenizer())
ASK = "Write a new input to which the right answer is: "


class Tracks:
    """Stands for a reporter: what was tracked, and how far it came."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, str]] = []
        self.done: list[int] = []

    @contextlib.contextmanager
    def __call__(self, title: str, total: int, unit: str) -> Iterator[Progress]:
        self.told.append((title, total, unit))
        self.done.append(0)

        def update(done: int, tokens: int) -> None:
            self.done[-1] = done

        yield update


def test_backward_pairs_are_written_filtered_agreed_on_and_balanced_in_that_order() -> None:
    inputs = {
        "billing": ["charged for a box", "Sure, charged", "charged again", "my parcel came late"],
        "delivery": ["parcel is lost", "...", "Parcel is  lost", "charged twice by mistake"],
    }

    def score(prompt: str, continuation: str) -> float:
        asked = last_question(prompt)
        text, label = (continuation, asked[len(ASK) :]) if asked.startswith(ASK) else (asked, continuation)
        return -1.0 if ("charged" in text) == (label == "billing") else -3.0

    engine = ScriptedEngine({f"{ASK}{label}": texts for label, texts in inputs.items()}, score)
    tracks = Tracks()
    pairs = synthesize(make_brief(inputs=8, keep_share=1.0), engine, PROMPTS, Shards(), tracks)
    assert {c.input: (c.output, c.dropped_by) for c in pairs if c.dropped_by != "balance"} == {
        "Sure, charged": ("billing", "noise"),
        "my parcel came late": ("delivery", None),
        "parcel is lost": ("delivery", None),
        "...": ("delivery", "empty"),
        "Parcel is  lost": ("delivery", "duplicate"),
        **{c.input: ("billing", None) for c in pairs if c.kept and c.output == "billing"},
    }
    assert Counter(c.output for c in pairs if c.kept) == {"billing": 2, "delivery": 2}
    (spare,) = (c for c in pairs if c.dropped_by == "balance")
    assert "charged" in spare.input and spare.reason == "more 'billing' than the rarest class"
    assert len(pairs) == 8
    assert tracks.told == [("inputs", 8, "rows"), ("agreement", 5, "rows")]
    assert tracks.done == [8, 5]


def test_pairs_that_are_not_checked_stay_as_they_were_asked_for() -> None:
    engine = ScriptedEngine({f"{ASK}billing": ["my parcel came late"], f"{ASK}delivery": ["parcel is lost"]})
    tracks = Tracks()
    pairs = synthesize(make_brief(inputs=2, check_pairs=False), engine, PROMPTS, Shards(), tracks)
    assert [(c.input, c.output, c.kept) for c in pairs] == [
        ("my parcel came late", "billing", True), ("parcel is lost", "delivery", True),
    ]  # fmt: skip
    assert engine.scored == [] and tracks.told == [("inputs", 2, "rows")]


def test_self_guide_inputs_are_written_filtered_answered_and_voted_on_in_that_order() -> None:
    inputs = ["charged for a box", "no output", 'parcel is lost"\n\n[input]="', "which one", "neither"]

    def answer(request: GenerationRequest, sample: int) -> str:
        if request.prompt.text.endswith('[input]="'):
            return inputs[len(engine.generated) - 1]
        asked = last_question(request.prompt.text)
        if asked == "which one":
            return f"answer {sample}"
        return {"charged for a box": "billing", "parcel is lost": "It is delivery"}.get(asked, "no team")

    engine = ScriptedEngine(answer)
    tracks = Tracks()
    brief = make_brief(method="self-guide", inputs=5, output_samples=4, output_keep=4, input_length_filter=False)
    pairs = synthesize(brief, engine, PROMPTS, Shards(), tracks)
    assert [(c.input, c.output, c.dropped_by) for c in pairs] == [
        ("charged for a box", "billing", None),
        ("no output", "", "noise"),
        ("parcel is lost", "delivery", None),
        ("which one", "", "disagreement"),
        ("neither", "", "no_label"),
    ]
    assert tracks.told == [("inputs", 5, "rows"), ("answers", 4, "inputs")]
    assert tracks.done == [5, 4]


@pytest.mark.parametrize("method", ["backward", "self-guide"])
@pytest.mark.parametrize("labels", [("billing", "delivery"), None])
def test_work_on_file_is_not_done_again_and_a_reporter_can_track_it(
    method: str, labels: tuple[str, ...] | None
) -> None:
    def answer(request: GenerationRequest, sample: int) -> str:
        return f"{'billing' if request.seed % 2 else 'delivery'} {request.seed % 97} {sample}"

    brief, shards, track = make_brief(labels, method=method, inputs=30), Shards(), Reporter(quiet=True).track
    pairs = synthesize(brief, ScriptedEngine(answer, lambda prompt, text: -float(len(text))), PROMPTS, shards, track)
    assert len(pairs) >= 30
    resumed = ScriptedEngine()
    assert synthesize(brief, resumed, PROMPTS, shards, track) == pairs
    assert (resumed.generated, resumed.scored) == ([], [])
