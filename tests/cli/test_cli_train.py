"""`train`: from a user's file to a run folder, interrupted and resumed as a user does it."""

import json
import re
import shutil
import signal
import time

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from girsanov.cli.runs import digest, open_run
from girsanov.cli.train import build, chosen
from girsanov.data import read
from girsanov.networks import MLP, DiT, UNet
from girsanov.processes import EDM, RectifiedFlow
from girsanov.training import load

QUICK = ("--steps", 3, "--batch-size", 8)


@pytest.fixture
def pictures(tmp_path):
    """A folder with one folder of small pictures for each of two classes; the names are not tame."""
    draws = np.random.default_rng(0).integers(0, 256, (30, 10, 10, 3), dtype=np.uint8)
    for i, pixels in enumerate(draws):
        folder = tmp_path / "Bilder für mich" / ("größe [1]" if i % 2 else "-x")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "Bilder für mich"


def test_a_table_with_classes(girsanov, table, tmp_path):
    out = tmp_path / "run"
    said = girsanov(
        "train", table, "--out", out, "--label", "kind", *QUICK, "--process", "rectified-flow", "--seed", 4
    )
    assert said.code == 0, said.err
    assert said.out.startswith(f"wrote {out}\n")
    run = open_run(out)
    assert isinstance(run.model.network, MLP)
    assert run.model.process == RectifiedFlow()
    assert run.classes == ("rare", "usual")
    assert run.origin.counts == (100, 300)
    assert (run.origin.label, run.origin.seed) == ("kind", 4)
    assert "label_dropout=0.1" in run.card.training["objective"]
    data = read(str(table), label="kind")
    assert run.model.data_std == pytest.approx(float(data.x.std()))
    assert run.origin.codec == data.codec
    assert run.origin.holds(data)


def test_a_folder_of_pictures_with_untame_names(girsanov, pictures, tmp_path):
    out, sample = tmp_path / "runs" / "ein Lauf", tmp_path / "ein Bild.png"
    assert girsanov("train", pictures, "--out", out, "--crop", 8, *QUICK).code == 0
    run = open_run(out)
    assert isinstance(run.model.network, UNet)
    assert run.classes == ("-x", "größe [1]")
    assert girsanov("sample", out, "-n", 2, "--label", "größe [1]", "--steps", 2, "--out", sample).code == 0
    assert Image.open(sample).mode == "RGB"
    info = girsanov("info", out)
    assert "größe [1] (15)" in info.out
    assert girsanov("evaluate", out, pictures, "--steps", 2).code == 0  # cropped as in training
    assert (out / "evaluation.png").exists()


