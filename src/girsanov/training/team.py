"""The processes that train together: one here, or several on some machines by Lightning Fabric (an extra).

Every process holds the whole model and takes its share of each batch. Gradients are averaged once a step, in
one message that also carries the loss and the wish to stop, so all processes stop after the same step. Since
noise is keyed by the place in the batch, the result is that of one process to rounding. (Dropout masks, and
couplings within a batch, are those of the shares.)

Lightning starts the other processes by running the same script again, once for each; only rank 0 writes.

Oracle: two processes against one (tests/training/test_team.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.errors import extra, require
from girsanov.training.settings import Training


@dataclass(frozen=True)
class Team:
    """This process among those that train together."""

    device: torch.device
    rank: int = 0
    size: int = 1

    def average(self, parameters: Sequence[Tensor], loss: Tensor, stop: bool) -> tuple[Tensor, bool]:
        """Average gradients in place, and the loss, over all processes; stop if one of them wants to."""
        if self.size == 1:
            return loss, stop
        for p in parameters:
            if p.grad is None:  # every process has to send the same numbers
                p.grad = torch.zeros_like(p)
        gradients = [p.grad for p in parameters if p.grad is not None]
        asked = torch.tensor([float(stop)], dtype=loss.dtype, device=loss.device)
        flat = torch.cat([*(g.reshape(-1) for g in gradients), loss.reshape(1), asked])
        torch.distributed.all_reduce(flat)
        flat /= self.size
        parts = flat[:-2].split([g.numel() for g in gradients])
        torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients)])
        return flat[-2], bool(flat[-1] > 0)

    def share(self, tensors: Sequence[Tensor]) -> None:
        """Give all processes the tensors of rank 0, in place."""
        if self.size > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor.detach(), 0)

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.size > 1:
            torch.distributed.barrier()


def join(config: Training, device: torch.device) -> Team:
    """Start the processes that the settings ask for, and say which of them this one is.

    Args:
        config: the settings.
        device: where the model is.

    Raises:
        MissingExtra: more than one process, and Lightning Fabric is not installed.
        InputError: a device that does not exist, or a batch that does not divide among the processes.
    """
    if config.device is not None:
        device = usable(config.device)
    count = config.devices * config.nodes
    if count == 1:
        return Team(device)
    require(
        config.batch_size % (count) == 0,
        f"batch_size is {config.batch_size} for {count} processes; give a multiple",
    )
    fabric = extra("lightning_fabric", "fabric").Fabric(
        accelerator=device.type, devices=config.devices, num_nodes=config.nodes, strategy="ddp"
    )
    fabric.launch()
    return Team(fabric.device, fabric.global_rank, fabric.world_size)


def usable(name: str) -> torch.device:
    """The device of that name, if tensors can be made there."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        require(False, f"device {name!r} cannot be used here: {reason}. Give 'cpu', or leave it out")
    return device
