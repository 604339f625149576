"""`diagnose` of runs that are Gaussians: a gradient, all dimensions, a picture."""

import re

import numpy as np


def test_a_gaussian_is_a_gradient(girsanov, gaussian, tmp_path):
    out = tmp_path / "seen.png"
    said = girsanov("diagnose", gaussian, "--out", out, "--samples", 8, "--points", 3)
    assert said.code == 0, said.err
    rows = [line.split() for line in said.out.splitlines() if re.match(r"\s*0\.\d+\s", line)]
    assert len(rows) == 5
    assert all(float(value) < 1e-3 for row in rows for value in row[1:])
    assert "dimension: 2 of 2" in said.out
    assert out.read_bytes()[:4] == b"\x89PNG"


def test_it_refuses_by_name(girsanov, gaussian, tmp_path):
    said = girsanov("diagnose", gaussian, "--out", tmp_path / "seen.jpg")
    assert said.code == 2 and "does not end in .png" in said.err
    said = girsanov("diagnose", tmp_path / "nothing")
    assert said.code == 2


def test_many_numbers_ask_for_projections(girsanov, tmp_path):
    from cli_helpers import untrained

    np.save(tmp_path / "wide.npy", np.random.default_rng(0).standard_normal((40, 70)).astype("float32"))
    run = untrained(tmp_path / "wide", str(tmp_path / "wide.npy"))
    said = girsanov("diagnose", run)
    assert said.code == 2 and "projections" in said.err
    said = girsanov("diagnose", run, "--projections", 4, "--samples", 4)
    assert said.code == 0 and "not estimated" in said.out
