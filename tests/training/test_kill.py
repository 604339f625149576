"""kill -9 at random moments, and inside writes: what comes of it has the bits of a run never stopped."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from girsanov.training.folder import last_checkpoint

if not hasattr(os, "fork"):
    pytest.skip("processes are forked and killed here", allow_module_level=True)

HERE = Path(__file__).parent
KILLED = ["moments", "writing", "syncing", "renaming"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    path = os.pathsep.join([str(HERE), *sys.path])
    done = subprocess.run(
        [sys.executable, str(HERE / "kill_driver.py"), str(folder)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_the_runs_were_really_killed(runs):
    assert all(runs[1][name] >= 3 for name in KILLED), runs[1]


@pytest.mark.parametrize("name", KILLED)
def test_weights_averages_and_optimizer_have_the_same_bits(runs, name):
    (straight, _), (killed, _) = (last_checkpoint(runs[0] / run) for run in ("straight", name))
    assert straight.tensors.keys() == killed.tensors.keys()
    assert {key.split("/")[0] for key in killed.tensors} == {
        "weights", "ema", "0.05", "0.1", "exp_avg", "exp_avg_sq", "counts", "losses", "validation"
    }  # fmt: skip
    for key, tensor in straight.tensors.items():
        assert torch.equal(tensor, killed.tensors[key]), key
    for run in (straight, killed):
        del run.record["seconds"]
    assert straight.record == killed.record


@pytest.mark.parametrize("name", KILLED)
def test_the_saved_files_are_the_same(runs, name):
    kept = [
        {p.relative_to(runs[0] / run): p for p in (runs[0] / run).rglob("*") if p.is_file()}
        for run in ("straight", name)
    ]
    assert kept[0].keys() == kept[1].keys()  # no temporary file is left, no checkpoint too many
    for path in kept[0]:
        if path.suffix == ".safetensors" and "checkpoint" not in path.parts:
            assert kept[0][path].read_bytes() == kept[1][path].read_bytes()


@pytest.mark.parametrize("name", KILLED)
def test_the_log_has_the_same_lines(runs, name):
    logs = []
    for run in ("straight", name):
        lines = [json.loads(line) for line in (runs[0] / run / "log.jsonl").read_text().splitlines()]
        logs.append([{k: v for k, v in line.items() if k != "seconds"} for line in lines])
    assert logs[0] == logs[1]
    assert logs[0][-1]["step"] == 60
