"""A language model in memory, and the adapters that were put on it: one of them answers at a time, or none.

Several tuned models of one base so take the memory of one. An adapter's layers are added to the base in place by PEFT,
and its wrapper only switches between them.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from metier.core.errors import MetierError, first_line
from metier.engines.attention import use_grouped
from metier.engines.end_tokens import end_tokens
from metier.engines.int8 import check_int8, use_int8
from metier.engines.vocabulary import Vocabulary
from metier.models.load import load_causal, pick_device
from metier.models.tokenizer import Tokenizer

_NO_ADAPTER = "__base__"  # as PEFT names the model itself among adapters


class Weights:
    """One causal language model, loaded once.

    Args:
        folder: Folder with config, safetensors and tokenizer.
        dtype: ``auto``, ``bfloat16``, ``float32`` or ``int8``.
        device: ``auto``, ``cpu``, ``cuda`` …
        trust_remote_code: Run code that comes with the model.

    Attributes:
        model: The model, ready to run.
        tokenizer: Its tokenizer.
        device: Where it is.
        end_tokens: Tokens that end an answer.
        vocabulary: Its tokens as bytes.

    Raises:
        MetierError: No causal language model can be loaded from the folder.
        UserError: 8-bit integers are asked for and cannot be had here.
    """

    def __init__(self, folder: Path, *, dtype: str, device: str, trust_remote_code: bool) -> None:
        self.device = pick_device(device)
        if dtype == "int8":
            check_int8(self.device)
        self.model: Any
        self.tokenizer: Tokenizer
        self.model, self.tokenizer = load_causal(
            folder,
            dtype="float32" if dtype == "int8" else dtype,
            device=self.device,
            trust_remote_code=trust_remote_code,
        )
        self.model.requires_grad_(False)
        if self.device == "cpu":
            use_grouped(self.model)
        if dtype == "int8":
            use_int8(self.model, self.tokenizer)
        self.end_tokens = end_tokens(self.model, self.tokenizer)
        size = self.model.config.get_text_config().vocab_size
        self.vocabulary = Vocabulary(self.tokenizer, size, self.end_tokens)
        self._peft: Any = None
        self._names: dict[Path, str] = {}
        self._used: str | None = None

    def put_on(self, adapter: Path) -> str:
        """Put an adapter on the model, unless it is there already, and return its name for `use`.

        Raises:
            MetierError: It is not an adapter of this model.
        """
        if adapter in self._names:
            return self._names[adapter]
        name = f"adapter{len(self._names)}"
        try:
            self._load(adapter, name)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise MetierError(f"{adapter}: cannot be put on its base model ({first_line(error)})") from error
        self.model.requires_grad_(False)
        self.model.eval()
        self._names[adapter] = name
        return name

    def use(self, name: str | None) -> None:
        """Let one of the adapters answer from now on; None: the model as it is."""
        if name == self._used:
            return
        tuner = self._peft.base_model
        if name is None:
            tuner.disable_adapter_layers()
        else:
            if self._used is None:
                tuner.enable_adapter_layers()
            self._peft.set_adapter(name, inference_mode=True)
        self._used = name

    @contextlib.contextmanager
    def each_with(self, names: Sequence[str | None]) -> Iterator[None]:
        """Let each row of the batches inside be answered with its own adapter; None: with the model as it is."""
        one = next((name for name in names if name is not None), None)
        self.use(one)
        if len(set(names)) == 1:
            yield
            return
        rows = [_NO_ADAPTER if name is None else name for name in names]
        with self._peft.base_model._enable_peft_forward_hooks(adapter_names=rows):
            yield

    def _load(self, adapter: Path, name: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            if self._peft is None:
                from peft import PeftModel

                self._peft = PeftModel.from_pretrained(self.model, str(adapter), adapter_name=name)
                self._used = name
            else:
                self._peft.load_adapter(str(adapter), adapter_name=name)