def test_the_seed_fixes_everything(girsanov, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        girsanov("train", "moons", "--out", tmp_path / name, *QUICK, "--seed", seed)
    a, b, c = (load(tmp_path / name).network.state_dict() for name in "abc")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not all(torch.equal(a[key], c[key]) for key in a)


def test_the_global_state_is_left_alone(girsanov, tmp_path):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    girsanov("train", "moons", "--out", tmp_path / "run", *QUICK)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002


@pytest.mark.parametrize(
    "shape, network, kind",
    [((5,), "auto", MLP), ((3, 9, 12), "auto", UNet), ((1, 8, 8), "DIT", DiT), ((1, 64, 48), "u-net", UNet)],
)
def test_the_network_follows_from_the_shape(shape, network, kind):
    model = build(shape, EDM(), classes=2, network=network, std=1.0, seed=0)
    assert type(model.network) is kind
    x = torch.randn(2, *shape)
    assert model.data(x, 0.5, cond=torch.tensor([0, 1])).shape == x.shape


@pytest.mark.parametrize("side, levels", [(8, 2), (16, 2), (28, 3), (32, 3), (64, 4)])
def test_a_large_image_has_more_levels(side, levels):
    assert len(chosen((1, side, side), None, "auto").config["levels"]) == levels


def test_resumed_where_nothing_was_saved_starts_anew(girsanov, tmp_path):
    said = girsanov("train", "moons", "--out", tmp_path / "run", *QUICK, "--resume")
    assert said.code == 0
    assert "starts anew" in said.err


def stopped(started, out, number):
    """Train, stop with a signal once there is a log, and give the command line and what was said."""
    arguments = ["train", "moons", "--out", out, "--steps", 400, "--batch-size", 8, "--log", "tensorboard"]
    running = started(*arguments)
    wait_for(out / "log.jsonl")
    running.send_signal(number)
    said, complaint = running.communicate(timeout=60)
    assert running.returncode == 130, complaint
    assert said == ""
    return arguments, complaint


def test_stopped_it_saves_and_says_how_to_go_on(girsanov, started, tmp_path):
    out, whole = tmp_path / "a run", tmp_path / "whole"
    arguments, complaint = stopped(started, out, signal.SIGINT)
    line = complaint.splitlines()[-1].strip()
    assert line == f"girsanov train moons --out '{out}' --steps 400 --batch-size 8 --log tensorboard --resume"
    done = int(re.search(r"after step (\d+) of 400", complaint)[1])
    assert girsanov("sample", out, "-n", 1, "--out", tmp_path / "x.csv").code == 0  # what is there is a model
    resumed = girsanov(*arguments, "--resume")
    assert resumed.code == 0, resumed.err
    assert f"after step {done} of 400" in resumed.err
    girsanov("train", "moons", "--out", whole, "--steps", 400, "--batch-size", 8)
    a, b = load(out).network.state_dict(), load(whole).network.state_dict()
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_scheduler_stops_it_as_a_person_does(started, tmp_path):
    _, complaint = stopped(started, tmp_path / "run", signal.SIGTERM)
    assert complaint.splitlines()[-1].strip().endswith("--resume")


def wait_for(path):
    """Until a file holds something."""
    for _ in range(600):
        if path.exists() and path.stat().st_size:
            return
        time.sleep(0.05)
    raise TimeoutError(path)


def test_a_folder_with_another_run_is_refused(girsanov, tmp_path):
    out = tmp_path / "run"
    girsanov("train", "moons", "--out", out, *QUICK)
    again = girsanov("train", "moons", "--out", out, *QUICK)
    assert again.code == 2
    assert "already holds" in again.err
    other = girsanov("train", "moons", "--out", out, *QUICK, "--resume", "--process", "vp")
    assert other.code == 2
    assert "holds another run: process was" in other.err


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["diggits"], "Did you mean digits"),
        (["missing.csv"], "there is no file missing.csv"),
        (["moons", "--process", "brownian-bridge"], "joins two sets of data"),
        (["moons", "--process", "geometric"], "for values in a range, such as above 0"),
        (["moons", "--process", "bounded"], "for values in a range, such as above 0"),
        (["moons", "--network", "unet"], "UNet is for images"),
        (["digits", "--network", "mlp"], "MLP is for vectors"),
        (
            ["moons", "--network", "transformer"],
            "unknown network 'transformer'; known are auto, dit, mlp, unet",
        ),
        (["moons", "--lr", "-1"], "lr is -1"),
        (["moons", "--label", "kind"], "has no columns"),
        (["moons", "--crop", "8"], "does not hold pictures"),
        (["moons", "--log", "tensorbord"], "Did you mean tensorboard"),
        (["moons", "--device", "cuda:99"], "device 'cuda:99' cannot be used"),
        (["constant.csv"], "all values of the data are the same"),
        (["cube.npy"], "have shape (3, 4)"),
        (["model.pkl"], "unpickled"),
    ],
)
def test_bad_input_is_one_message_and_leaves_nothing(girsanov, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"a": [1.0] * 9, "b": [2.0] * 9}).to_csv("constant.csv", index=False)
    np.save("cube.npy", np.random.default_rng(0).normal(size=(9, 3, 4)))
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04N.")
    said = girsanov("train", *arguments, "--out", "run", *QUICK)
    assert said.code == 2, said.err
    assert says in said.err
    assert "Traceback" not in said.err
    assert not (tmp_path / "run").exists()


def test_a_truncated_model_is_refused(girsanov, gaussian, tmp_path):
    copy = shutil.copytree(gaussian, tmp_path / "copy")
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    said = girsanov("sample", copy, "--out", tmp_path / "x.csv")
    assert said.code == 2
    assert "cut short" in said.err


@pytest.mark.parametrize(
    "harm",
    [
        {"codec": {"kind": "os.system"}},
        {"counts": ["1"]},
        {"source": 3},
        {"classes": "ab"},
        {"classes": ["a"], "counts": [1]},
        {"counts": [-1, 5]},
    ],
)
def test_an_altered_record_of_the_data_is_refused(girsanov, gaussian, tmp_path, harm):
    config = shutil.copytree(gaussian, tmp_path / "copy") / "config.json"
    content = json.loads(config.read_text())
    content["card"]["data"].update(harm)
    config.write_text(json.dumps(content))
    said = girsanov("sample", tmp_path / "copy", "--out", tmp_path / "x.csv")
    assert said.code == 2
    assert "Traceback" not in said.err


def test_a_digest_sees_every_change():
    data = read("wine")
    changed = read("wine")
    changed.x[17, 3] += 1e-6
    assert digest(data) == digest(read("wine"))
    assert digest(data) != digest(changed)
