"""Going on with a run: what is damaged, different, locked, full or not there."""

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_tools import Tiny, cloud, files, noise_loss, same_weights, tiny

from girsanov import processes
from girsanov.denoiser import Denoiser
from girsanov.errors import InputError, SavedFileError
from girsanov.noise import Noise
from girsanov.training import Training, fit, load
from girsanov.training.folder import Checkpoint, checkpoints, last_checkpoint, run_folder, write_checkpoint

CONFIG = Training(batch_size=16, lr=1e-2, warmup=5, checkpoint_every=4, progress=False)


def changed(**fields):
    return Training(**{**vars(CONFIG), **fields})


def half(folder, steps=20, config=CONFIG):
    """A run that was stopped after 10 of its steps."""

    class Stop(Exception):
        pass

    def objective(model, x0, **rest):
        if model.training and rest["generator"].scope[1] == 10:
            raise Stop
        return noise_loss(model, x0, **rest)

    objective.__qualname__ = noise_loss.__qualname__
    with pytest.raises(Stop):
        fit(tiny(), objective, cloud(), steps=steps, out=folder, config=config)
    return folder


@pytest.fixture
def run(tmp_path):
    return half(tmp_path / "run")


@pytest.fixture(scope="module")
def straight():
    model = tiny()
    fit(model, noise_loss, cloud(), steps=20, config=CONFIG)
    return model


def resumed(folder, steps=20, config=CONFIG, model=None, x=None, objective=noise_loss, **rest):
    model = model or tiny()
    history = fit(
        model,
        objective,
        cloud() if x is None else x,
        steps=steps,
        out=folder,
        resume=True,
        config=config,
        **rest,
    )
    return model, history


def test_it_goes_on_where_it_was_and_says_so(run, straight):
    assert [p.name for p in checkpoints(run)] == ["step-00000008.safetensors", "step-00000004.safetensors"]
    model, history = resumed(run)
    assert same_weights(model, straight)
    assert history.remarks == (f"Going on in {run} after step 8 of 20.",)
    assert history.steps == 20 and torch.isfinite(history.losses).all()


def test_a_run_that_has_ended_is_ended_again(run, straight):
    resumed(run)
    before = (run / "model.safetensors").read_bytes()
    model, history = resumed(run)
    assert same_weights(model, straight) and (run / "model.safetensors").read_bytes() == before
    assert history.steps == 20 and "after step 20 of 20" in history.remarks[0]


def test_where_nothing_was_saved_it_starts_anew_and_says_so(tmp_path, straight):
    for folder in (tmp_path / "none", tmp_path / "early"):
        if folder.name == "early":  # killed before its first checkpoint
            folder.mkdir()
            (folder / "log.jsonl").write_text('{"step": 3, "loss": 1.0}\n{"step": 4, "lo')
        model, history = resumed(folder)
        assert same_weights(model, straight)
        assert history.remarks == (f"Nothing was saved in {folder}; training starts anew.",)
        steps = [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]
        assert steps == sorted(set(steps)) and steps[-1] == 20


def test_what_no_number_depends_on_may_change(run, straight):
    config = changed(checkpoint_every=3, validate_every=7, device="cpu")
    assert same_weights(resumed(run, config=config)[0], straight)


def test_another_number_of_steps_is_fine_with_a_constant_rate(tmp_path):
    config, longer = changed(schedule="constant"), tiny()
    half(tmp_path / "run", config=config)
    model, _ = resumed(tmp_path / "run", steps=26, config=config)
    fit(longer, noise_loss, cloud(), steps=26, config=config)
    assert same_weights(model, longer)
    with pytest.raises(InputError, match="has done 26 steps; steps is 12"):
        resumed(tmp_path / "run", steps=12, config=config)


