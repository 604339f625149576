"""`plan`: prints, draws, saves; names as people type them."""

import json

import pytest
from PIL import Image

from girsanov.cli.options import hyphenated, lookup
from girsanov.errors import UnknownName
from girsanov.processes import PROCESSES, VP, RectifiedFlow
from girsanov.solvers import Plan, dpm_multistep, grid


def test_prints_and_draws(girsanov, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = girsanov("plan", "dpm-multistep", "--steps", 10)
    assert said.code == 0
    assert "10 calls, order 2" in said.out
    assert said.out.endswith("wrote dpm-multistep-10.png\n")
    assert Image.open("dpm-multistep-10.png").size[0] > 400


def test_saves_the_very_plan(girsanov, tmp_path):
    file = tmp_path / "plan.json"
    girsanov("plan", "dpm-multistep", "--steps", 7, "--process", "vp", "--grid", "log_snr", "--out", file)
    assert Plan.load(file) == dpm_multistep(VP(), grid("log-snr", 7))
    assert json.loads(file.read_text())["format"] == "girsanov.plan"


@pytest.mark.parametrize("name", ["rectified-flow", "RectifiedFlow", "rectified_flow", "RECTIFIED FLOW"])
def test_names_as_people_type_them(name):
    assert lookup(name, PROCESSES, "process") is RectifiedFlow


@pytest.mark.parametrize("name", PROCESSES)
def test_every_process_has_a_typed_name(name):
    assert lookup(hyphenated(name), PROCESSES, "process") is PROCESSES[name]


def test_the_nearest_name_is_offered_as_it_is_typed():
    with pytest.raises(UnknownName, match="Did you mean rectified-flow"):
        lookup("rectifiedflo", PROCESSES, "process")


@pytest.mark.parametrize(
    "options, says",
    [
        (["huen"], "Did you mean heun"),
        (["heun", "--process", "ddpm"], "unknown process 'ddpm'"),
        (["heun", "--grid", "karas"], "Did you mean karras"),
        (["heun", "--steps", "0"], "steps is 0"),
        (["heun", "--out", "x.txt"], "does not end in .png"),
        (["ddim", "--process", "stochastic-interpolant"], "random end"),
        (["heun", "--out", "taken/x.png"], "taken"),
        (["heun", "--out", "n" * 300 + ".png"], "File name too long"),
    ],
)
def test_bad_input_is_one_message(girsanov, tmp_path, monkeypatch, options, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("a file")
    said = girsanov("plan", *options)
    assert (said.code, said.out) == (2, "")
    assert says in said.err
    assert "Traceback" not in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
