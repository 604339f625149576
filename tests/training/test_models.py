"""Saved models: the bits come back, differences are named, and no code is run."""

import json
import pickle
from dataclasses import replace

import pytest
import torch
from torch import nn
from training_tools import Tiny, same_weights, tiny

from girsanov import networks, processes
from girsanov.denoiser import Denoiser
from girsanov.errors import GirsanovError, InputError, SavedFileError, UnknownName, Unsuitable
from girsanov.training import Card, load, read_card, read_config, save
from girsanov.training.tensorfile import write_tensors

PROCESSES = {
    name: make() if name != "DiscreteVP" else make([0.9, 0.5, 0.1])
    for name, make in processes.PROCESSES.items()
}


def mlp(process=None, **kinds):
    return Denoiser(networks.MLP(2, hidden=8, depth=1), process or processes.VP(), shape=(2,), **kinds)


def shaken(model):
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(generator=torch.Generator().manual_seed(0))
    return model


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_every_process_comes_back(tmp_path, process):
    options = {"data_std": None} if process.end == "marginal" else {}
    model = shaken(
        Denoiser(Tiny() if process.end != "anchor" else networks.MLP(4, outputs=2), process, **options)
    )
    save(model, tmp_path / "m")
    found = load(
        tmp_path / "m", network=type(model.network)(4, outputs=2) if process.end == "anchor" else Tiny()
    )
    assert found.process == process and found.data_std == model.data_std and same_weights(found, model)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["plain", "with space", "ünïcode 名", "new\nline"])
def test_a_registered_network_needs_nothing_else(tmp_path, kind, name):
    model = shaken(mlp(predicts="velocity", data_std=0.7).to(kind))
    save(model, tmp_path / name)
    found, x = load(tmp_path / name), torch.randn(3, 2, dtype=kind)
    assert (found.stored, found.data_std, found.shape) == (("velocity",), 0.7, (2,))
    assert torch.equal(found.data(x, 0.3), model.data(x, 0.3)) and not found.training
    assert {p.name for p in (tmp_path / name).iterdir()} == {"model.safetensors", "config.json", "README.md"}


def test_loading_leaves_the_global_random_state_alone(tmp_path):
    save(mlp(), tmp_path)
    before = torch.get_rng_state()
    load(tmp_path)
    assert torch.equal(before, torch.get_rng_state())


