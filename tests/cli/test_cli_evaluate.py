"""`evaluate` and `info`: what they say of a run that is a Gaussian, against what is known of it."""

import json
import math

import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import stats

from girsanov.cli.evaluate import with_neighbours
from girsanov.cli.runs import held_out, open_run
from girsanov.training import read_card, split


@pytest.fixture
def measured(girsanov, gaussian, table, tmp_path):
    """The measures of the Gaussian run on its own data, and what was said."""
    said = girsanov("evaluate", gaussian, table, "--out", tmp_path, "--steps", 40)
    assert said.code == 0, said.err
    return json.loads((tmp_path / "evaluation.json").read_text()), said, tmp_path


def test_held_out_rows_of_the_training_data_are_those_of_the_training(gaussian, table):
    run = open_run(gaussian)
    known, fresh = held_out(run, run.read(str(table)))
    train, rest = split(400, 0.2, 0)
    data = run.read(str(table))
    assert torch.equal(known.x, data.x[train])
    assert torch.equal(fresh.x, data.x[rest])
    assert set(train.tolist()).isdisjoint(rest.tolist())


def test_other_data_are_held_out_as_a_whole(gaussian, table, tmp_path):
    other = tmp_path / "other.csv"
    pd.read_csv(table)[:50].to_csv(other, index=False)
    run = open_run(gaussian)
    known, fresh = held_out(run, run.read(str(other)))
    assert len(fresh) == 50
    assert len(known) == 320  # the training rows, found where they were


def test_samples_of_the_right_law_are_close(measured):
    found, said, folder = measured
    assert found["n"] == 80
    measures = {name: pair["samples"] for name, pair in found["measures"].items()}
    # 0.5 with a deviation of about 1/√160, here within four of them
    assert measures["1-NN two-sample test"] == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(160))
    assert measures["nearest training row, over held-out"] == pytest.approx(1, abs=0.5)
    # the mean of log N(x; 0, I) over N(0, I) is -(1 + log 2π), with variance 1/80
    entropy = -2 * stats.norm.entropy()
    assert measures["log-likelihood of held-out rows, nats"] == pytest.approx(entropy, abs=4 / math.sqrt(80))
    assert "real rows" in said.out
    assert Image.open(folder / "evaluation.png").size[0] > 500
    assert said.out.splitlines()[-2:] == [
        f"wrote {folder / 'evaluation.json'}",
        f"wrote {folder / 'evaluation.png'}",
    ]


def test_samples_of_a_wrong_law_are_far(girsanov, gaussian, table, tmp_path):
    shifted = tmp_path / "shifted.csv"
    data = pd.read_csv(table)
    data.assign(weight=data.weight + 30).to_csv(shifted, index=False)
    assert girsanov("evaluate", gaussian, shifted, "--out", tmp_path).code == 0
    found = json.loads((tmp_path / "evaluation.json").read_text())["measures"]
    assert found["1-NN two-sample test"]["samples"] > 0.9
    assert found["recall"]["samples"] < 0.1


def test_the_card_remembers(measured, gaussian):
    found, *_ = measured
    results = read_card(gaussian).results
    assert results["recall"] == pytest.approx(found["measures"]["recall"]["samples"], abs=1e-6)
    assert open_run(gaussian).origin is not None  # and what it knew before it still knows


def test_images_stand_above_their_neighbours():
    known = torch.randn(20, 1, 4, 4)
    pairs = with_neighbours(known[:16] + 0.01, known)
    assert torch.equal(pairs[8:16], known[:8])
    assert torch.equal(pairs[24:], known[8:16])


def test_images_are_evaluated_too(girsanov, images, tmp_path):
    said = girsanov("evaluate", images, "digits", "-n", 20, "--steps", 3, "--out", tmp_path)
    assert said.code == 0, said.err
    assert (tmp_path / "evaluation.png").exists()


def test_info_tells_what_there_is_and_how_to_go_on(girsanov, images):
    said = girsanov("info", images)
    assert said.code == 0
    for told in ("UNet", "719,281", "sigma_max=80", "digits (image)", "3 (183)", "heun", "20% held out"):
        assert told.replace(" ", "") in "".join(said.out.split())  # a narrow table breaks lines
    commands = [line.split() for line in said.out.splitlines() if line.startswith("  girsanov")]
    assert [words[1] for words in commands] == ["sample", "evaluate", "likelihood", "restore"]


@pytest.mark.parametrize(
    "command", [["info"], ["evaluate", "moons"], ["likelihood", "moons"], ["sample", "--out", "x.csv"]]
)
def test_a_folder_without_a_model_is_refused(girsanov, tmp_path, command):
    (tmp_path / "notes.txt").write_text("nothing")
    said = girsanov(command[0], tmp_path, *command[1:])
    assert said.code == 2
    assert "holds no model.safetensors" in said.err


def test_a_run_of_another_kind_of_data_is_refused(girsanov, images):
    said = girsanov("evaluate", images, "wine")
    assert said.code == 2
    assert "trained on image data" in said.err
