"""Tables with holes: the exact conditional on a Gaussian table, categories, series, what is refused."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from girsanov import exact, inverse
from girsanov.errors import InputError
from girsanov.inverse.coordinates import Coordinates, windows
from girsanov.inverse.layout import Layout
from girsanov.inverse.selection import Problem, choose_priors
from girsanov.metrics import crps, interval_coverage
from girsanov.noise import Noise

SMALL = inverse.Prior("power", 2, 2)


def hide(frame, share=0.3, seed=0):
    """Each cell missing with chance `share`, and which."""
    hidden = np.random.default_rng(seed).random(frame.shape) < share
    return frame.mask(pd.DataFrame(hidden, frame.index, frame.columns)), hidden


def mixed(n=400, seed=0):
    """Two numbers, a text and a boolean that depend on each other, and a constant."""
    rng = np.random.default_rng(seed)
    place = rng.integers(0, 3, n)
    x = rng.normal(size=n) + 4.0 * place
    return pd.DataFrame(
        {
            "x": x,
            "count": np.rint(10 + 2 * x + rng.normal(size=n)),
            "place": np.array(["a", "b", "c"])[place],
            "high": pd.Series(x > 4, dtype=object),
            "unit": 1.5,
        }
    )


def drawn(imputation, column, where):
    return np.stack([table[column][where].to_numpy() for table in imputation.tables])


def test_a_gaussian_table_scores_like_the_exact_conditional_law():
    a = torch.tensor(
        [[1.0, 0, 0, 0], [0.8, 0.5, 0, 0], [-0.6, 0.5, 0.6, 0], [0.9, 0, 0.3, 0.2]], dtype=torch.float64
    )
    law = exact.Gaussian(torch.zeros(4), a @ a.T)
    x = law.sample(1500, generator=Noise(0))
    frame, hidden = hide(pd.DataFrame(x.numpy(), columns=list("abcd")))
    variance, c = torch.zeros(1500, 4, dtype=torch.float64), law.covariances[0]
    mean = torch.zeros_like(variance)
    for i, gone in enumerate(torch.from_numpy(hidden)):
        gain = c[gone][:, ~gone] @ c[~gone][:, ~gone].inverse()
        mean[i, gone] = gain @ x[i, ~gone]
        variance[i, gone] = (c[gone][:, gone] - gain @ c[~gone][:, gone]).diagonal()
    found = inverse.TableImputer.learn(frame, prior=inverse.Prior("power", 1, 3, 0.1)).draw(frame, 20)
    draws = torch.from_numpy(np.stack([t.to_numpy()[hidden] for t in found.tables]))
    truth = x[torch.from_numpy(hidden)]
    best = crps(
        mean[hidden]
        + variance[hidden].sqrt() * torch.randn(20, len(truth), generator=torch.Generator().manual_seed(0)),
        truth,
    )
    closed = float((variance[hidden] / math.pi).sqrt().mean())  # of N(m, s²) under itself: s/√π
    gap, error = float(crps(draws, truth).mean()) - closed, float(best.std()) / math.sqrt(len(best))
    assert abs(float(best.mean()) - closed) < 4 * error
    assert abs(gap) < 4 * error
    assert abs(interval_coverage(draws, truth) - 0.9) < 0.03
    marginal = crps(torch.randn(20, len(truth), generator=torch.Generator().manual_seed(1)), truth)
    assert float(marginal.mean()) - closed > 20 * error  # the test can fail


def test_what_was_there_stays_and_types_come_back():
    whole = mixed()
    frame, hidden = hide(whole)
    found = inverse.TableImputer.learn(frame, prior=SMALL).draw(frame, 3)
    for table in found.tables:
        assert not table.isna().any().any() and list(table.columns) == list(whole.columns)
        pd.testing.assert_frame_equal(table.where(~found.missing), frame, check_dtype=False)
        assert table["high"].dtype == bool and table["place"].dtype == whole["place"].dtype
        assert (table["count"] % 1 == 0).all() and table["count"].between(
            whole["count"].min(), whole["count"].max()
        ).all()
        assert (table["unit"] == 1.5).all()
    np.testing.assert_array_equal(found.missing, hidden)
    assert not found.tables[0].equals(found.tables[1])


def test_every_type_comes_back_as_it_was():
    i = np.arange(40)
    whole = pd.DataFrame(
        {
            "nullable": pd.array(i, dtype="Int64"),
            "nullable float": pd.array(i / 4, dtype="Float64"),
            "single": (i / 7).astype("float32"),
            "arrow": pd.array(i, dtype="int64[pyarrow]"),
            "string": pd.array(np.array(["u", "v"])[i % 2], dtype="string"),
            "flag": pd.array(i % 2 == 0, dtype="boolean"),
            "grade": pd.Categorical.from_codes(i % 2, ["low", "mid", "high"], ordered=True),
            "object": pd.Series(np.array(["a", "b"], object)[i % 2], dtype=object),
        },
    ).set_axis(i % 7)  # an index that repeats
    frame = whole.copy()
    for k, name in enumerate(whole.columns):
        frame.iloc[k::9, k] = pd.NA if name not in ("single", "object", "grade") else np.nan
    found = inverse.TableImputer.learn(frame, prior=inverse.Prior("power", 1, 1)).draw(frame, 2)
    for table in found.tables:
        assert not table.isna().any().any()
        assert (table.dtypes.drop("object") == whole.dtypes.drop("object")).all()
        assert table.index.equals(whole.index) and table["grade"].cat.ordered
    assert len(found.cells(0.3)) == frame.isna().to_numpy().sum()


def test_categories_follow_what_is_known():
    frame, hidden = hide(mixed(1500))
    whole = mixed(1500)
    found = inverse.TableImputer.learn(frame, prior=inverse.Prior("power", 4, 3)).draw(frame, 20)
    where = hidden[:, 2]
    right = drawn(found, "place", where) == whole["place"][where].to_numpy()
    assert right.mean() > 0.7  # by chance it is a third
    share = np.concatenate([(drawn(found, "place", where) == value).mean(0) for value in "abc"])
    came = np.concatenate([whole["place"][where].to_numpy() == value for value in "abc"])
    open_ = (share > 0.2) & (share < 0.9)
    assert open_.sum() > 100
    assert abs(came[open_].mean() - share[open_].mean()) < 4 * 0.5 / np.sqrt(open_.sum())
    flags = found.tables[0]["high"] == (found.tables[0]["x"] > 4)
    assert flags.mean() > 0.9


def test_shares_of_a_category_that_depends_on_nothing():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"x": rng.normal(size=2000), "kind": rng.choice(["u", "v", "w"], 2000, p=[0.6, 0.3, 0.1])}
    )
    holes, hidden = hide(frame)
    found = inverse.TableImputer.learn(holes, prior=inverse.Prior("power", 1, 1)).draw(holes, 20)
    seen = holes["kind"].value_counts(normalize=True)
    for value in "uvw":
        assert abs((drawn(found, "kind", hidden[:, 1]) == value).mean() - seen[value]) < 0.02


def test_lines_of_cells():
    frame, hidden = hide(mixed(100))
    found = inverse.TableImputer.learn(frame, prior=SMALL).draw(frame, 20)
    lines = found.cells()
    assert len(lines) == hidden.sum() and (lines["row"].diff().dropna() >= 0).all()
    numbers = lines[lines["column"].isin(["x", "count"])]
    assert (numbers["low"] <= numbers["mean"]).all() and (numbers["mean"] <= numbers["high"]).all()
    one = lines[lines["column"] == "place"].iloc[0]
    values = [table["place"].iloc[one["row"]] for table in found.tables]
    assert one["share"] == pytest.approx(values.count(one["value"]) / 20)
    with pytest.raises(InputError, match="39 draws"):
        found.cells(0.95)


def test_draws_are_repeated_by_their_seed_whatever_their_number():
    frame, _ = hide(mixed(100))
    imputer = inverse.TableImputer.learn(frame, prior=SMALL, seed=3)
    first, again, other = (imputer.draw(frame, n, seed=s).tables[1] for n, s in ((2, 1), (3, 1), (2, 2)))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)
    before = torch.random.get_rng_state()
    pd.testing.assert_frame_equal(
        inverse.TableImputer.learn(frame, prior=SMALL, seed=3).draw(frame, 2, seed=1).tables[1], first
    )
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_fits_differ_by_what_the_table_leaves_open():
    frame, _ = hide(mixed(30))
    imputer = inverse.TableImputer.learn(frame, prior=SMALL)
    assert len({float(fit.mixture.means.sum()) for fit in imputer.fits}) == len(imputer.fits) == 5


def test_rows_without_anything_and_new_rows():
    frame, _ = hide(mixed(300))
    imputer = inverse.TableImputer.learn(frame, prior=SMALL)
    empty = frame.iloc[:200].copy()
    empty.loc[:] = np.nan
    found = drawn(imputer.draw(empty.astype({"x": float, "count": float}), 20), "x", slice(None))
    assert abs(found.mean() - frame["x"].mean()) < 0.5 and abs(found.std() / frame["x"].std() - 1) < 0.1


def test_the_choice_finds_clusters_and_skewness():
    means = torch.tensor([[-4.0, -4, 4, 4], [4, -4, -4, 4], [0, 4, 0, -4]])
    x = exact.GaussianMixture(means, 1.0).sample(300, generator=Noise(0)).numpy()
    x, _ = hide(pd.DataFrame(x))
    groups = tuple(range(j, j + 1) for j in range(4))
    told = []
    scores = choose_priors(Problem(x.to_numpy(), groups, (), ()), 3, Noise(0), told.append)
    best = next(iter(scores))
    assert 3 <= best.components <= 4 and 0.1 < scores[best] < 0.4
    assert len(told) >= 5 and list(scores.values()) == sorted(scores.values()) and len(scores) <= 3


# --- series


def test_windows_are_neighbours():
    z = torch.arange(1.0, 5)[:, None]
    found = windows(z, (1, 3))
    nan = float("nan")
    expected = torch.tensor(
        [[1, nan, nan, 2, 4], [2, 1, nan, 3, nan], [3, 2, nan, 4, nan], [4, 3, 1, nan, nan]]
    )
    torch.testing.assert_close(found, expected, equal_nan=True)


def test_a_gap_of_a_series_is_bridged():
    rng = np.random.default_rng(0)
    path = np.zeros(1200)
    for t in range(1, 1200):
        path[t] = 0.95 * path[t - 1] + 0.3 * rng.normal()
    frame, hidden = hide(pd.DataFrame({"y": path}), 0.2)
    alone = inverse.TableImputer.learn(frame, prior=inverse.Prior("power", 1, 0)).draw(frame, 20)
    bridged = inverse.TableImputer.learn(frame, prior=inverse.Prior("power", 1, 3), lags=(1, 2)).draw(
        frame, 20
    )
    truth = torch.from_numpy(path[hidden[:, 0]])
    scores = [
        crps(torch.from_numpy(np.stack([t["y"].to_numpy()[hidden[:, 0]] for t in i.tables])), truth).mean()
        for i in (alone, bridged)
    ]
    # between known neighbours the deviation is 0.3/√(1 + 0.95²) = 0.22, of the whole it is 0.3/√(1 - 0.95²) = 0.96
    assert scores[1] < 0.35 * scores[0]


def test_draws_of_a_long_gap_move_together():
    path = np.zeros(800)
    for t in range(1, 800):
        path[t] = 0.95 * path[t - 1] + 0.3 * np.random.default_rng(t).normal()
    frame = pd.DataFrame({"y": path})
    gap = slice(300, 306)
    frame.loc[300:305, "y"] = np.nan
    found = inverse.TableImputer.learn(frame, prior=inverse.Prior("power", 1, 3), lags=(1, 2, 4)).draw(
        frame, 200
    )
    steps = np.diff(np.stack([t["y"].to_numpy() for t in found.tables])[:, gap], axis=1).std()
    apart = np.stack([t["y"].to_numpy() for t in found.tables])[:, gap].std(0).mean()
    assert (
        0.2 < steps < 0.4
    )  # steps of the process are 0.3; independent draws would make steps of √2 times `apart`
    assert apart > 0.35


# --- what is refused


def broken(**columns):
    return pd.DataFrame({"x": [1.0, 2.0, np.nan, 4.0], "y": ["a", "b", "a", None], **columns})


@pytest.mark.parametrize(
    "frame, word",
    [
        (broken(z=[np.nan] * 4), "no value in any row"),
        (broken(z=[1.0, np.inf, 2.0, 3.0]), "row 1 of column 'z' is infinite"),
        (broken(z=pd.to_datetime(["2020-01-01"] * 4)), "dates"),
        (pd.DataFrame({"x": [1.0, np.nan, 1.0]}), "varies"),
        (pd.DataFrame({"x": [1.0, np.nan]}), "varies"),
        (pd.DataFrame({"x": [1.0, 2.0]}), "at least 3"),
        (pd.DataFrame({"name": [f"person {i}" for i in range(200)]}), "names and free text"),
        (pd.DataFrame(), "at least one of each"),
        ([[1.0]], "DataFrame"),
    ],
)
def test_a_table_that_cannot_be_learned_is_refused(frame, word):
    with pytest.raises(InputError, match=word):
        inverse.impute(frame)


@pytest.mark.parametrize(
    "change, word",
    [
        (lambda f: f.drop(columns="x"), "column 'x' is missing"),
        (lambda f: f.assign(extra=1.0), "column 'extra' is new"),
        (lambda f: f.assign(x="text"), "was numbers and is now a category"),
        (lambda f: f.assign(place=1.0), "was a category .* and is now numbers"),
        (lambda f: f.assign(place="z"), "'z'"),
    ],
)
def test_a_table_of_other_types_is_refused(change, word):
    frame, _ = hide(mixed(60))
    with pytest.raises(InputError, match=word):
        inverse.TableImputer.learn(frame, prior=SMALL).draw(change(frame))


def test_numbers_out_of_range_are_refused():
    frame, _ = hide(mixed(60))
    with pytest.raises(InputError, match="at least 1 draw"):
        inverse.TableImputer.learn(frame, prior=SMALL).draw(frame, 0)
    with pytest.raises(InputError, match="lags"):
        inverse.impute(frame, lags=(0,))
    with pytest.raises(InputError, match="lags"):
        inverse.impute(frame, lags=(2, 2))


def test_features_and_back():
    frame, hidden = hide(mixed(50))
    layout = Layout.learn(frame)
    features = layout.features(mixed(50))
    pd.testing.assert_frame_equal(layout.fill(frame, features), mixed(50), check_dtype=False)
    assert layout.categories == (range(2, 5), range(5, 7)) and layout.width == 7
    seen = Coordinates.learn(layout.features(frame), layout.categories, (), "rank").forward(features)
    assert np.isfinite(seen.numpy()).all() and hidden.any()
