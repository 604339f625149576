"""Models by name: what is asked of the hub's client, which is replaced; nothing leaves this machine."""

import shutil
from types import SimpleNamespace

import pytest
from training_tools import Tiny, same_weights, tiny

from girsanov.errors import InputError, SavedFileError
from girsanov.training import load, push, save

hub = pytest.importorskip("huggingface_hub")


def test_a_name_is_fetched_with_the_three_files_only(tmp_path, monkeypatch):
    model, asked = tiny(), []
    save(model, tmp_path / "there")

    def snapshot_download(name, **options):
        asked.append((name, options))
        return str(tmp_path / "there")

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    assert same_weights(load("owner/name", network=Tiny(), revision="v1"), model)
    files = ["model.safetensors", "config.json", "README.md"]
    assert asked == [("owner/name", {"revision": "v1", "allow_patterns": files})]


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "snapshot_download", lambda *a, **k: pytest.fail("asked the hub"))
    save(tiny(), "runs/digits")
    load("runs/digits", network=Tiny())


def test_offline_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(SavedFileError, match="no folder 'runs/digits' here, and the hub"):
        load("runs/digits")


def test_a_missing_client_is_said(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(SavedFileError, match=r"no folder 'owner/name'.*girsanov\[hub\]"):
        load("owner/name")


def client(calls, fail=False):
    def note(name):
        def called(*args, **options):
            if fail:
                raise RuntimeError("403 Forbidden")
            calls.append((name, args, options))
            return "https://huggingface.co/owner/name"

        return called

    return lambda: SimpleNamespace(create_repo=note("create"), upload_folder=note("upload"))


def test_pushing_sends_the_three_files_only(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(hub, "HfApi", client(calls))
    save(tiny(), tmp_path)
    assert push(tmp_path, "owner/name", private=True) == "https://huggingface.co/owner/name"
    (_, args, made), (_, _, sent) = calls
    assert args == ("owner/name",) and made == {"private": True, "exist_ok": True}
    assert sent["allow_patterns"] == ["model.safetensors", "config.json", "README.md"]
    assert sent["repo_id"] == "owner/name" and sent["folder_path"] == str(tmp_path)


def test_nothing_damaged_is_pushed(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(hub, "HfApi", client(calls))
    save(tiny(), tmp_path / "m")
    with (tmp_path / "m" / "model.safetensors").open("ab") as file:
        file.write(b"x")
    shutil.copytree(tmp_path / "m", tmp_path / "n")
    (tmp_path / "n" / "config.json").unlink()
    for folder in ("m", "n", "nothing"):
        with pytest.raises(SavedFileError):
            push(tmp_path / folder, "owner/name")
    with pytest.raises(InputError, match="owner/name"):
        push(tmp_path / "m", "no name")
    assert calls == []


def test_a_refusal_of_the_hub_is_one_message(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "HfApi", client([], fail=True))
    save(tiny(), tmp_path)
    with pytest.raises(SavedFileError, match=r"could not be sent to owner/name.*403"):
        push(tmp_path, "owner/name")
