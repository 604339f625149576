"""Constraint sets: membership by independent formulas, distances by nearest points, and bad sets refused."""

import json

import pytest
import torch
from scipy.stats import kstest
from set_examples import APART, CUT, SETS, STAR, around, within

from girsanov.errors import InputError, SavedFileError
from girsanov.noise import Noise
from girsanov.processes import Box, Polygon, Polytope, Simplex, SPDTrace, Union
from girsanov.processes.constrained import set_from
from girsanov.processes.sets import require_inside
from girsanov.processes.uniform import size, uniform_points

ALPHA = 1e-5
EACH = pytest.mark.parametrize("name", SETS)


@EACH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_membership_is_that_of_another_formula(name, dtype):
    x = around(SETS[name], 100_000).to(dtype)
    found = SETS[name].contains(x).numpy()
    assert (found == within(name, x)).all()
    if name != "simplex":  # whose box holds one point in four million
        assert 10 < found.sum() < len(x)


@EACH
def test_nan_is_not_inside(name):
    x = torch.full((1, SETS[name].features), torch.nan)
    assert not SETS[name].contains(x).item()


@EACH
def test_the_ball_of_the_distance_is_inside_and_barely(name):
    """All points at 0.999 of the distance are inside, and the one at 1.001 down its slope is not."""
    inside = SETS[name]
    x = uniform_points(inside, torch.empty(40, inside.features, dtype=torch.float64), Noise(0))
    d = inside.distance(x)
    assert (d > 0).all()
    y = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(inside.distance(y).sum(), y)
    torch.testing.assert_close(slope.norm(dim=1), torch.ones(40, dtype=torch.float64))
    u = Noise(1).draw(torch.empty(40, 2000, inside.features, dtype=torch.float64), 0)
    u = torch.cat([u / u.norm(dim=2, keepdim=True), -slope[:, None]], 1)
    ball = (x[:, None] + 0.999 * d[:, None, None] * u).flatten(0, 1)
    assert inside.contains(ball).all()
    if name not in ("union", "polygon"):  # a lower bound, and corners that point inwards
        assert not inside.contains(x - 1.001 * d[:, None] * slope).any()
    outside = around(inside, 2000)
    assert (inside.distance(outside)[~inside.contains(outside)] == 0).all()


def test_the_distance_of_a_polygon_is_shapelys():
    import shapely

    x = around(STAR, 2000)
    theirs = shapely.distance(STAR.geometry.boundary, shapely.points(x.numpy()))
    ours = STAR.distance(x)
    expected = torch.from_numpy(theirs) * STAR.contains(x)
    torch.testing.assert_close(ours, expected, atol=1e-12, rtol=1e-9)
    assert STAR.area == pytest.approx(4 - 0.5 * 2 * 1.4 - 0.5 * 0.4 * 0.3)


def test_a_matrix_and_its_vector():
    space = SPDTrace(3)
    S = Noise(0).draw(torch.empty(5, 3, 3, dtype=torch.float64), 0)
    S = S + S.mT
    x = space.vectors(S)
    torch.testing.assert_close(space.matrices(x), S)
    torch.testing.assert_close(x.norm(dim=1), S.flatten(1).norm(dim=1))


def test_the_bounds_of_a_polytope_are_its_corners():
    low, high = CUT.bounds
    assert low == pytest.approx((0, 0, 0), abs=1e-9) and high == pytest.approx((2, 3, 2))
    assert APART.bounds == ((0.0, 0.0), (2.0, 1.5))


@EACH
def test_uniform_points_are_inside_and_the_same_whatever_the_batch(name):
    inside, like = SETS[name], torch.empty(300, SETS[name].features)
    if name == "matrices 3":
        like = like[:70]
    x = uniform_points(inside, like, Noise(3))
    assert within(name, x).all()
    parts = [
        uniform_points(inside, like[:10], Noise(3)),
        uniform_points(inside, like[10:], Noise(3).shifted(10)),
    ]
    torch.testing.assert_close(torch.cat(parts), x)


def test_uniform_points_of_the_simplex_are_beta():
    x = uniform_points(Simplex(10), torch.empty(50_000, 10), Noise(0))
    for column in (x[:, 0], x[:, 9], 1 - x.sum(1)):
        assert kstest(column.double().numpy(), "beta", args=(1, 10)).pvalue > ALPHA


