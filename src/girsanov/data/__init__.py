"""Data: the user's files, small real sets that packages ship, toys; how values are scaled and undone."""

from girsanov.data.arrays import ArrayCodec
from girsanov.data.audio import Recording, Spectrogram, read_wav, write_wav
from girsanov.data.dataset import Codec, Dataset, codec_from_config
from girsanov.data.images import ImageCodec
from girsanov.data.maps import airports
from girsanov.data.noises import at_snr, babble, hum, noisy_pairs, pink, reverberate
from girsanov.data.priors import digits_mixture
from girsanov.data.reading import read
from girsanov.data.sets import (
    brain,
    breast_cancer,
    diabetes,
    digits,
    faces,
    fashion_mnist,
    mnist5k,
    patches,
    speech,
    wine,
)
from girsanov.data.sources import BUILTIN
from girsanov.data.tables import TableCodec
from girsanov.data.texts import TextCodec
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
    "Recording",
    "Spectrogram",
    "TableCodec",
    "TextCodec",
    "airports",
    "at_snr",
    "babble",
    "brain",
    "breast_cancer",
    "checkerboard",
    "circles",
    "codec_from_config",
    "diabetes",
    "digits",
    "digits_mixture",
    "faces",
    "fashion_mnist",
    "grid",
    "hum",
    "mnist5k",
    "moons",
    "noisy_pairs",
    "patches",
    "pink",
    "pinwheel",
    "read",
    "read_wav",
    "reverberate",
    "ring",
    "ring_of_gaussians",
    "speech",
    "spirals",
    "swiss_roll",
    "wine",
    "write",
    "write_wav",
]
