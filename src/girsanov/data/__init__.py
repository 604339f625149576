"""Data: the user's files, small real sets that packages ship, toys; how values are scaled and undone."""

from girsanov.data.arrays import ArrayCodec
from girsanov.data.dataset import Codec, Dataset, codec_from_config
from girsanov.data.images import ImageCodec
from girsanov.data.maps import airports
from girsanov.data.reading import read
from girsanov.data.sets import (
    breast_cancer,
    diabetes,
    digits,
    faces,
    fashion_mnist,
    mnist5k,
    patches,
    wine,
)
from girsanov.data.sources import BUILTIN
from girsanov.data.tables import TableCodec
from girsanov.data.toys import (
    TOYS,
    checkerboard,
    circles,
    moons,
    pinwheel,
    ring,
    ring_of_gaussians,
    spirals,
    swiss_roll,
)
from girsanov.data.writing import grid, write

__all__ = [
    "BUILTIN",
    "TOYS",
    "ArrayCodec",
    "Codec",
    "Dataset",
    "ImageCodec",
    "TableCodec",
    "airports",
    "breast_cancer",
    "checkerboard",
    "circles",
    "codec_from_config",
    "diabetes",
    "digits",
    "faces",
    "fashion_mnist",
    "grid",
    "mnist5k",
    "moons",
    "patches",
    "pinwheel",
    "read",
    "ring",
    "ring_of_gaussians",
    "spirals",
    "swiss_roll",
    "wine",
    "write",
]