def test_tied_weights_and_buffers_are_saved(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.norm = nn.Linear(2, 2), nn.Linear(2, 2), nn.BatchNorm1d(2)
            self.b.weight = self.a.weight

        def forward(self, x, t, cond):
            return self.norm(self.b(self.a(x)))

    model = Denoiser(Tied(), processes.VP())
    model.network.norm.running_mean.fill_(0.25)
    save(model, tmp_path)
    assert same_weights(load(tmp_path, network=Tied()), model)


def test_a_network_of_the_users_own_is_asked_for(tmp_path):
    save(tiny(), tmp_path)
    with pytest.raises(InputError, match=r"Tiny.*network=") as refusal:
        load(tmp_path)
    assert not isinstance(refusal.value, SavedFileError)


def test_a_network_of_another_library_with_a_config_is_not_taken_for_ours(tmp_path):
    model = tiny()
    model.network.config = {"network": "MLP", "features": 2}
    save(model, tmp_path)
    assert read_config(tmp_path)["network"] is None


@pytest.mark.parametrize(
    "network, message",
    [
        (Tiny(2, 16), r"first.weight is float32 \(8, 3\) in the file and float32 \(16, 3\)"),
        (Tiny().double(), "first.weight is float32"),
        (nn.Linear(2, 2), "weight is missing"),
        (nn.Sequential(), "first.weight is not part of this model"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_with_the_differences(tmp_path, network, message):
    save(tiny(), tmp_path)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(SavedFileError, match=message):
        load(tmp_path, network=network)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_weights_that_were_cut_altered_or_replaced_are_refused(tmp_path):
    save(shaken(mlp()), tmp_path)
    path = tmp_path / "model.safetensors"
    content = path.read_bytes()
    for part in range(0, 64, 3):
        path.write_bytes(content[: len(content) * part // 64])
        with pytest.raises(SavedFileError, match="SHA-256"):
            load(tmp_path)
    for place in range(0, len(content), 97):
        path.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
        with pytest.raises(SavedFileError, match="SHA-256"):
            load(tmp_path)
    write_tensors(path, shaken(mlp()).network.double().state_dict(), {})
    with pytest.raises(SavedFileError, match="SHA-256"):
        load(tmp_path)


def altered(folder, **fields):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for name, value in fields.items():
        config[name] = value
        if value is None:
            del config[name]
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"version": 2}, SavedFileError, "has version 2.*Update girsanov"),
        ({"version": "1"}, SavedFileError, "version in .* is str"),
        ({"format": "other"}, SavedFileError, "not of a model saved by girsanov"),
        ({"file": "../../etc/passwd"}, SavedFileError, "the fields file that do not belong"),
        ({"weights": "/etc/passwd"}, SavedFileError, "the fields weights"),
        ({"process": None}, SavedFileError, "lacks the fields process"),
        ({"process": "VP"}, SavedFileError, "process in .* is str"),
        ({"process": {"schedule": "os.system"}}, UnknownName, "schedule"),
        ({"process": {"schedule": "LinearV"}}, UnknownName, "Did you mean LinearVP"),
        ({"network": {"network": "ML"}}, UnknownName, "Did you mean MLP"),
        ({"network": {"network": "subprocess.Popen"}}, UnknownName, "unknown network"),
        ({"network": {"network": "MLP", "features": 3}}, SavedFileError, "does not fit MLP"),
        ({"network": {"network": "MLP", "features": "2"}}, InputError, "features"),
        ({"network": {"network": "MLP", "features": 2, "path": "../x"}}, UnknownName, "argument of MLP"),
        ({"network": ["MLP"]}, SavedFileError, "network in .* is list"),
        ({"dtype": "float99"}, UnknownName, "dtype"),
        ({"dtype": "float64"}, SavedFileError, "is float32 .* and float64"),
        ({"predicts": ["nois"]}, UnknownName, "noise"),
        ({"predicts": "data"}, SavedFileError, "predicts in .* is str"),
        ({"predicts": []}, GirsanovError, "predict"),
        ({"data_std": "0.5"}, SavedFileError, "data_std in .* is str"),
        ({"data_std": -1.0}, InputError, "data_std"),
        ({"shape": "2"}, SavedFileError, "shape in .* is str"),
        ({"shape": [2, "x"]}, SavedFileError, "shape"),
        ({"weights_sha256": "../x"}, SavedFileError, "SHA-256"),
        ({"weights_sha256": 5}, SavedFileError, "weights_sha256 in .* is int"),
    ],
    ids=str,
)
def test_a_config_that_was_tampered_with_is_refused(tmp_path, change, error, message):
    save(mlp(), tmp_path)
    altered(tmp_path, **change)
    with pytest.raises(error, match=message):
        load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[" * 10**5, '{"format": NaN}', '{"a": 1, "a": 1}', "\ud800"])
def test_a_config_that_is_no_json_is_refused(tmp_path, text):
    save(mlp(), tmp_path)
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(SavedFileError, match=r"config\.json"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["model.pt", "pytorch_model.bin", "weights.pkl"])
def test_a_folder_with_a_pickle_only_is_refused_with_the_reason(tmp_path, name):
    class Payload:
        def __reduce__(self):
            return open, (str(tmp_path / "touched"), "w")

    (tmp_path / name).write_bytes(pickle.dumps(Payload()))
    for place in (tmp_path, tmp_path / name):
        with pytest.raises(SavedFileError, match="can run any program"):
            load(place)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda p: p / "nothing", "there is no folder"),
        (lambda p: p / "m" / "model.safetensors", "is a file; give the folder"),
        (lambda p: p / "empty", "holds no model.safetensors"),
        (lambda p: p / "run", "a run that has not ended"),
        (lambda p: str(p) + "\0", "no folder name"),
        (lambda p: "../../no/such/place", "there is no folder"),
        (lambda p: "~/secret", "there is no folder"),
        (lambda p: "C:\\models", "there is no folder"),
        (lambda p: "owner/../name", "there is no folder"),
        (lambda p: "x" * 5000, "there is no folder"),
    ],
)
def test_a_place_without_a_model_is_refused(tmp_path, make, message):
    save(mlp(), tmp_path / "m")
    (tmp_path / "empty").mkdir()
    (tmp_path / "run" / "checkpoint").mkdir(parents=True)
    with pytest.raises(SavedFileError, match=message):
        load(make(tmp_path))


def test_what_cannot_be_saved_is_refused(tmp_path):
    class Other:
        pass

    model = mlp()
    model.process = Other()
    with pytest.raises(Unsuitable, match="known process"):
        save(model, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_files_of_something_else_are_not_written_over(tmp_path):
    (tmp_path / "README.md").write_text("my project")
    with pytest.raises(SavedFileError, match=r"README\.md of something else"):
        save(mlp(), tmp_path)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["my project"]
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(SavedFileError, match="something else"):
        save(mlp(), tmp_path)


def test_a_model_is_replaced_and_its_card_kept_or_changed(tmp_path):
    save(mlp(), tmp_path, card=Card(data={"classes": ["a", "b"]}, license="mit"))
    model = shaken(load(tmp_path))
    save(model, tmp_path, card=replace(read_card(tmp_path), results={"one_nn": 0.5}))
    assert same_weights(load(tmp_path), model)
    card = read_card(tmp_path)
    assert card.data == {"classes": ["a", "b"]} and card.results == {"one_nn": 0.5} and card.license == "mit"
