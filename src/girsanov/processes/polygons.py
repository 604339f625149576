"""A polygon in the plane, convex or not, with holes: a country, a lake, a floor plan.

Membership is asked of shapely's prepared geometry, which on the outline of the United States (233 edges) takes
0.1 µs a point where an even-odd rule in tensors takes 0.8 µs. The distance to the boundary,

    min over edges (p, q) of |x - p - u e|,   e = q - p,   u = (x - p)·e/|e|² cut to [0, 1],

is a tensor, since a loss differentiates it. It needs the extra `maps`.

Oracle: areas and membership of shapes known in closed form, shapely's own distance (tests/processes).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from girsanov.errors import InputError, SavedFileError, extra, require
from girsanov.processes.sets import Numbers, Union, double, numbers

Ring = Sequence[Sequence[float]]

CHUNK = 2**20
"""Pairs of points and edges that are looked at together."""


@dataclass(frozen=True)
class Polygon:
    """The points within a closed line and not within its holes.

    Args:
        vertices: (V, 2) corners in order, the last joined to the first.
        holes: rings of the same kind, within.

    Raises:
        InputError: fewer than three corners, lines that cross, holes that are not within.
        MissingExtra: shapely is not installed.
    """

    vertices: Ring
    holes: Sequence[Ring] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "vertices", _ring(self.vertices, "vertices"))
        object.__setattr__(self, "holes", tuple(_ring(hole, "a hole") for hole in self.holes))
        why = extra("shapely", "maps").is_valid_reason(self.geometry)
        require(
            why == "Valid Geometry",
            f"these vertices make no polygon: {why}. Its lines must not cross or touch; with shapely, "
            "make_valid(geometry) mends most",
        )

    @classmethod
    def from_geojson(
        cls, path: str | Path, *, where: Mapping[str, str | int | float] | None = None
    ) -> Polygon | Union:
        """The polygons of a GeoJSON file, several as their union.

        Args:
            path: a geometry, a feature or a collection of features.
            where: keep the features with these properties, such as {"name": "Chad"}; None keeps all.

        Raises:
            SavedFileError: no such file, or no GeoJSON.
            InputError: no feature is left, or one is no polygon.
        """
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
            features = _features(found)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SavedFileError(f"{path} cannot be read as GeoJSON: {error!r}") from error
        kept = [
            shape
            for shape, properties in features
            if all(properties.get(k) == v for k, v in (where or {}).items())
        ]
        known = sorted({key for _, properties in features for key in properties})
        require(
            len(kept) > 0,
            f"none of the {len(features)} features of {path} has {dict(where or {})}; they have the properties "
            f"{', '.join(known) or '(none)'}",
        )
        geometry = extra("shapely.geometry", "maps")
        return joined([cls._of(part) for shape in kept for part in _polygons(geometry.shape(shape))])

    @classmethod
    def _of(cls, shape: Any) -> Polygon:
        """From a polygon of shapely's."""
        return cls(shape.exterior.coords, tuple(ring.coords for ring in shape.interiors))

    @classmethod
    def from_shapely(cls, shape: Any) -> Polygon | Union:
        """From a polygon of shapely's, or from several."""
        return joined([cls._of(part) for part in _polygons(shape)])

    @property
    def features(self) -> int:
        return 2

    @cached_property
    def geometry(self) -> Any:
        """The polygon of shapely, prepared for questions."""
        shapely = extra("shapely", "maps")
        made = shapely.Polygon(self.vertices, self.holes)
        shapely.prepare(made)
        return made

    @property
    def area(self) -> float:
        """Its area, without the holes."""
        return float(self.geometry.area)

    @property
    def bounds(self) -> tuple[Numbers, Numbers]:
        west, south, east, north = self.geometry.bounds
        return (west, south), (east, north)

    @cached_property
    def edges(self) -> tuple[Tensor, Tensor]:
        """Starts and ends (E, 2) of all edges, float64."""
        rings = [double(ring) for ring in (self.vertices, *self.holes)]
        return torch.cat(rings), torch.cat([ring.roll(-1, 0) for ring in rings])

    def contains(self, x: Tensor) -> Tensor:
        y = x.detach().cpu().double().numpy()
        found = extra("shapely", "maps").contains_xy(self.geometry, y[:, 0], y[:, 1])
        return torch.from_numpy(found).to(x.device)

    def distance(self, x: Tensor) -> Tensor:
        start, stop = (end.to(x.device) for end in self.edges)
        with torch.no_grad():  # differentiate the nearest edge only
            parts = x.double().split(max(1, CHUNK // len(start)))
            nearest = torch.cat([_nearest(part, start, stop) for part in parts])
            inside = self.contains(x)
        p, q = (end[nearest].to(x.dtype) for end in (start, stop))
        # Away from 0, where a square root has no derivative.
        found = _squared(x, p, q).clamp(min=torch.finfo(x.dtype).tiny).sqrt()
        return torch.where(inside, found, 0.0)

    def to_config(self) -> dict[str, Any]:
        return {
            "set": "Polygon",
            "vertices": [list(v) for v in self.vertices],
            "holes": [[list(v) for v in hole] for hole in self.holes],
        }


def joined(parts: Sequence[Polygon]) -> Polygon | Union:
    """One polygon as it is, several as their union."""
    return parts[0] if len(parts) == 1 else Union(tuple(parts))


def _squared(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """Squared distances (B,) from points to segments, row by row."""
    edge, away = q - p, x - p
    u = ((away * edge).sum(1) / edge.square().sum(1)).clamp(0, 1)
    return (away - u[:, None] * edge).square().sum(1)


def _nearest(x: Tensor, start: Tensor, stop: Tensor) -> Tensor:
    """The index (B,) of the segment (E, 2) nearest to each point (B, 2).

    |x - p|² - 2 u (x - p)·e + u² |e|² without |x|², written out: products of matrices and few passes over (B, E).
    """
    edge = stop - start
    length = edge.square().sum(1)
    along = x @ edge.T - (start * edge).sum(1)
    u = (along / length).clamp(0, 1)
    return (start.square().sum(1) - 2 * x @ start.T + u * (u * length - 2 * along)).argmin(1)


def _ring(points: Ring, name: str) -> tuple[Numbers, ...]:
    ring = [numbers(point, f"a point of {name}") for point in points]
    require(
        all(len(point) == 2 for point in ring),
        f"{name} has points of {sorted({len(point) for point in ring})} coordinates; give two",
    )
    if ring and ring[0] == ring[-1]:
        ring = ring[:-1]
    require(len(set(ring)) >= 3, f"{name} has {len(set(ring))} different points; give at least three")
    return tuple(point for i, point in enumerate(ring) if point != ring[i - 1])


def _features(found: Any) -> list[tuple[dict, dict]]:
    """(geometry, properties) of every feature."""
    if found["type"] == "FeatureCollection":
        return [pair for each in found["features"] for pair in _features(each)]
    if found["type"] == "Feature":
        return [(found["geometry"], found.get("properties") or {})]
    if "coordinates" not in found:
        raise ValueError(f"the type {found['type']!r} holds no polygon")
    return [(found, {})]


def _polygons(shape: Any) -> list[Any]:
    """The polygons of a geometry of shapely's."""
    if shape.geom_type == "Polygon":
        return [shape]
    if shape.geom_type == "MultiPolygon":
        return list(shape.geoms)
    raise InputError(f"a {shape.geom_type} has no interior; give polygons")
