"""Training, and what is left of it: checkpoints, saved models, model cards, weight averages."""

from girsanov.training.batches import split
from girsanov.training.card import Card
from girsanov.training.configfile import read_card, read_config
from girsanov.training.hub import push
from girsanov.training.logs import Log
from girsanov.training.loop import History, fit
from girsanov.training.models import load, load_classifier, save
from girsanov.training.settings import Training
from girsanov.training.snapshots import posthoc_ema
from girsanov.training.state import Objective

__all__ = [
    "Card",
    "History",
    "Log",
    "Objective",
    "Training",
    "fit",
    "load",
    "load_classifier",
    "posthoc_ema",
    "push",
    "read_card",
    "read_config",
    "save",
    "split",
]
