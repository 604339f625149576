"""Draw docs/figures/restoration.png: one model of Fashion-MNIST, three measurements of pictures it has not seen.

python docs/draw_restoration.py RUN      a run on 28×28 pictures in grey, as `girsanov train` or benchmarks/fashion.py make
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import girsanov as gv
from girsanov.inverse import (
    BlockDownsampling,
    CircularBlur,
    Inpainting,
    Measurement,
    PiGDM,
    PosteriorSamples,
    posterior,
)

FIGURE = Path(__file__).parent / "figures" / "restoration.png"
SHAPE, PICTURES = (1, 28, 28), (7, 0, 23)


def main(run: str) -> None:
    """Measure, restore, draw."""
    model = gv.load(run)
    x = gv.data.fashion_mnist("test")[0][list(PICTURES)]
    mask = torch.ones(SHAPE)
    mask[..., :14, :] = 0
    hidden, blur, small = Inpainting(mask), CircularBlur.gaussian(1.2, SHAPE), BlockDownsampling(SHAPE, 2)
    found, seen = [], []
    for operator, picture, noise in ((hidden, x[:1], 0.02), (blur, x[1:2], 0.06), (small, x[2:], 0.02)):
        m = Measurement.of(operator, picture, noise, generator=gv.Noise(0))
        found.append(posterior(model, m, 16, sampler=PiGDM(100, data_std=0.5), seed=0))
        seen.append(m.y if operator is blur else operator.pinv(m.y))
    rows = PosteriorSamples(
        torch.cat([one.x for one in found]), found[0].calls, sum(one.seconds for one in found)
    )
    rows.draw(FIGURE, measured=torch.cat(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
