"""Two processes on this machine against one: keyed noise makes them agree to rounding."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_tools import cloud, noise_loss, tiny

from girsanov.errors import MissingExtra
from girsanov.training import Training, fit
from girsanov.training.folder import last_checkpoint

pytest.importorskip("lightning_fabric")
HERE = Path(__file__).parent
ONE = Training(batch_size=16, lr=1e-2, warmup=5, checkpoint_every=4, progress=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("team")
    path = os.pathsep.join([str(HERE), *sys.path])
    done = subprocess.run(
        [sys.executable, str(HERE / "team_driver.py"), str(folder)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def alone():
    model = tiny()
    return model, fit(model, noise_loss, cloud(), steps=20, config=ONE)


def test_two_processes_learn_what_one_does(runs, alone):
    model, history = alone
    found, _ = last_checkpoint(runs / "straight")
    torch.testing.assert_close(found.tensors["losses"], history.losses, rtol=1e-5, atol=1e-6)
    for name, p in model.named_parameters():
        torch.testing.assert_close(found.tensors[f"ema/{name}"], p.detach(), rtol=1e-4, atol=1e-5)
    held_out = torch.tensor(history.validation, dtype=torch.float64)
    torch.testing.assert_close(found.tensors["validation"], held_out, rtol=1e-4, atol=0)


def test_another_split_of_the_data_would_be_seen(runs, alone):
    """The two agree because of the keys: with another seed they do not, by far more than rounding."""
    other = fit(tiny(), noise_loss, cloud(), steps=20, config=Training(**{**vars(ONE), "seed": 1}))
    found, _ = last_checkpoint(runs / "straight")
    assert (other.losses - found.tensors["losses"]).abs().max() > 1e-2


def test_all_processes_end_with_the_same_weights(runs):
    assert (runs / "rank-0").read_text() == (runs / "rank-1").read_text()


def test_a_signal_to_one_stops_all_after_the_same_step(runs):
    assert json.loads((runs / "rank-1").read_text())[1] == "stopped"
    assert last_checkpoint(runs / "stopped for one")[0].record["step"] == 7


def test_two_processes_go_on_to_the_same_bits(runs):
    straight, _, resumed = json.loads((runs / "rank-0").read_text())
    assert straight == resumed
    weights = [(runs / run / "model.safetensors").read_bytes() for run in ("straight", "stopped")]
    assert weights[0] == weights[1]


def test_one_process_goes_on_with_the_run_of_two(runs, alone):
    model = tiny()
    fit(model, noise_loss, cloud(), steps=20, out=runs / "stopped for one", resume=True, config=ONE)
    for p, q in zip(model.parameters(), alone[0].parameters()):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)


def test_without_lightning_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(MissingExtra, match=r"girsanov\[fabric\]"):
        fit(tiny(), noise_loss, cloud(), steps=3, config=Training(**{**vars(ONE), "devices": 2}))
