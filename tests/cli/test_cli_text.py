"""A text from the command line: learned by masking, sampled as text, scored, and what is refused."""

import pytest

from girsanov.cli.runs import open_run
from girsanov.processes import Masked

PLAIN = "abcde" * 400


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "plain.txt"
    path.write_text(PLAIN, encoding="utf-8")
    return path


@pytest.fixture
def run(girsanov, text, tmp_path):
    said = girsanov("train", text, "--out", tmp_path / "run", "--process", "masked", "--steps", 3)
    assert said.code == 0, said.err
    assert said.out.endswith(f"next: girsanov sample {tmp_path / 'run'} -n 64 --out samples.txt\n")
    return tmp_path / "run"


def test_it_writes_and_scores(girsanov, run, text, tmp_path):
    """Windows of its own letters, the same for the same seed, and a bound for each row of a text."""
    opened = open_run(run)
    assert opened.model.process == Masked(5) and opened.classes == () and opened.codec.letters == "abcde"
    out = tmp_path / "samples.txt"
    said = girsanov("sample", run, "-n", 4, "--out", out)
    assert said.code == 0 and "first hitting: 64 network calls" in said.err
    lines = out.read_text(encoding="utf-8").split("\n\n")
    assert len(lines) == 4 and all(
        len(line.strip()) == 64 and set(line.strip()) <= set("abcde") for line in lines
    )
    again = tmp_path / "again.txt"
    girsanov("sample", run, "-n", 4, "--out", again)
    assert again.read_bytes() == out.read_bytes()
    before = girsanov("likelihood", run, text)
    assert before.code == 0 and "bits a dimension" in before.out
    assert "girsanov likelihood" in girsanov("info", run).out


@pytest.mark.parametrize(
    "command, told",
    [
        (("evaluate", "RUN", "TEXT"), "the distances of `evaluate` are between numbers"),
        (("search", "RUN"), "GaussianConditional"),
        (("sample", "RUN", "--out", "x.csv"), "these are texts. Write .txt"),
        (("sample", "RUN", "--out", "x.txt", "--label", "a"), "without classes"),
        (("sample", "RUN", "--out", "x.txt", "--solver", "ddim"), "AffineConditional"),
        (("train", "TEXT", "--out", "other", "--process", "vp"), "letters are masked"),
        (("train", "TEXT", "--out", "other", "--network", "unet"), "convolutions over letters"),
        (("train", "moons", "--out", "other", "--process", "masked"), "masking is for letters"),
        (("train", "nothing.txt", "--out", "other"), "there is no file"),
    ],
)
def test_what_is_refused(girsanov, run, text, tmp_path, monkeypatch, command, told):
    monkeypatch.chdir(tmp_path)
    places = {"RUN": run, "TEXT": text}
    said = girsanov(*(places.get(word, word) for word in command))
    assert said.code == 2 and told in said.err
    assert not (tmp_path / "other").exists()
