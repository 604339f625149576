"""Networks small enough for a CPU, and the registry that rebuilds them from plain dictionaries."""

from girsanov.networks.anchored import AnchoredUNet, Beside
from girsanov.networks.cap import CapNetwork
from girsanov.networks.classifier import Classifier
from girsanov.networks.conservative import GradientOf
from girsanov.networks.dit import DiT
from girsanov.networks.dncnn import DnCNN
from girsanov.networks.mlp import MLP
from girsanov.networks.probabilistic_unet import ProbabilisticUNet
from girsanov.networks.registration import PointMatcher, weighted_kabsch
from girsanov.networks.registry import NETWORKS, build, register
from girsanov.networks.tokenconv import TokenConv
from girsanov.networks.tokens import TokenTransformer
from girsanov.networks.unet import UNet

__all__ = [
    "MLP",
    "NETWORKS",
    "AnchoredUNet",
    "Beside",
    "CapNetwork",
    "Classifier",
    "DiT",
    "DnCNN",
    "GradientOf",
    "PointMatcher",
    "ProbabilisticUNet",
    "TokenConv",
    "TokenTransformer",
    "UNet",
    "build",
    "register",
    "weighted_kabsch",
]
