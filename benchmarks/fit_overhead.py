"""What `fit` costs beyond a training loop written by hand, with the same network, optimizer and loss.

The hand-written loop does the same work in plain PyTorch: rows drawn by index, rectified flow, gradient
clipping, fused AdamW with warm-up and cosine, an exponential average of the weights by one foreach call.
`fit` adds to that keyed noise, checks that every loss and gradient is finite, and the record of losses.
Neither saves or validates.

Both run on one thread, in turns; the least process time of several counts.

    python benchmarks/fit_overhead.py [--json]
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial

import torch
from common import Result, main, seconds
from torch import Tensor, nn

from girsanov import networks, objectives, processes
from girsanov.denoiser import Denoiser
from girsanov.training import Training, fit

BAR = 1.05
CONFIG = Training(validation=0.0, progress=False)


def by_hand(network: nn.Module, x: Tensor, batch_size: int, steps: int) -> None:
    """The loop that a person would write."""
    parameters = list(network.parameters())
    average = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.AdamW(parameters, lr=CONFIG.lr, weight_decay=0.0, fused=True)
    network.train()
    for step in range(steps):
        x0 = x[torch.randint(len(x), (batch_size,))]
        z, t = torch.randn_like(x0), torch.rand(batch_size)
        s = t.view(-1, *[1] * (x0.ndim - 1))
        answer = network((1 - s) * x0 + s * z, t, None)
        loss = (answer - (z - x0)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        rise = min(1.0, (step + 1) / CONFIG.warmup)
        fall = (1 + math.cos(math.pi * max(0, step - CONFIG.warmup) / (steps - CONFIG.warmup))) / 2
        for group in optimizer.param_groups:
            group["lr"] = CONFIG.lr * rise * fall
        optimizer.step()
        decay = min(0.9999, (1 + step) / (10 + step))
        torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - decay)


def by_fit(network: nn.Module, x: Tensor, batch_size: int, steps: int) -> None:
    """The same with `fit`."""
    model = Denoiser(network, processes.RectifiedFlow(), predicts="velocity", data_std=None)
    config = Training(batch_size=batch_size, validation=0.0, progress=False)
    fit(model, objectives.flow_matching(), x, steps=steps, config=config)


def cases() -> list[tuple[str, nn.Module, Tensor, int, int]]:
    """(name, network, data, batch size, steps)."""
    plane, pictures = torch.randn(4096, 2), torch.randn(1797, 1, 8, 8)
    small = networks.UNet(channels=1, width=32)
    return [
        ("train batch 256, MLP in the plane", networks.MLP(2), plane, 256, 200),
        ("train batch 128, wide MLP", networks.MLP(16, hidden=512), torch.randn(4096, 16), 128, 60),
        ("train batch 64, U-Net 8x8", small, pictures, 64, 20),
        ("train batch 128, U-Net 8x8", small, pictures, 128, 10),
    ]


def fresh(run: Callable[..., None], network: nn.Module, x: Tensor, batch_size: int, steps: int) -> None:
    """Train a copy of the network."""
    run(copy.deepcopy(network), x, batch_size, steps)


def measure() -> list[Result]:
    """One row for each case."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    results = []
    for name, network, x, batch_size, steps in cases():
        ours, peer = seconds(
            *(partial(fresh, run, network, x, batch_size, steps) for run in (by_fit, by_hand))
        )
        costs = 1e3 * ours / steps, 1e3 * peer / steps
        results.append(Result(name, *costs, "torch, loop by hand", torch.__version__, BAR, "ms/step"))
    return results


if __name__ == "__main__":
    main(measure)
