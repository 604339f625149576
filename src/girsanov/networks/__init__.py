"""Networks small enough for a CPU, and the registry that rebuilds them from plain dictionaries."""

from girsanov.networks.anchored import AnchoredUNet, Beside
from girsanov.networks.classifier import Classifier
from girsanov.networks.dit import DiT
from girsanov.networks.mlp import MLP
from girsanov.networks.registry import NETWORKS, build, register
from girsanov.networks.unet import UNet

__all__ = ["MLP", "NETWORKS", "AnchoredUNet", "Beside", "Classifier", "DiT", "UNet", "build", "register"]
