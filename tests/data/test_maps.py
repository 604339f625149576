"""The map of airports: its projection against the sphere, its border against the country."""

import importlib
import math

import numpy as np
import pytest
import torch

from girsanov import data
from girsanov.data.maps import RADIUS, albers
from girsanov.errors import MissingExtra


def test_the_projection_keeps_areas():
    """Of cells of a degree: R² Δλ (sin φ_2 - sin φ_1) on the sphere, to the bend of a side on the map."""
    for west, south in ((-120.0, 30.0), (-96.0, 37.0), (-70.0, 45.0)):
        side = np.linspace(0, 1, 200)
        south_east, north = np.stack([side, 0 * side], 1), np.stack([1 + 0 * side, side], 1)
        ring = np.concatenate([south_east, north, 1 - south_east, 1 - north]) + np.array([west, south])
        x, y = albers(ring).T
        area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
        a, b = (math.sin(math.radians(latitude)) for latitude in (south, south + 1))
        assert area == pytest.approx(RADIUS**2 * math.radians(1) * (b - a), rel=1e-5)


def test_a_standard_parallel_keeps_its_length_and_north_is_up():
    places = albers(np.array([[-96.0, 37.5], [-96.0, 29.5], [-95.9, 29.5], [-96.0, 45.5]]))
    assert places[0] == pytest.approx([0, 0], abs=1e-12)
    step = np.linalg.norm(places[2] - places[1])
    assert step == pytest.approx(RADIUS * math.cos(math.radians(29.5)) * math.radians(0.1), rel=1e-6)
    assert places[3, 1] > 0 > places[1, 1]


def test_airports_are_inside_a_country_of_the_right_size():
    x, border = data.airports()
    assert x.shape == (3025, 2) and x.dtype == torch.float32 and border.contains(x).all()
    # 8.08 million km² with the lakes within (U.S. Census Bureau, 2010), to the coarseness of the coast.
    assert border.area == pytest.approx(8.08, rel=0.04)
    gulf, kansas, ontario = albers(np.array([[-90.0, 27.0], [-98.0, 38.5], [-85.0, 50.0]]))
    found = border.contains(torch.from_numpy(np.stack([gulf, kansas, ontario])))
    assert found.tolist() == [False, True, False]


@pytest.mark.parametrize("package", ["shapely", "pyogrio", "vega_datasets"])
def test_a_missing_package_is_named(package, monkeypatch):
    real = importlib.import_module

    def without(name, *rest):
        if name.startswith(package):
            raise ImportError(f"No module named {package!r}")
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MissingExtra, match=rf"{package}.*girsanov\[maps\]"):
        data.airports()
