"""Averages of any length afterwards, against the average of that length tracked beside."""

import pytest
import torch
from training_tools import Tiny, cloud, noise_loss, tiny

from girsanov.errors import InputError, SavedFileError
from girsanov.training import Training, fit, posthoc_ema
from girsanov.training.averages import Average, power

LENGTHS = (0.04, 0.07, 0.12)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with snapshots, and averages of other lengths followed by hand beside it."""
    model, beside = tiny(), {}

    def objective(model, x0, **rest):
        if model.training:
            step = rest["generator"].scope[1]
            for s in LENGTHS:
                if step:  # the weights after the step before
                    beside[s].update(step)
                else:
                    beside[s] = Average(list(model.parameters()), power(s))
        return noise_loss(model, x0, **rest)

    folder = tmp_path_factory.mktemp("runs") / "run"
    config = Training(
        batch_size=16, lr=0.02, warmup=5, ema=0.0, snapshots=16, schedule="constant", progress=False
    )
    fit(model, objective, cloud(), steps=320, out=folder, config=config)
    for average in beside.values():
        average.update(320)
    return folder, {s: average.values for s, average in beside.items()}, model


@pytest.mark.parametrize("length", LENGTHS)
def test_the_combination_is_the_average_tracked_beside(run, length):
    folder, beside, last = run
    found = posthoc_ema(folder, length, network=Tiny())
    moved = [
        torch.cat([(a - b).flatten() for a, b in zip(last.parameters(), values)]).norm()
        for values in beside.values()
    ]
    error = torch.cat([(a - b).flatten() for a, b in zip(found.parameters(), beside[length])]).norm()
    assert error < 0.1 * min(moved)
    assert not found.training


def test_the_lengths_that_were_tracked_come_back_to_half_precision(run):
    from girsanov.training.snapshots import read_snapshot, snapshots

    folder = run[0]
    _, path = snapshots(folder)[-1]
    found = posthoc_ema(folder, 0.1, network=Tiny())
    stored = read_snapshot(path, dict(found.named_parameters()))[0.1]
    for name, p in found.named_parameters():
        assert stored[name].dtype == torch.float16
        torch.testing.assert_close(p, stored[name].float(), rtol=0, atol=2e-3)


def test_a_snapshot_is_as_large_as_the_weights(run):
    size = sum(p.numel() for p in tiny().parameters())
    path = sorted((run[0] / "snapshots").iterdir())[0]
    header = int.from_bytes(path.read_bytes()[:8], "little")
    assert path.stat().st_size - header - 8 == 2 * 2 * size


@pytest.mark.parametrize(
    "length, message", [(0.5, "fraction of the run"), (0.002, "error of"), (0.0, "length is 0")]
)
def test_a_length_that_is_out_of_reach_is_refused(run, length, message):
    with pytest.raises(InputError, match=message):
        posthoc_ema(run[0], length, network=Tiny())


def test_runs_without_snapshots_or_with_damaged_ones_are_refused(run, tmp_path):
    fit(tiny(), noise_loss, cloud(), steps=3, out=tmp_path / "none", config=Training(progress=False))
    with pytest.raises(SavedFileError, match=r"Training\(snapshots=16\)"):
        posthoc_ema(tmp_path / "none", 0.1, network=Tiny())
    config = Training(snapshots=4, progress=False)
    fit(tiny(), noise_loss, cloud(), steps=8, out=tmp_path / "some", config=config)
    path = tmp_path / "some" / "snapshots" / "step-00000004.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SavedFileError, match="step-00000004"):
        posthoc_ema(tmp_path / "some", 0.1, network=Tiny())
    fit(tiny(width=4), noise_loss, cloud(), steps=8, out=tmp_path / "other", config=config)
    path.write_bytes((tmp_path / "other" / "snapshots" / path.name).read_bytes())
    with pytest.raises(SavedFileError, match="is of another model"):
        posthoc_ema(tmp_path / "some", 0.1, network=Tiny())


def test_weights_too_large_for_half_precision_are_kept_as_they_are(tmp_path):
    model = tiny()
    with torch.no_grad():
        model.network.last.bias.fill_(1e6)
    fit(
        model,
        noise_loss,
        cloud(),
        steps=2,
        out=tmp_path / "run",
        config=Training(snapshots=1, lr=1e-9, progress=False),
    )
    found = posthoc_ema(tmp_path / "run", 0.1, network=Tiny())
    torch.testing.assert_close(found.network.last.bias, model.network.last.bias)
