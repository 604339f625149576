"""Logs: what is written, how much, and to whom; trackers are stood in for unless installed."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch
from training_tools import cloud, noise_loss, tiny

from girsanov.errors import InputError, MissingExtra
from girsanov.training import Training, fit
from girsanov.training.logs import READS, JsonLines, kept
from girsanov.training.record import Recorder
from girsanov.training.state import State
from girsanov.training.team import Team

CONFIG = Training(batch_size=16, warmup=5, progress=False)


class Memory:
    """A log that remembers."""

    def __init__(self):
        self.entries, self.closed = [], 0

    def write(self, step, values):
        self.entries.append((step, dict(values)))

    def close(self):
        self.closed += 1


def test_entries_are_means_of_the_losses_between_them(tmp_path):
    log = Memory()
    config = Training(**{**vars(CONFIG), "log": (log,), "validate_every": 25})
    history = fit(tiny(), noise_loss, cloud(), steps=47, out=tmp_path / "run", config=config)
    steps = [step for step, _ in log.entries]
    assert steps == [10, 20, 25, 30, 40, 47] and log.closed == 1
    for last, (step, values) in zip([0, *steps], log.entries):
        assert values["loss"] == pytest.approx(history.losses[last:step].mean().item())
        assert values["rate"] == pytest.approx(config.rate(step - 1, 47))
    assert {step: v["held_out"] for step, v in log.entries if "held_out" in v} == dict(history.validation)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [(line.pop("step"), line) for line in lines] == log.entries


def test_a_long_run_stays_below_twenty_megabytes(tmp_path):
    """The entries of 200,000 steps, with values as long as they get."""
    state = State(tiny(), 200_000, CONFIG)
    recorder = Recorder(state, Team(torch.device("cpu")), None, {})
    lines, count = JsonLines(tmp_path, 0), 0
    for state.step in range(1, 200_001):
        if recorder.reads():
            count += 1
            worst = dict.fromkeys(
                ("loss", "gradient", "rate", "seconds", "held_out"), -1.2345678901234567e-100
            )
            lines.write(state.step, worst)
    lines.close()
    size = (tmp_path / "log.jsonl").stat().st_size
    assert 1000 < count < 1.2 * READS and size < 20e6 / 4


def test_a_torn_line_and_what_comes_after_a_step_are_dropped(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(
        '{"step": 1}\n{"step": 2}\n\nnonsense\n[]\n{"step": 3}\n{"step": 4, "lo', encoding="utf-8"
    )
    assert kept(path, 2) == ['{"step": 1}', '{"step": 2}']


def test_tensorboard_reads_what_was_logged(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = Training(**{**vars(CONFIG), "log": ("tensorboard",)})
    fit(tiny(), noise_loss, cloud(), steps=30, out=tmp_path / "run", config=config)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    found = {e.step: e.value for e in events.Scalars("loss")}
    assert found == pytest.approx({line["step"]: line["loss"] for line in lines}, rel=1e-6)


def test_mlflow_gets_every_number(tmp_path, monkeypatch):
    calls = []

    class Client:
        def get_experiment_by_name(self, name):
            return None

        def create_experiment(self, name):
            return "7"

        def create_run(self, experiment, run_name):
            calls.append((experiment, run_name))
            return SimpleNamespace(info=SimpleNamespace(run_id="r"))

        def log_param(self, run, name, value):
            calls.append((run, name))

        def log_metric(self, run, name, value, step):
            calls.append((run, name, step))

        def set_terminated(self, run):
            calls.append(run)

    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=Client))
    config = Training(**{**vars(CONFIG), "log": ("mlflow",), "validation": 0.0})
    fit(tiny(), noise_loss, cloud(), steps=20, out=tmp_path / "run", config=config)
    assert calls[0] == ("7", "run") and ("r", "lr") in calls and calls[-1] == "r"
    names = {"loss", "gradient", "rate", "seconds"}
    assert {c for c in calls if len(c) == 3} == {
        ("r", name, step) for name in names for step in range(1, 21)
    } - {("r", name, step) for name in names for step in range(1, 21) if step % 10}


def test_wandb_goes_on_in_the_same_run(tmp_path, monkeypatch):
    opened, logged, ended = [], [], []

    def init(**options):
        opened.append(options)
        return SimpleNamespace(log=lambda v, step: logged.append(step), finish=lambda: ended.append(1))

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    config = Training(**{**vars(CONFIG), "log": ("wandb",), "schedule": "constant", "validation": 0.0})
    fit(tiny(), noise_loss, cloud(), steps=20, out=tmp_path / "run", config=config)
    fit(tiny(), noise_loss, cloud(), steps=30, out=tmp_path / "run", resume=True, config=config)
    assert opened[0]["id"] == opened[1]["id"] and opened[1]["resume"] == "allow"
    assert logged == [10, 20, 30] and ended == [1, 1]


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_missing_tracker_says_how_to_install_it(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    config = Training(**{**vars(CONFIG), "log": (name,)})
    with pytest.raises(MissingExtra, match=r"girsanov\[logs\]"):
        fit(tiny(), noise_loss, cloud(), steps=3, out=tmp_path / "run", config=config)


def test_the_settings_take_a_log_of_the_users_own_without_a_folder():
    log = Memory()
    fit(tiny(), noise_loss, cloud(), steps=12, config=Training(**{**vars(CONFIG), "log": (log,)}))
    assert log.entries[-1][0] == 12


def test_a_tracker_that_cannot_be_opened_is_refused_in_one_message(tmp_path, monkeypatch):
    def away(**options):
        raise RuntimeError("no server")

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=away))
    config = Training(**{**vars(CONFIG), "log": ("wandb",)})
    with pytest.raises(InputError, match=r"'wandb' could not be opened: no server"):
        fit(tiny(), noise_loss, cloud(), steps=3, out=tmp_path / "run", config=config)


def test_a_tracker_that_goes_away_does_not_end_a_training():
    class Flaky(Memory):
        def write(self, step, values):
            super().write(step, values)
            if step >= 20:
                raise ConnectionError("gone")

        def close(self):
            super().close()
            raise ConnectionError("still gone")

    flaky, steady = Flaky(), Memory()
    config = Training(**{**vars(CONFIG), "log": (flaky, steady), "validation": 0.0})
    history = fit(tiny(), noise_loss, cloud(), steps=40, config=config)
    assert [step for step, _ in flaky.entries] == [10, 20] and flaky.closed == 1
    assert [step for step, _ in steady.entries] == [10, 20, 30, 40]
    assert history.remarks == (
        "Flaky failed, and training goes on without it: gone",
        "Flaky could not be closed: still gone",
    )
