"""What `fit` costs beyond a training loop written by hand, with the same network, optimizer and loss.

The hand-written loop does the same work in plain PyTorch: rows drawn by index, rectified flow, gradient
clipping, fused AdamW with warm-up and cosine, an exponential average of the weights by one foreach call.
`fit` adds to that keyed noise, checks that every loss and gradient is finite, and the record of losses.
Neither saves or validates.

Both are run in turn, several times, in one process on one thread; the least process time counts.

    python benchmarks/fit_overhead.py [--json]
"""

from __future__ import annotations

import copy
import json
import math
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from girsanov import networks, objectives, processes
from girsanov.denoiser import Denoiser
from girsanov.training import Training, fit

BAR = 1.05
REPEATS = 7
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
        ("train batch 256", networks.MLP(2), plane, 256, 200),
        ("train batch 128, wide MLP", networks.MLP(16, hidden=512), torch.randn(4096, 16), 128, 60),
        ("train batch 64, U-Net 8x8", small, pictures, 64, 20),
        ("train batch 128, U-Net 8x8", small, pictures, 128, 10),
    ]


def seconds(run: Callable[[nn.Module, Tensor, int, int], None], network: nn.Module, *rest: object) -> float:
    """Process time of a run on a fresh copy of the network."""
    fresh = copy.deepcopy(network)
    start = time.process_time()
    run(fresh, *rest)  # type: ignore[arg-type]
    return time.process_time() - start


def measure() -> list[dict[str, object]]:
    """One row for each case; costs are in milliseconds a step."""
    rows = []
    for name, network, x, batch_size, steps in cases():
        times: dict[Callable, list[float]] = {by_fit: [], by_hand: []}
        for turn in range(REPEATS + 1):
            for run in (by_fit, by_hand) if turn % 2 else (by_hand, by_fit):
                spent = seconds(run, network, x, batch_size, steps)
                if turn:  # the first turn warms up
                    times[run].append(1e3 * spent / steps)
        ours, peer = min(times[by_fit]), min(times[by_hand])
        rows.append(
            {
                "name": name, "ours": round(ours, 4), "peer": round(peer, 4),
                "peer_name": "torch, hand-written loop", "peer_version": torch.__version__,
                "ratio": round(ours / peer, 3), "bar": BAR, "unit": "ms/step",
            }
        )  # fmt: skip
    return rows


def main() -> None:
    """Print the table, or JSON."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = measure()
    if "--json" in sys.argv[1:]:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'fit against a hand-written loop':34}{'fit':>10}{'by hand':>10}{'ratio':>8}{'bar':>7}")
    for row in rows:
        print(f"{row['name']:34}{row['ours']:>10}{row['peer']:>10}{row['ratio']:>8}{row['bar']:>7}")
    print(f"milliseconds a step, least of {REPEATS} runs in turn; torch {torch.__version__}")


if __name__ == "__main__":
    main()
