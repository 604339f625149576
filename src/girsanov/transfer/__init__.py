"""From a task that one has data for to another: restoration learned on synthetic pairs, for real images."""

from girsanov.transfer.noise_space import NoiseSpaceAdaptation, NoiseSpaceLoss, noise_space_loss

__all__ = [
    "NoiseSpaceAdaptation",
    "NoiseSpaceLoss",
    "noise_space_loss",
]