def test_hit_and_run_is_uniform_where_rejection_is_hopeless():
    """The simplex once more, as a polytope that does not know its closed form."""
    facets, right = Simplex(10).facets
    blind = Polytope(facets.tolist(), right.tolist())
    x = uniform_points(blind, torch.empty(4000, 10, dtype=torch.float64), Noise(0))
    for column in (x[:, 0], x[:, 9], 1 - x.sum(1)):
        assert kstest(column.numpy(), "beta", args=(1, 10)).pvalue > ALPHA


def test_the_long_walk_of_matrices_is_uniform():
    """The trace of a uniform matrix with 6 coordinates has the law of bound · U^(1/6): the set is a cone."""
    space = SPDTrace(3, 2.0)
    x = uniform_points(space, torch.empty(2000, 6), Noise(0))
    assert kstest((x[:, :3].sum(1) / 2).double().numpy(), lambda v: v**6).pvalue > ALPHA


def test_the_size_of_an_interval():
    assert size(Box([0.0], [1.0])).most == pytest.approx(12**-0.5, rel=0.03)


@EACH
def test_a_set_survives_json(name):
    assert set_from(json.loads(json.dumps(SETS[name].to_config()))) == SETS[name]


def feature(coordinates, name, kind="Polygon"):
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "properties": {"name": name}, "geometry": geometry}


def test_geojson(tmp_path):
    square, far = [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]], [[[5, 5], [6, 5], [5, 6], [5, 5]]]
    path = tmp_path / "map.geojson"
    many = [feature(square, "one"), feature([square, far], "two", "MultiPolygon")]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": many}))
    one = Polygon.from_geojson(path, where={"name": "one"})
    assert one == Polygon([(0, 0), (1, 0), (1, 1), (0, 1)])
    both = Polygon.from_geojson(path, where={"name": "two"})
    assert isinstance(both, Union) and both.contains(torch.tensor([[5.2, 5.2], [3.0, 3.0]])).tolist() == [
        True,
        False,
    ]
    assert len(Polygon.from_geojson(path).parts) == 3
    with pytest.raises(InputError, match=r"none of the 2 features.*'three'.*properties name"):
        Polygon.from_geojson(path, where={"name": "three"})
    path.write_text(json.dumps(feature([[0, 0], [1, 1]], "line", "LineString")))
    with pytest.raises(InputError, match="LineString has no interior"):
        Polygon.from_geojson(path)
    for broken in ("", "{}", "[1]", '{"type": "Topology"}'):
        path.write_text(broken)
        with pytest.raises(SavedFileError, match="cannot be read as GeoJSON"):
            Polygon.from_geojson(path)


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: Polytope([[1.0, 0.0], [-1.0, 0.0], [0.0, -1.0]], [1.0, 1.0, 0.0]), "unbounded above along coordinate 1"),
        (lambda: Polytope([[1.0], [-1.0]], [0.0, -1.0]), "empty or has no interior"),
        (lambda: Polytope([[1.0, 0], [-1, 0], [0, 1], [0, -1]], [1, -1, 1, 0]), "no interior"),
        (lambda: Polytope([[1.0, 1.0], [0.0, 0.0]], [1.0, 1.0]), "row \\[1\\] of A is zero"),
        (lambda: Polytope([[1.0], [-1.0]], [1.0]), "one b a row"),
        (lambda: Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), "Self-intersection"),
        (lambda: Polygon([(0, 0), (1, 1)]), "at least three"),
        (lambda: Polygon([(0, 0, 0), (1, 1, 0), (1, 0, 0)]), "give two"),
        (lambda: Polygon([(0, 0), (1, 0), (0, 1)], [[(3, 3), (4, 3), (3, 4)]]), "make no polygon"),
        (lambda: Box([0.0, 1.0], [1.0, 1.0]), "lower < upper"),
        (lambda: Box([0.0], [float("inf")]), "finite"),
        (lambda: Simplex(0), "dim is 0"),
        (lambda: SPDTrace(2, -1.0), "bound is -1"),
        (lambda: Union((Simplex(1), Simplex(2))), "parts of one space"),
    ],
)  # fmt: skip
def test_a_bad_set_is_refused(make, said):
    with pytest.raises(InputError, match=said):
        make()


def test_a_point_outside_is_named_with_its_facet():
    x = torch.tensor([[0.5, 0.5, 0.5], [0.5, -0.25, 0.5], [9.0, 0.0, 0.0]])
    with pytest.raises(InputError, match=r"2 of 3 rows of x0.*index 1.*facet 1 by 0.25"):
        require_inside(CUT, x, "x0")
    with pytest.raises(InputError, match=r"vectors \(B, 3\)"):
        require_inside(CUT, x[:, :2], "x0")
    require_inside(CUT, x[:1], "x0")
