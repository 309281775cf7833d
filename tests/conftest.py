"""What tests share: a tiny model made on the spot, the real small model, and a task."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# The tiny model's tensors are so small that threads wait for each other more than they compute; where the machine is
# busy, many times more. Torch reads this when it is imported. `_threads` gives the real models all cores again.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A busy machine is slow, and a slow example is no fault.
settings.register_profile("metier", deadline=None)
settings.load_profile("metier")

CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXTS = (
    "the parcel came late and nobody rang",
    "I was charged twice for one order this month",
    "the app closes when I open the search page",
    "write a new input to which the right answer is billing or delivery",
)


_imported = 0  # modules, when what is imported was last set apart


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Set what is imported apart from what garbage collection looks through, each time much was imported.

    A run lets its models go by a collection, five in a small one. With all libraries in memory each took 0.3 s of a
    processor, and together more than all else that a run of the tiny model does.
    """
    global _imported
    if len(sys.modules) > _imported + 50:
        gc.freeze()
        _imported = len(sys.modules)


@pytest.fixture(scope="session", autouse=True)
def _disk() -> Iterator[None]:
    """Let what is written in this process not wait for the disk, 200 times in a small run; other processes do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def _threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let a test that asks for a real model use all cores, or its share where several processes run tests."""
    if not {"smollm2", "smollm2_gguf"} & set(request.fixturenames):
        yield
        return
    import torch

    before = torch.get_num_threads()
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
    yield
    torch.set_num_threads(before)


def make_tiny_model(folder: Path, *, chat: bool = True) -> Path:
    """Write a two-layer Llama with random weights and a byte-level tokenizer: a real model, quick and of no use."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(TEXTS * 4, trainer)
    fast: Any = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>" if chat else "<|endoftext|>",
        pad_token="<|endoftext|>",
    )
    if chat:
        fast.chat_template = CHAT
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
        initializer_range=0.3,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny chat model."""
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny model without a chat template."""
    return make_tiny_model(tmp_path_factory.mktemp("tiny-base"), chat=False)


@pytest.fixture(scope="session")
def task_run(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small classification task (``task.yaml``) and its finished run with every baseline (``out``).

    Copy it before anything is run in it.
    """
    from metier.cli import run_cli
    from tests.runs.made import make_task

    folder = tmp_path_factory.mktemp("task-run")
    assert run_cli(["run", str(make_task(folder, tiny_model)), "--out", str(folder / "out"), "--quiet"]) == 0
    return folder


@pytest.fixture(scope="session")
def scenario_run(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small scenario of two rewriting tasks and its finished run (``out``). Copy it before use."""
    from metier.cli import run_cli
    from tests.runs.made import make_scenario

    folder = make_scenario(tmp_path_factory.mktemp("scenario-run"), tiny_model)
    assert run_cli(["run", str(folder), "--out", str(folder / "out"), "--quiet"]) == 0
    return folder


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """Folder of the real default model, fetched once into the model cache."""
    from metier.models.fetch import fetch_model

    return fetch_model("smollm2-135m-instruct")


@pytest.fixture(scope="session")
def smollm2_gguf() -> Path:
    """The real default model as the GGUF file it comes in."""
    from metier.models.fetch import fetch_gguf

    return fetch_gguf("smollm2-135m-instruct")


@pytest.fixture(scope="session")
def encoder() -> Path:
    """Folder of the real sentence encoder, fetched once into the model cache."""
    from metier.models.fetch import fetch_model

    return fetch_model("all-minilm-l6-v2")
