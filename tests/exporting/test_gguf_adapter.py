from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metier.core.errors import MetierError, UserError
from metier.exporting.gguf_adapter import write_gguf_adapter
from tests.serving.made import make_adapter

gguf: Any = pytest.importorskip("gguf")


def test_an_adapter_is_written_as_llama_cpp_reads_it(tiny_model: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    folder = make_adapter(tiny_model, tmp_path / "adapter", 1, ("q_proj", "v_proj", "down_proj"))
    write_gguf_adapter(folder, tiny_model, tmp_path / "a.gguf")
    read = gguf.GGUFReader(str(tmp_path / "a.gguf"))
    assert read.fields["general.type"].contents() == "adapter" and read.fields["adapter.type"].contents() == "lora"
    assert read.fields["adapter.lora.alpha"].contents() == 16.0
    found = {tensor.name: tensor.data for tensor in read.tensors}
    assert len(found) == 2 * 2 * 3, "of two layers, three linear parts each"
    kept = load_file(str(folder / "adapter_model.safetensors"))
    before = "base_model.model.model.layers.1."
    assert (found["blk.1.ffn_down.weight.lora_b"] == kept[f"{before}mlp.down_proj.lora_B.weight"]).all()
    assert (found["blk.1.attn_q.weight.lora_a"] == kept[f"{before}self_attn.q_proj.lora_A.weight"]).all()
    rows = kept[f"{before}self_attn.q_proj.lora_B.weight"]  # 4 heads of 8: the halves of each take turns
    turned = np.concatenate([rows[8 * head + np.array([0, 4, 1, 5, 2, 6, 3, 7])] for head in range(4)])
    assert (found["blk.1.attn_q.weight.lora_b"] == turned).all()


def test_what_llama_cpp_does_not_have_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    folder = make_adapter(tiny_model, tmp_path / "adapter", 1)
    config = folder / "adapter_config.json"
    told = json.loads(config.read_text())
    config.write_text(json.dumps(told | {"use_dora": True}))
    with pytest.raises(UserError, match="use_dora"):
        write_gguf_adapter(folder, tiny_model, tmp_path / "a.gguf")
    config.write_text(json.dumps(told | {"use_rslora": True}))
    write_gguf_adapter(folder, tiny_model, tmp_path / "a.gguf")
    scale = gguf.GGUFReader(str(tmp_path / "a.gguf")).fields["adapter.lora.alpha"].contents()
    assert scale == 16.0 * told["r"] ** 0.5
    config.write_text("{}")
    with pytest.raises(MetierError, match="is not an adapter"):
        write_gguf_adapter(folder, tiny_model, tmp_path / "a.gguf")
