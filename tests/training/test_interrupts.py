"""Ctrl-C and its kin, raised in this very process at a chosen step."""

import os
import signal
import threading

import pytest
import torch
from training_tools import Tiny, cloud, noise_loss, same_weights, tiny

from girsanov.training import Training, fit, load
from girsanov.training.folder import last_checkpoint
from girsanov.training.interrupts import Interrupts

QUIET = Training(batch_size=16, warmup=5, progress=False)


@pytest.fixture(autouse=True)
def usual_handlers():
    """As in a terminal; where the tests run in the background, some signals are ignored from the start."""
    usual = {signal.SIGINT: signal.default_int_handler}
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, usual.get(number, signal.SIG_DFL)) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def raising(at, *signals):
    """An objective that sends signals during a step, counted from 1."""
    calls = []

    def objective(model, x0, **rest):
        if model.training:
            calls.append(1)
            if len(calls) == at:
                for number in signals:
                    signal.raise_signal(number)
        return noise_loss(model, x0, **rest)

    objective.__qualname__ = noise_loss.__qualname__  # resumed with the plain one
    return objective


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_once_finishes_the_step_saves_and_says_how_to_go_on(tmp_path, capsys, number):
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    config = Training(**{**vars(QUIET), "progress": True})
    model, straight = tiny(), tiny()
    with pytest.raises(KeyboardInterrupt, match=r"after step 7 of 30.*resume=True"):
        fit(model, raising(7, number), cloud(), steps=30, out=tmp_path / "run", config=config)
    said = capsys.readouterr()
    assert "Stopped after step 7 of 30" in said.err and "resume=True" in said.err and said.out == ""
    assert handlers == [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert last_checkpoint(tmp_path / "run")[0].record["step"] == 7
    assert same_weights(load(tmp_path / "run", network=Tiny()), model)  # what there is can be looked at
    fit(model, noise_loss, cloud(), steps=30, out=tmp_path / "run", resume=True, config=QUIET)
    fit(straight, noise_loss, cloud(), steps=30, config=QUIET)
    assert same_weights(model, straight)


def test_twice_stops_at_once_and_leaves_the_last_checkpoint(tmp_path):
    config = Training(**{**vars(QUIET), "checkpoint_every": 3})
    with pytest.raises(KeyboardInterrupt, match="at once"):
        fit(
            tiny(),
            raising(8, signal.SIGINT, signal.SIGINT),
            cloud(),
            steps=30,
            out=tmp_path / "run",
            config=config,
        )
    assert last_checkpoint(tmp_path / "run")[0].record["step"] == 6
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_last_step_is_no_exception(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(tiny(), raising(5, signal.SIGINT), cloud(), steps=5, out=tmp_path / "run", config=QUIET)
    history = fit(tiny(), noise_loss, cloud(), steps=5, out=tmp_path / "run", resume=True, config=QUIET)
    assert history.steps == 5


def test_without_a_folder_the_model_keeps_what_it_learned():
    model = tiny()
    with pytest.raises(KeyboardInterrupt, match="no folder was given"):
        fit(model, raising(4, signal.SIGINT), cloud(), steps=30, config=QUIET)
    assert not same_weights(model, tiny()) and not model.training


def test_other_threads_train_without_handlers():
    model, errors = tiny(), []

    def work():
        try:
            fit(model, noise_loss, cloud(), steps=3, config=QUIET)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == [] and not same_weights(model, tiny())


def test_a_signal_ignored_on_purpose_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.asked
    finally:
        signal.signal(signal.SIGHUP, before)


def test_dropout_masks_do_not_depend_on_where_a_run_was_stopped(tmp_path):
    stopped, straight = tiny(dropout=0.5), tiny(dropout=0.5)
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, raising(4, signal.SIGINT), cloud(), steps=9, out=tmp_path / "run", config=QUIET)
    torch.rand(7)
    fit(stopped, noise_loss, cloud(), steps=9, out=tmp_path / "run", resume=True, config=QUIET)
    fit(straight, noise_loss, cloud(), steps=9, config=QUIET)
    assert same_weights(stopped, straight)
