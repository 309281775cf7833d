from __future__ import annotations

import pytest

from metier.tasks.recipes import recipe_settings
from metier.tasks.settings import SynthesisSettings, TrainingSettings


@pytest.mark.parametrize(("classification", "inputs", "temperature"), [(True, 400, 0.7), (False, 200, 0.9)])
def test_self_guide_has_the_published_settings(classification: bool, inputs: int, temperature: float) -> None:
    told = recipe_settings("self-guide", classification=classification)
    synthesis, training = SynthesisSettings(**told["synthesis"]), TrainingSettings(**told["training"])
    assert (synthesis.inputs, synthesis.prompts_per_round, synthesis.earlier_inputs) == (inputs, 10, 10)
    assert (synthesis.input_temperature, synthesis.input_top_k, synthesis.input_max_tokens) == (temperature, 40, 500)
    assert (synthesis.input_length_filter, synthesis.output_length_filter) == (classification, not classification)
    assert (synthesis.output_samples, synthesis.output_keep, synthesis.agreement) == (20, 10, 0.3)
    assert (synthesis.output_temperature, synthesis.output_top_k, synthesis.output_max_tokens) == (0.2, 10, 500)
    assert synthesis.near_duplicates is None and synthesis.noise_filter and synthesis.balance
    assert (training.method, training.learning_rate, training.epochs, training.batch_size) == ("full", 5e-5, 3, 1)
    assert (training.max_length, training.warmup_share, training.demonstrations) == (2000, 0.0, False)


def test_self_guide_trains_on_as_few_pairs_as_the_authors_were_left_with() -> None:
    for classification in (True, False):
        told = recipe_settings("self-guide", classification=classification)
        assert told["synthesis"]["min_pairs"] == 8
