"""Points on a map inside a border, from data that other packages ship: nothing is downloaded or copied here.

Longitudes λ and latitudes φ are brought to the plane by Albers' equal-area conic projection of a sphere of radius R,

    n = (sin φ_1 + sin φ_2)/2,   ρ(φ) = R √(cos² φ_1 + 2n (sin φ_1 - sin φ))/n,
    x = ρ(φ) sin n(λ - λ_0),     y = ρ(φ_0) - ρ(φ) cos n(λ - λ_0),

so that "uniform in the plane" means uniform on the Earth. Lengths are in 1,000 km, which leaves the country about as
large as a network likes.

Oracle: areas on the sphere, distances between cities, shapely's membership (tests/data/test_maps.py).
Source: Snyder (1987), Map projections: a working manual, equations 14-1 to 14-6.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from girsanov.errors import SavedFileError, extra, require
from girsanov.processes import Polygon

RADIUS = 6.371
"""Of the Earth, in 1,000 km."""

PARALLELS = 29.5, 45.5
"""The standard parallels of maps of the United States, in degrees."""

CENTRE = -96.0, 37.5
"""The longitude and latitude that are brought to (0, 0)."""

LONGEST = 1.0
"""Edges of a border are cut to this length, in degrees, for a parallel is no straight line on the map."""


def airports() -> tuple[Tensor, Polygon]:
    """3,025 airports of the United States, and the border of its largest connected part.

    The airports are shipped with vega_datasets (MIT); they are from OurAirports, public domain. The border is shipped
    with pyogrio (MIT), in the files that its tests read; it is from Natural Earth at 1:110 million, public domain.
    So coarse is it that some forty airports by the sea fall outside; they are left out, as are those of Alaska, Hawaii
    and the territories.

    Returns:
        x (3025, 2) float32, in 1,000 km east and north of 96° W, 37.5° N; all in the polygon.

    Raises:
        MissingExtra: vega_datasets, pyogrio or shapely is not installed.
        SavedFileError: the packages no longer hold these files.
    """
    border = _united_states()
    package = Path(str(extra("vega_datasets", "maps").__file__)).parent
    table = package / "_data" / "airports.csv"
    require(table.is_file(), f"vega_datasets holds no {table.name}; install version 0.9", SavedFileError)
    with table.open(encoding="utf-8", newline="") as lines:
        places = [(float(row["longitude"]), float(row["latitude"])) for row in csv.DictReader(lines)]
    x = torch.from_numpy(albers(np.array(places))).float()
    return x[border.contains(x)], border


def albers(degrees: np.ndarray) -> np.ndarray:
    """(N, 2) longitudes and latitudes in degrees to (N, 2) in 1,000 km; see the head of the module."""
    first, second = (math.sin(math.radians(parallel)) for parallel in PARALLELS)
    n = (first + second) / 2
    middle, origin = CENTRE

    def rho(latitude: Any) -> Any:
        return RADIUS * np.sqrt(1 - first**2 + 2 * n * (first - np.sin(np.radians(latitude)))) / n

    angle = n * np.radians(degrees[:, 0] - middle)
    r = rho(degrees[:, 1])
    return np.stack([r * np.sin(angle), rho(origin) - r * np.cos(angle)], 1)


def _united_states() -> Polygon:
    """The 48 states that hang together, on the map."""
    raw, shapely = extra("pyogrio.raw", "maps"), extra("shapely", "maps")
    folder = (
        Path(str(extra("pyogrio", "maps").__file__)).parent / "tests" / "fixtures" / "naturalearth_lowres"
    )
    path = folder / "naturalearth_lowres.shp"
    require(
        path.is_file(),
        f"pyogrio holds no {path.name}, which its tests read; install version 0.8 to 0.13",
        SavedFileError,
    )
    geometry = raw.read(path, columns=["name"], where="name = 'United States of America'")[2]
    largest = max(shapely.from_wkb(geometry[0]).geoms, key=lambda part: part.area)
    found = Polygon.from_shapely(shapely.transform(shapely.segmentize(largest, LONGEST), albers))
    assert isinstance(found, Polygon)
    return found
