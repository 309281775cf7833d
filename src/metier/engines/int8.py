"""Linear layers in 8-bit integers, for processors that multiply them several times as fast as floating point.

A weight is kept as an integer with one scale for each output, and an input is rounded with one scale for each token.
A few inputs of a layer are hundreds of times as large as the others, the same ones for every text; one scale would
round the others away. So a layer's largest inputs, found once on a text of many kinds, are multiplied in float32, as
is all that is not a linear layer.

Sources: a scale for each token and each output, ZeroQuant (Yao et al. 2022, arXiv 2206.01861); large inputs apart,
LLM.int8 (Dettmers et al. 2022, arXiv 2208.07339), here the same ones for every batch.
"""

from __future__ import annotations

from typing import Any

import torch

from metier.core.errors import UserError
from metier.models.processor import cpu_multiplies_int8
from metier.models.tokenizer import Tokenizer

_LARGEST = 127
_ZERO = 128  # inputs are stored unsigned: that is what the processor multiplies with signed weights
_APART = 64  # inputs of a layer that stay in float32, but an eighth of them at most
_TINY = torch.finfo(torch.float32).tiny
# A letter, a pair of sentences with a label, data, code and news: which inputs are large hardly depends on it.
_TEXT = """The parcel that I ordered on 3 May, number 48-221, hasn't come, and nobody answers the phone. Where is it?
Premise: A man in a blue shirt plays the guitar on the street. Hypothesis: Nobody makes music. Answer: contradiction
{"name": "Ann", "age": 42, "items": ["milk", "bread"]}
def area(r):
    return 3.14 * r ** 2
The sea had risen by 0.4 degrees, scientists said on Tuesday; the government wants to act, but it isn't clear when."""


class Int8Linear(torch.nn.Linear):
    """A linear layer most of whose products are of 8-bit integers.

    Args:
        linear: The layer to take the place of, with float32 weights ``[outputs, inputs]``.
        apart: Which inputs are multiplied in float32.
    """

    def __init__(self, linear: torch.nn.Linear, apart: torch.Tensor) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=False, device="meta")
        weight = linear.weight.detach().float()
        self._apart = apart
        self._exact = weight[:, apart].T.contiguous()
        weight = weight.index_fill(1, apart, 0)
        self._scales = weight.abs().amax(dim=1).clamp_min(_TINY) / _LARGEST
        rounded = (weight / self._scales[:, None]).round_().to(torch.int8)
        self._packed = torch.ops.onednn.qlinear_prepack(rounded, None)
        self._zeros = torch.zeros(len(self._scales), dtype=torch.int64)
        # Adapters are put on layers that have a weight; they never read it.
        self.weight = torch.nn.Parameter(torch.empty(0, dtype=torch.int8), requires_grad=False)
        if linear.bias is not None:
            self.bias = torch.nn.Parameter(linear.bias.detach().float(), requires_grad=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return ``input @ weight.T + bias``, ``[..., outputs]``, for inputs ``[..., inputs]`` in float32."""
        rows = input.reshape(-1, self.in_features)
        others = rows.index_fill(1, self._apart, 0)
        scales = others.abs().amax(dim=1, keepdim=True).clamp_min_(_TINY) / _LARGEST
        rounded = others.div_(scales).round_().add_(_ZERO).to(torch.uint8)
        product: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            rounded, 1.0, _ZERO, self._packed, self._scales, self._zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        product.mul_(scales).addmm_(rows.index_select(1, self._apart), self._exact)
        if self.bias is not None:
            product.add_(self.bias)
        return product.reshape(*input.shape[:-1], self.out_features)


def use_int8(model: Any, tokenizer: Tokenizer) -> None:
    """Put 8-bit layers in the place of a model's linear layers, the output layer included; it must be in float32."""
    largest = _largest_inputs(model, tokenizer)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is torch.nn.Linear:
                inputs = largest[child]
                setattr(module, name, Int8Linear(child, inputs.topk(min(_APART, len(inputs) // 8)).indices))


def check_int8(device: str) -> None:
    """Refuse 8-bit integers where they cannot be had.

    Raises:
        UserError: The device is no processor, or one without instructions for them.
    """
    if device != "cpu":
        raise UserError(f"engine.dtype: int8 is for processors, not for {device}", hint="set engine.dtype=auto")
    if not cpu_multiplies_int8():
        raise UserError(
            "engine.dtype: int8 needs a processor with AVX-512 VNNI or AVX VNNI", hint="set engine.dtype=auto"
        )


@torch.inference_mode()
def _largest_inputs(model: Any, tokenizer: Tokenizer) -> dict[torch.nn.Linear, torch.Tensor]:
    """Return for each linear layer how large each of its inputs gets on one text, ``[inputs]``."""
    found: dict[torch.nn.Linear, torch.Tensor] = {}

    def see(layer: torch.nn.Linear, given: tuple[torch.Tensor], _: torch.Tensor) -> None:
        found[layer] = given[0].reshape(-1, layer.in_features).abs().amax(dim=0)

    hooks = [layer.register_forward_hook(see) for layer in model.modules() if type(layer) is torch.nn.Linear]
    ids = tokenizer(_TEXT, add_special_tokens=True)["input_ids"]
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", len(ids))
    model(input_ids=torch.tensor([ids[:limit]]))
    for hook in hooks:
        hook.remove()
    return found
