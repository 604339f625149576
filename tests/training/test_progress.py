"""What is shown: on a terminal, without one, when told to be silent, and when the stream is gone."""

import io
import re
import sys

import pytest
from training_tools import cloud, noise_loss, same_weights, tiny

from girsanov.training import Training, fit
from girsanov.training.progress import Progress, clock, pace

SHOWN = Training(batch_size=16, warmup=5)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def trained(model=None, **fields):
    model = model or tiny()
    fit(model, noise_loss, cloud(), steps=40, config=Training(**{**vars(SHOWN), **fields}))
    return model


def test_without_a_terminal_there_are_plain_lines(capsys):
    trained()
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(r"step 40/40 · loss \S+ · held-out \S+ · \S+ steps/s · 0:00:00 left\n", said.err)


def test_lines_come_every_few_seconds_and_tell_the_time_left(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("girsanov.training.progress.time.monotonic", lambda: now[0])
    progress = Progress(1000, shown=True)
    progress.open(200)
    for step in range(201, 301):
        now[0] += 0.5
        progress.update(step, 0.123456, None)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert lines[-1] == "step 300/1000 · loss 0.1235 · 2 steps/s · 0:05:50 left"


def test_a_clock_that_goes_backwards_does_no_harm(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("girsanov.training.progress.time.monotonic", lambda: now[0])
    progress = Progress(10, shown=True)
    progress.open(0)
    now[0] = 50.0
    progress.update(10, 1.0, 2.0)
    assert "step 10/10" in capsys.readouterr().err


@pytest.mark.parametrize("columns", ["20", "80"])
@pytest.mark.parametrize("colour", [{}, {"NO_COLOR": "1"}])
def test_on_a_terminal_one_line_moves(monkeypatch, columns, colour):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    for name, value in {"COLUMNS": columns, "TERM": "xterm", **colour}.items():
        monkeypatch.setenv(name, value)
    trained()
    assert "\x1b[" in terminal.getvalue() and "40/40" in terminal.getvalue()


def test_silence_is_silent(capsys):
    trained(progress=False)
    said = capsys.readouterr()
    assert said.out == said.err == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_a_closed_stream_does_not_end_a_training(monkeypatch, terminal):
    class Closed(Terminal if terminal else io.StringIO):
        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

        def flush(self):
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stderr", Closed())
    monkeypatch.setenv("TERM", "xterm")
    gone = trained()
    monkeypatch.setattr(sys, "stderr", None)  # as under pythonw
    none = trained()
    monkeypatch.undo()
    assert same_weights(gone, trained(progress=False)) and same_weights(none, gone)


def test_a_stream_closed_by_its_owner_does_not_either(monkeypatch):
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    trained()


def test_numbers_are_short():
    assert (pace(1234.5), pace(2.0), pace(0.25)) == ("1.23e+03 steps/s", "2 steps/s", "4 s/step")
    assert (clock(0), clock(59.6), clock(3 * 3600 + 61)) == ("0:00:00", "0:01:00", "3:01:01")