NAN = float("nan")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"x": cloud(seed=9)}, r"x was float32 \(200, 2\) \[\w+\] and is float32 \(200, 2\) \[\w+\]"),
        ({"x": cloud(150)}, r"x was float32 \(200, 2\) .* and is float32 \(150, 2\)"),
        ({"cond": torch.zeros(200)}, "cond was absent and is float32"),
        ({"config": changed(lr=0.5)}, r"lr was 0\.01 and is 0\.5"),
        ({"config": changed(batch_size=8)}, "batch_size was 16 and is 8"),
        ({"config": changed(seed=3)}, "seed was 0 and is 3"),
        ({"config": changed(ema=0.9)}, r"ema was 0\.9999 and is 0\.9"),
        ({"config": changed(validation=0.2)}, "validation was"),
        ({"config": changed(precision="bf16")}, "precision was 'float32' and is 'bf16'"),
        ({"steps": 30}, "steps was 20 and is 30"),
        ({"model": tiny(process=processes.EDM())}, "process was Interpolant.*LinearVP.*and is"),
        (
            {"model": Denoiser(Tiny(), processes.VP(), predicts="data", data_std=None)},
            "predicts was noise and is data",
        ),
        ({"model": tiny(width=16)}, r"weights/network\.first\.weight is float32 \(8, 3\) in the file and"),
        (
            {"objective": lambda model, x0, **rest: noise_loss(model, x0, **rest)},
            "objective was noise_loss and is",
        ),
    ],
    ids=range(14),
)
def test_another_run_is_refused_with_the_difference(run, options, message):
    before = files(run)
    with pytest.raises((InputError, SavedFileError), match=message):
        resumed(run, **options)
    assert files(run) == before


def test_large_data_is_known_by_its_rows(monkeypatch, run):
    monkeypatch.setattr("girsanov.training.identity.HASHED_BYTES", 100)
    monkeypatch.setattr("girsanov.training.identity.HASHED_ROWS", 50)
    half(run.parent / "large")
    resumed(run.parent / "large")
    other = cloud()
    other[0] = 7.0
    with pytest.raises(InputError, match="x was"):
        resumed(run.parent / "large", x=other)


def test_a_folder_with_another_run_is_refused_without_resume(run, tmp_path):
    before = files(run)
    with pytest.raises(InputError, match=r"already holds log\.jsonl, checkpoint.*resume=True"):
        fit(tiny(), noise_loss, cloud(), steps=5, out=run, config=CONFIG)
    assert files(run) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("my project")
    with pytest.raises(InputError, match=r"already holds README\.md"):
        fit(tiny(), noise_loss, cloud(), steps=5, out=tmp_path / "mine", config=CONFIG)


# Damage.


