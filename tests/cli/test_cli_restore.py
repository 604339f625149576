"""`restore` on runs whose pixels are independent: what is kept, what is drawn, what is refused."""

import numpy as np
import pytest
from cli_helpers import untrained
from PIL import Image

HALF = np.zeros((8, 8), np.uint8)
HALF[4:] = 255
QUICK = ("--steps", 4)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a picture, masks, and things that are neither."""
    monkeypatch.chdir(tmp_path)
    draws = np.random.default_rng(0)
    Image.fromarray(draws.integers(0, 256, (8, 8), dtype=np.uint8)).save("broken.png")
    Image.fromarray(draws.integers(0, 256, (12, 9), dtype=np.uint8)).save("large.png")
    Image.fromarray(HALF).save("mask.png")
    Image.fromarray(HALF[:, :6]).save("narrow.png")
    Image.fromarray(HALF * 0).save("black.png")
    (tmp_path / "many").mkdir()
    for i in range(2):
        Image.fromarray(HALF).save(tmp_path / "many" / f"{i}.png")
    return tmp_path


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """An untrained run on pale pictures: a Gaussian narrow enough to stay within the pixels' range."""
    folder = tmp_path_factory.mktemp("pale")
    for i, pixels in enumerate(np.random.default_rng(0).integers(118, 138, (20, 8, 8, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return untrained(tmp_path_factory.mktemp("runs") / "pale", str(folder))


def test_black_is_kept_and_white_is_drawn(girsanov, images, place):
    said = girsanov(
        "restore", images, "broken.png", "--mask", "mask.png", "--draws", 300, "--out", "new/x.npy", *QUICK
    )
    assert said.code == 0, said.err
    assert said.out == "wrote new/x.npy\n"
    assert "filling in 32 of 64 pixels, 300 times" in said.err
    found, given = np.load("new/x.npy"), np.asarray(Image.open("broken.png"))
    assert (found[:, :4] == given[:4]).all()
    drawn = found[:, 4:].astype(float)
    assert len(np.unique(drawn, axis=0)) == 300
    # independent pixels of mean 0, which is 127.5; the deviation of a pixel is at most 127.5
    assert drawn.mean() == pytest.approx(127.5, abs=4 * 127.5 / np.sqrt(drawn.size))


def test_the_seed_fixes_the_draws(girsanov, images, place):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        girsanov(
            "restore",
            images,
            "broken.png",
            "--mask",
            "mask.png",
            "--out",
            f"{name}.png",
            "--seed",
            seed,
            *QUICK,
        )
    a, b, c = (np.asarray(Image.open(f"{name}.png")) for name in "abc")
    assert a.shape == (8, 8)
    assert (a == b).all()
    assert (a != c).any()


def test_a_coloured_picture_keeps_its_grey(girsanov, colours, place):
    grey = np.random.default_rng(1).integers(100, 156, (8, 8), dtype=np.uint8)
    Image.fromarray(grey).save("grey.png")
    said = girsanov(
        "restore", colours, "grey.png", "--task", "Colorize", "--draws", 5, "--out", "x.npy", *QUICK
    )
    assert said.code == 0, said.err
    found = np.load("x.npy")
    assert found.shape == (5, 8, 8, 3)
    np.testing.assert_allclose(found.mean(-1), np.broadcast_to(grey, (5, 8, 8)), atol=1.0)  # rounded to bytes
    assert found.std(-1).mean() > 1


def test_a_large_picture_is_cropped_on_demand(girsanov, images, place):
    Image.fromarray(np.zeros((12, 9), np.uint8) + np.arange(9, dtype=np.uint8) * 30).save("wide.png")
    arguments = ["restore", images, "large.png", "--mask", "wide.png", "--out", "x.png", *QUICK]
    assert girsanov(*arguments, "--crop", 8).code == 0
    said = girsanov(*arguments)
    assert said.code == 2
    assert "--crop 8" in said.err


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["broken.png"], "--mask goes with --task inpaint"),
        (["broken.png", "--mask", "mask.png", "--task", "colorize"], "--mask goes with --task inpaint"),
        (["broken.png", "--mask", "mask.png", "--task", "inpant"], "Did you mean inpaint"),
        (["broken.png", "--mask", "narrow.png"], "is 6×8, and the picture 8×8"),
        (["broken.png", "--mask", "black.png"], "black.png is all black"),
        (["broken.png", "--mask", "wine"], "is not one picture"),
        (["missing.png", "--mask", "mask.png"], "there is no file missing.png"),
        (["many", "--mask", "mask.png"], "holds 2 pictures"),
        (["broken.png", "--task", "colorize"], "3 channels"),
        (["broken.png", "--mask", "mask.png", "--label", "ten"], "unknown class 'ten'"),
        (["broken.png", "--mask", "mask.png", "--out", "x.csv"], "Write .npy"),
    ],
)
def test_bad_input_is_one_message(girsanov, images, place, arguments, says):
    out = [] if "--out" in arguments else ["--out", "x.png"]
    said = girsanov("restore", images, *arguments, *out, *QUICK)
    assert (said.code, said.out) == (2, "")
    assert says in said.err
    assert "Traceback" not in said.err
    assert not (place / "x.png").exists()


