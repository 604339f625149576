"""The CPU-sized CIFAR: a small U-Net on Fashion-MNIST, and the features by which its samples are judged.

Model: 496,297 parameters, unconditional, EDM, 3,000 steps of batch 64, seed 0, 0.44 s a step
on one core. Judge: the 64 features before the last layer of a classifier that has seen the 60,000 labelled
training pictures for two passes, seed 0. Both follow from their seeds and are kept under runs/, whence the
training goes on if it was stopped.

    python benchmarks/fashion.py      train what is missing, and score real pictures against real ones
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from girsanov import data, networks, objectives, processes
from girsanov.denoiser import Denoiser
from girsanov.metrics import frechet_distance
from girsanov.noise import Noise, uniform
from girsanov.training import Training, fit, load

RUNS = Path(__file__).parent.parent / "runs"
MODEL, JUDGE = RUNS / "fashion", RUNS / "fashion-judge.safetensors"
STEPS, BATCH, DATA_STD = 3000, 64, 0.7
PASSES = 2


def model() -> Denoiser:
    """The trained denoiser; trains it, or goes on training it, where it is not there."""
    if (MODEL / "model.safetensors").exists():
        return load(MODEL)
    x, _ = data.fashion_mnist()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = networks.UNet(1, width=24, levels=(1, 2, 3))
    found = Denoiser(network, processes.EDM(), data_std=DATA_STD)
    settings = Training(batch_size=BATCH, lr=2e-3, ema=0.998, validation=0.02, checkpoint_every=100)
    fit(found, objectives.score_matching(), x, steps=STEPS, out=MODEL, resume=True, config=settings)
    return found


def judge() -> nn.Module:
    """The classifier whose features are compared."""
    from safetensors.torch import load_file, save_file

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = networks.Classifier(1, 10)
    if JUDGE.exists():
        network.load_state_dict(load_file(JUDGE))
        return network.eval().requires_grad_(False)
    (x, label), source = data.fashion_mnist(), Noise(0)
    steps = PASSES * len(x) // BATCH
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for step in range(steps):
        u = source.draw(torch.empty(BATCH, 1, dtype=torch.float64), step, uniform)[:, 0]
        rows = (u * len(x)).long()
        loss = F.cross_entropy(network(x[rows], torch.zeros(BATCH)), label[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    JUDGE.parent.mkdir(exist_ok=True)
    save_file(network.state_dict(), JUDGE)
    return network.eval().requires_grad_(False)


@torch.no_grad()
def features(network: nn.Module, x: Tensor) -> Tensor:
    """The mean over the pixels before the last layer, (N, 64)."""
    found: list[Tensor] = []
    handle = network.head.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
    try:
        for part in x.split(500):
            network(part, torch.zeros(len(part)))
    finally:
        handle.remove()
    return torch.cat(found)


if __name__ == "__main__":
    network = judge()
    (train, _), (fresh, label) = data.fashion_mnist(), data.fashion_mnist("test")
    with torch.no_grad():
        right = torch.cat([network(part, torch.zeros(len(part))).argmax(1) for part in fresh.split(500)])
    print(f"the judge is right on {float((right == label).float().mean()):.2%} of the test pictures")
    model()
    parts = (features(network, x[:5000]) for x in (train, fresh))
    print(f"real against real, Fréchet distance: {float(frechet_distance(*parts)):.4g}")
