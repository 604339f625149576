"""`simulate`: a table and a picture of any process, and refusals in one message."""

import numpy as np
import pytest
import torch
from PIL import Image

from girsanov import simulate
from girsanov.cli.options import hyphenated
from girsanov.processes import SIMULATORS, FractionalBrownianMotion

NEEDED = {"MarkovChain": ["--rates=-1,1;2,-2"]}


def read(path):
    return np.genfromtxt(path, delimiter=",", names=True)


def test_writes_the_very_paths_and_a_picture(girsanov, tmp_path):
    out = tmp_path / "new" / "paths.csv"
    said = girsanov(
        "simulate", "fractional", "--hurst", 0.3, "-n", 3, "--steps", 20, "--seed", 4, "--out", out
    )
    assert (said.code, said.err) == (0, "")
    assert said.out == f"wrote {out}\nwrote {out.with_suffix('.png')}\n"
    table = read(out)
    assert table.dtype.names == ("time", "path_1", "path_2", "path_3")
    times = torch.linspace(0, 1, 21, dtype=torch.float64)
    paths = simulate(FractionalBrownianMotion(0.3), n=3, times=times, seed=4)
    assert np.allclose([table[f"path_{i}"] for i in (1, 2, 3)], paths, rtol=1e-8)
    assert Image.open(out.with_suffix(".png")).size[0] > 400


@pytest.mark.parametrize("name", SIMULATORS)
def test_every_process_by_name(girsanov, tmp_path, name):
    if name == "Hawkes":
        pytest.importorskip("numba")
    out = tmp_path / "paths.csv"
    said = girsanov(
        "simulate",
        hyphenated(name),
        *NEEDED.get(name, []),
        "-n",
        2,
        "--steps",
        9,
        "--horizon",
        4,
        "--out",
        out,
    )
    assert (said.code, said.err) == (0, "")
    table = read(out)
    assert table["time"][-1] == 4 and np.isfinite(table["path_2"]).all() and len(table) == 10


def test_lists_matrices_and_negative_numbers(girsanov, tmp_path):
    pytest.importorskip("numba")
    out = tmp_path / "paths.csv"
    said = girsanov(
        "simulate", "hawkes", "--base", "1,0.5", "--jump=0.5,0.1;0.2,0.3", "--decay", 2, "--out", out
    )
    assert said.code == 0 and read(out).dtype.names[1:3] == ("path_1_1", "path_1_2")
    wild = ("simulate", "hawkes", "--jump", 4, "--explosive", "true", "--most", 900, "--out", out)
    assert girsanov(*wild).code == 0
    assert girsanov("simulate", "brownian", "--drift", "-40", "--out", out).code == 0
    assert read(out)["path_1"][-1] < -30


@pytest.mark.parametrize(
    "options, says",
    [
        (["fractionl"], "Did you mean fractional"),
        (["fractional", "--hurst", "1.5"], "hurst is 1.5; give a number between 0 and 1"),
        (
            ["fractional", "--hurts", "0.5"],
            "unknown option of fractional '--hurts'; known are --hurst, --volatility.",
        ),
        (["fractional", "--hurst"], "--hurst has no value"),
        (["fractional", "--hurst", "rough"], "--hurst is 'rough'; give numbers"),
        (["fractional", "0.3"], "'0.3' belongs to no option"),
        (["markov-chain"], "markov-chain needs --rates"),
        (["markov-chain", "--rates=-1,1;2,-1"], "row 1 of rates sums to 1"),
        (["hawkes", "--jump", "4"], "or give explosive=True"),
        (["hawkes", "--explosive", "4"], "--explosive is '4'; give true or false"),
        (["brownian", "--horizon", "0"], "horizon is 0"),
        (["brownian", "--out", "x.npy"], "does not end in .csv"),
        (["brownian", "--steps", "0"], "steps"),
        (["poisson", "--intensity", "3"], "unknown option of poisson"),
    ],
)
def test_bad_input_is_one_message(girsanov, tmp_path, monkeypatch, options, says):
    monkeypatch.chdir(tmp_path)
    said = girsanov("simulate", *options)
    assert (said.code, said.out) == (2, "")
    assert says in said.err and "Traceback" not in said.err
    assert list(tmp_path.iterdir()) == []