def test_a_model_of_tables_restores_no_pictures(girsanov, gaussian, table, place):
    said = girsanov("restore", gaussian, table, "--mask", "mask.png", "--out", "x.npy")
    assert said.code == 2
    assert "and no pictures" in said.err


def test_an_enlarged_picture_has_the_small_one_as_its_means(girsanov, images, place):
    small = np.random.default_rng(2).integers(90, 166, (4, 4), dtype=np.uint8)
    Image.fromarray(small).save("small.png")
    said = girsanov(
        "restore", images, "small.png", "--task", "enlarge", "--draws", 40, "--out", "x.npy", "--steps", 30
    )
    assert said.code == 0, said.err
    found = np.load("x.npy").astype(float)
    assert found.shape == (40, 8, 8)
    means = found.reshape(40, 4, 2, 4, 2).mean((2, 4))
    assert abs(means - small).mean() < 4
    assert found.std(0).mean() > 10


def test_noise_is_taken_away_as_much_as_the_prior_allows(girsanov, images, place):
    """The untrained model is a Gaussian around grey: less noise keeps more of the picture."""
    given = np.asarray(Image.open("broken.png")).astype(float) - 127.5
    kept = []
    for noise in (5, 100):
        said = girsanov(
            "restore", images, "broken.png", "--task", "denoise", "--noise", noise, "--draws", 60, "--out", "x.npy",
            "--steps", 30,
        )  # fmt: skip
        assert said.code == 0, said.err
        mean = np.load("x.npy").astype(float).mean(0) - 127.5
        kept.append((mean * given).sum() / (given**2).sum())
    assert kept[0] > 0.85 and kept[1] < 0.75 * kept[0]


def test_several_draws_come_with_a_picture_of_where_they_differ(girsanov, images, place):
    said = girsanov(
        "restore",
        images,
        "broken.png",
        "--task",
        "deblur",
        "--blur",
        0.8,
        "--draws",
        3,
        "--out",
        "x.png",
        *QUICK,
    )
    assert said.code == 0, said.err
    assert said.out == "wrote x.png\nwrote x-spread.png\n"
    assert Image.open("x-spread.png").size[0] > 300
    one = girsanov("restore", images, "broken.png", "--task", "denoise", "--out", "y.png", *QUICK)
    assert one.out == "wrote y.png\n"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("broken.png", "--task", "deblur"), "--blur goes with"),
        (("broken.png", "--task", "denoise", "--blur", 1.0), "--blur goes with"),
        (("broken.png", "--mask", "mask.png", "--noise", 5), "--noise goes with"),
        (("broken.png", "--task", "denoise", "--noise", -5), "at least 0"),
        (("broken.png", "--task", "deblur", "--blur", -1.0), "above 0"),
        (("broken.png", "--task", "enlarge"), "smaller by a whole factor"),
        (("large.png", "--task", "enlarge"), "9×12"),
    ],
)
def test_what_does_not_fit_a_task_is_refused(girsanov, images, place, options, says):
    said = girsanov("restore", images, *options, "--out", "x.png", *QUICK)
    assert said.code == 2
    assert says in said.err
