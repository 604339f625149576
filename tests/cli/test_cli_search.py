"""`search` on a run that is a Gaussian: a plan that gains, its picture, and how it is used."""

import pytest
from PIL import Image

from girsanov.cli.runs import open_run
from girsanov.cli.search import ending
from girsanov.solvers import Plan

QUICK = ("--noises", 16, "--steps", 10)


def test_it_saves_a_plan_that_sample_takes(girsanov, gaussian, tmp_path):
    file = tmp_path / "new" / "plan.json"
    said = girsanov("search", gaussian, "--calls", 3, "--out", file, *QUICK)
    assert said.code == 0
    plan = Plan.load(file)
    assert plan.calls == 3
    assert Image.open(file.with_suffix(".png")).size[0] > 400
    lines = said.out.splitlines()
    assert lines[0].startswith("3 calls: error ")
    assert lines[1:3] == [f"wrote {file}", f"wrote {file.with_suffix('.png')}"]
    assert lines[3] == f"use it: girsanov sample {gaussian} --plan {file} --out new.csv"
    sampled = girsanov("sample", gaussian, "--plan", file, "-n", 3, "--out", tmp_path / "rows.csv")
    assert sampled.code == 0
    assert "searched-3: 3 network calls a sample" in sampled.err


def test_the_plan_follows_the_seed(girsanov, gaussian, tmp_path):
    files = []
    for seed in (0, 0, 1):
        files.append(tmp_path / f"{len(files)}.json")
        said = girsanov("search", gaussian, "--calls", 2, "--seed", seed, "--out", files[-1], *QUICK)
        assert said.code == 0
    assert Plan.load(files[0]) == Plan.load(files[1]) != Plan.load(files[2])


def test_pictures_are_offered_as_pictures(images):
    assert ending(open_run(images).codec) == ".png"


def test_guidance_is_said_again(girsanov, gaussian, tmp_path):
    file = tmp_path / "plan.json"
    options = ("--calls", 2, "--guidance", 2, "--label", "rare", "--out", file)
    said = girsanov("search", gaussian, *options, *QUICK)
    assert said.code == 0
    assert "--guidance 2" in said.out


def test_ctrl_c_saves_the_best_so_far(girsanov, gaussian, tmp_path, monkeypatch):
    from girsanov.cli import search

    def stop(self, at):
        if at.step == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(search.Teller, "__call__", stop)
    file = tmp_path / "plan.json"
    said = girsanov("search", gaussian, "--calls", 2, "--out", file, *QUICK)
    assert said.code == 130
    assert "the best so far is saved" in said.err
    assert Plan.load(file).calls == 2


@pytest.mark.parametrize(
    "options, says",
    [
        (["--calls", "0"], "--calls"),
        (["--steps", "0"], "--steps"),
        (["--noises", "-2"], "--noises"),
        (["--out", "plan.txt"], "does not end in .json"),
        (["--label", "rar"], "Did you mean rare?"),
        (["--guidance", "nan"], "scale is nan"),
        (["--device", "toaster"], "device 'toaster' cannot be used"),
        (["--out", "taken/plan.json"], "taken"),
    ],
)
def test_bad_input_is_one_message(girsanov, gaussian, tmp_path, monkeypatch, options, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("a file")
    said = girsanov("search", gaussian, *options)
    assert (said.code, said.out) == (2, "")
    assert says in said.err
    assert "Traceback" not in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
