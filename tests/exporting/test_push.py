"""Pushing: what is sent where, and what stops it before anything is sent."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest

from metier.core.errors import MetierError, UserError
from metier.exporting import push as pushing
from metier.exporting.push import check_repository, files_of, push


@pytest.fixture
def made(tmp_path: Path) -> Path:
    (tmp_path / "adapter").mkdir()
    for name in ("parity.json", "README.md", "adapter/config.json"):
        (tmp_path / name).write_text("{}")
    return tmp_path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """A hub that takes everything, and what was asked of it."""
    asked: list[tuple[str, dict[str, Any]]] = []

    class Api:
        def create_repo(self, name: str, **more: Any) -> Any:
            asked.append(("create", {"name": name, **more}))
            return SimpleNamespace(repo_id=name)

        def upload_folder(self, **more: Any) -> None:
            asked.append(("upload", more))

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "token")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(pushing, "hub_answers", lambda endpoint: True)
    return asked


def test_a_repository_is_private(made: Path, hub: list[tuple[str, dict[str, Any]]]) -> None:
    push(made, "me/model")
    assert hub[0] == ("create", {"name": "me/model", "private": True, "exist_ok": True})
    assert hub[1][1]["folder_path"] == str(made) and hub[1][1]["repo_id"] == "me/model"


def test_unless_it_is_to_be_public(made: Path, hub: list[tuple[str, dict[str, Any]]]) -> None:
    push(made, "me/model", private=False)
    assert hub[0][1]["private"] is False


def test_no_token_stops_it(made: Path, hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(MetierError, match="no token"):
        push(made, "me/model")
    assert hub == []


def test_a_silent_hub_stops_it(made: Path, hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "hub_answers", lambda endpoint: False)
    with pytest.raises(MetierError, match="does not answer"):
        push(made, "me/model")
    assert hub == []


def test_a_refusal_is_told(made: Path, hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, name: str, **more: Any) -> None:
        raise PermissionError("403: not yours")

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", refuse)
    with pytest.raises(MetierError, match="me/model: the hub refused it .403: not yours"):
        push(made, "me/model")


def test_only_an_export_is_listed(made: Path) -> None:
    assert [file.name for file in files_of(made)] == ["README.md", "adapter/config.json", "parity.json"]
    (made / "parity.json").unlink()
    with pytest.raises(UserError, match="no export"):
        files_of(made)


@pytest.mark.parametrize("name", ["model", "a/b/c", "../x", "a b/c"])
def test_a_wrong_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="repository"):
        check_repository(name)
