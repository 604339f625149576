"""`sample` on a run that is a Gaussian: its law, its units, its files."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats

ALPHA = 1e-5


def fits(values, learned_from) -> bool:
    """Whether values have the normal law with the mean and deviation of the data."""
    standard = (values - learned_from.mean()) / learned_from.std(ddof=0)
    return stats.kstest(standard, "norm").pvalue > ALPHA


def test_a_table_comes_back_in_its_own_units(girsanov, gaussian, table, tmp_path):
    file, data = tmp_path / "rows.csv", pd.read_csv(table)
    assert girsanov("sample", gaussian, "-n", 4000, "--out", file, "--steps", 40).code == 0
    rows = pd.read_csv(file)
    assert list(rows.columns) == ["weight", "height", "kind"]
    assert fits(rows.weight, data.weight)
    assert fits(rows.height, data.height)
    assert not fits(rows.height, data.weight)  # values in another unit would be seen


def test_classes_come_as_often_as_in_the_data(girsanov, gaussian, tmp_path):
    file = tmp_path / "rows.csv"
    girsanov("sample", gaussian, "-n", 2000, "--out", file, "--steps", 1)
    rare = (pd.read_csv(file).kind == "rare").sum()
    assert stats.binomtest(int(rare), 2000, 0.25).pvalue > ALPHA


def test_one_class_on_demand(girsanov, gaussian, tmp_path):
    file = tmp_path / "rows.parquet"
    girsanov("sample", gaussian, "-n", 7, "--out", file, "--label", "rare")
    assert set(pd.read_parquet(file).kind) == {"rare"}


def test_rows_do_not_depend_on_their_number_or_the_batch(girsanov, gaussian, tmp_path):
    many, few = tmp_path / "many.csv", tmp_path / "few.csv"
    girsanov("sample", gaussian, "-n", 50, "--out", many)
    girsanov("sample", gaussian, "-n", 20, "--out", few, "--batch-size", 7)
    a, b = pd.read_csv(many)[:20], pd.read_csv(few)
    pd.testing.assert_frame_equal(a, b, rtol=1e-4)


def test_another_seed_gives_other_rows(girsanov, gaussian, tmp_path):
    for seed in (0, 1):
        girsanov("sample", gaussian, "-n", 5, "--out", tmp_path / f"{seed}.csv", "--seed", seed)
    assert (tmp_path / "0.csv").read_text() != (tmp_path / "1.csv").read_text()


def test_a_saved_plan_gives_the_rows_of_its_solver(girsanov, gaussian, tmp_path):
    plan, one, other = tmp_path / "plan.json", tmp_path / "one.csv", tmp_path / "other.csv"
    assert girsanov("plan", "Dpm_Multistep", "--steps", 6, "--process", "EDM", "--out", plan).code == 0
    girsanov("sample", gaussian, "-n", 5, "--plan", plan, "--out", one)
    girsanov("sample", gaussian, "-n", 5, "--solver", "dpm-multistep", "--steps", 6, "--out", other)
    pd.testing.assert_frame_equal(pd.read_csv(one), pd.read_csv(other), rtol=1e-6)


def test_images_come_as_one_grid_or_as_bytes(girsanov, images, tmp_path):
    picture, array = tmp_path / "new" / "grid.png", tmp_path / "array.npy"
    said = girsanov("sample", images, "-n", 4, "--out", picture, "--steps", 3)
    assert said.out == f"wrote {picture}\n"
    assert Image.open(picture).size == (18, 18)  # two by two of 8 pixels, and a gap of 2
    girsanov("sample", images, "-n", 4, "--out", array, "--steps", 3)
    stored = np.load(array)
    assert stored.shape == (4, 8, 8)
    assert stored.dtype == np.uint8
    assert (np.asarray(Image.open(picture))[:8, :8] == stored[0]).all()


def test_guidance_asks_twice_a_call(girsanov, images, tmp_path):
    said = girsanov("sample", images, "-n", 2, "--out", tmp_path / "x.png", "--steps", 3, "--guidance", 2)
    assert "6 network calls a sample" in said.err


def test_a_model_saved_from_python_is_sampled_too(girsanov, images, tmp_path):
    from girsanov.training import load, save

    folder = save(load(images), tmp_path / "bare")
    assert json.loads((folder / "config.json").read_text())["card"]["data"] == {}
    out = tmp_path / "x.png"
    assert girsanov("sample", folder, "-n", 1, "--out", out, "--label", "3", "--steps", 2).code == 0
    assert Image.open(out).size == (8, 8)


def test_a_name_on_the_hub_is_a_run_too(girsanov, gaussian, table, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "girsanov.training.models.fetched", lambda name, revision: gaussian
    )  # there is no network
    monkeypatch.chdir(tmp_path)
    assert girsanov("sample", "owner/name", "-n", 3, "--out", "x.csv").code == 0
    assert len(pd.read_csv("x.csv")) == 3
    said = girsanov("evaluate", "owner/name", table)
    assert said.code == 2
    assert "say where to write: --out" in said.err


@pytest.mark.parametrize(
    "options, says",
    [
        (["--out", "x.xyz"], "unknown file ending '.xyz'"),
        (["--out", "x.png"], "a .png holds pictures"),
        (["--out", "x.csv", "--label", "rar"], "Did you mean rare?"),
        (["--out", "x.csv", "--solver", "hun"], "Did you mean heun"),
        (["--out", "x.csv", "--solver", "heun", "--plan", "p.json"], "Leave --solver out"),
        (["--out", "x.csv", "--plan", "missing.json"], "missing.json cannot be read"),
        (["--out", "x.csv", "--device", "toaster"], "device 'toaster' cannot be used"),
        (["--out", "x.csv", "--guidance", "nan"], "scale is nan"),
        (["--out", "x.csv", "-n", "0"], "-n"),
        (["--out", "taken/x.csv"], "taken"),
    ],
)
def test_bad_input_is_one_message(girsanov, gaussian, tmp_path, monkeypatch, options, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("a file")
    said = girsanov("sample", gaussian, *options)
    assert said.code == 2
    assert says in said.err
    assert "Traceback" not in said.err
    assert said.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