@pytest.mark.parametrize("part", [0, 1, 20, 40, 63])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_used(run, straight, part):
    newest = checkpoints(run)[0]
    content = newest.read_bytes()
    newest.write_bytes(content[: len(content) * part // 64])
    model, history = resumed(run)
    assert same_weights(model, straight)
    assert str(newest) in history.remarks[0] and "the one before, of step 4" in history.remarks[1]
    assert len(checkpoints(run)) == 2


def test_a_damaged_newer_one_does_not_push_out_the_good_one(run):
    newest, older = checkpoints(run)
    newest.rename(run / "checkpoint" / "step-00000900.safetensors")
    (run / "checkpoint" / "step-00000900.safetensors").write_bytes(b"damaged")
    write_checkpoint(run, Checkpoint({"a": torch.zeros(1)}, {"step": 6}))
    assert [p.name for p in checkpoints(run)] == ["step-00000006.safetensors", older.name]


def test_if_none_is_whole_nothing_is_started(run):
    for path in checkpoints(run):
        path.write_bytes(path.read_bytes()[:-1])
    before = files(run)
    with pytest.raises(SavedFileError, match=r"no checkpoint in .* is whole.*To start anew"):
        resumed(run)
    assert files(run) == before


def test_a_checkpoint_of_a_newer_version_is_refused(run, monkeypatch):
    monkeypatch.setattr("girsanov.training.folder.FORMAT", 2)
    write_checkpoint(run, last_checkpoint(run)[0])
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"has format 2.*Update girsanov"):
        resumed(run)


@pytest.mark.parametrize("record", [{"step": "8"}, {"step": -1}, {}, {"step": True}])
def test_a_forged_record_is_refused(run, record):
    found, _ = last_checkpoint(run)
    for path in checkpoints(run):
        path.unlink()
    path = run / "checkpoint" / "step-00000008.safetensors"
    from girsanov.training.tensorfile import write_tensors

    text = json.dumps({"format": 1, **record})
    write_tensors(path, found.tensors, {"girsanov.checkpoint": text}, seal=True)
    with pytest.raises(SavedFileError):
        resumed(run)


def test_a_pickle_in_the_checkpoint_folder_is_not_looked_at(run, straight):
    (run / "checkpoint" / "step-00000900.pt").write_bytes(b"cos\nsystem\n(S'touch x'\ntR.")
    assert same_weights(resumed(run)[0], straight)


def test_temporary_files_of_a_killed_run_are_swept_away(run):
    for place in (run, run / "checkpoint"):
        (place / ".girsanov-0123.tmp").write_bytes(b"half")
    resumed(run)
    assert list(run.rglob("*.tmp")) == []


# The disk.


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    real, writes = os.fsync, []

    def full(descriptor):
        if "checkpoint" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            writes.append(1)
            if len(writes) > 4:  # file and folder, twice
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    model = tiny()
    with pytest.raises(
        SavedFileError, match=r"step-00000012.*No space left.*[\d,]+ bytes are needed and [\d,]+ are free"
    ):
        fit(model, noise_loss, cloud(), steps=20, out=tmp_path / "run", config=CONFIG)
    monkeypatch.undo()
    assert list((tmp_path / "run").rglob("*.tmp")) == []
    found, remarks = last_checkpoint(tmp_path / "run")
    assert found.record["step"] == 8 and remarks == []
    assert not same_weights(model, tiny())  # nothing learned is lost from memory either
    resumed(tmp_path / "run")


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit on file sizes")
def test_a_limit_on_file_sizes_is_a_full_disk(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        with pytest.raises(
            SavedFileError, match=r"step-00000004.*too large.*bytes are needed and .* are free"
        ):
            fit(tiny(width=1000), noise_loss, cloud(), steps=4, out=tmp_path / "run", config=CONFIG)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p for p in (tmp_path / "run").rglob("*") if p.suffix in (".tmp", ".safetensors")] == []


# Two processes.


def test_a_folder_is_held_by_one_process(run):
    pytest.importorskip("fcntl")
    with run_folder(run, resume=True), pytest.raises(SavedFileError, match="another process is training in"):
        resumed(run)
    resumed(run)


def test_a_lock_vanishes_with_its_process(run):
    pytest.importorskip("fcntl")
    take = f"f = open({str(run / '.lock')!r}, 'a'); fcntl.flock(f, fcntl.LOCK_EX)"
    code = f"import fcntl, os; {take}; os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code], timeout=60)
    resumed(run)


@pytest.mark.parametrize("name", ["with space", "ünïcode 名", "new\nline", "a" * 250])
def test_odd_names_of_folders_are_fine(tmp_path, name):
    half(tmp_path / name)
    model, _ = resumed(tmp_path / name)
    assert same_weights(load(tmp_path / name, network=Tiny()), model)


def test_keyed_noise_is_what_makes_it_exact():
    """With a generator that goes on from draw to draw, the same test would fail: order matters."""
    g = torch.Generator().manual_seed(0)
    like = torch.empty(3, 2)
    assert torch.equal(Noise(0).child(5).draw(like, 0), Noise(0).child(5).draw(like, 0))
    assert not torch.equal(torch.randn(3, 2, generator=g), torch.randn(3, 2, generator=g))
