"""How the command begins and ends: help without torch, narrow and closed terminals, odd arguments, exit codes."""

import json
import os
import pty
import re
import resource
import subprocess
import sys

import pytest
from cli_helpers import COMMAND

from girsanov.cli.app import app
from girsanov.cli.console import printable

NAMES = [
    "demo",
    "train",
    "sample",
    "search",
    "likelihood",
    "restore",
    "impute",
    "diagnose",
    "enhance",
    "evaluate",
    "plan",
    "info",
    "papers",
    "reproduce",
    "simulate",
]
COLOUR = re.compile(r"\x1b\[[0-9;]*[34][0-9]")


def test_these_are_all_commands():
    assert [command.callback.__name__ for command in app.registered_commands] == NAMES


@pytest.mark.parametrize("name", ["", *NAMES])
def test_help_answers_at_once(name):
    look = "import atexit, json, sys; atexit.register(lambda: print(json.dumps('torch' in sys.modules)))"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = subprocess.run(
        [sys.executable, "-c", f"{look}; from girsanov.cli import main; main()", *filter(None, [name]), "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert json.loads(told.stdout.splitlines()[-1]) is False
    assert not name or "--seed" in told.stdout
    # of this process alone: what a clock would say depends on who else computes
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


@pytest.mark.parametrize("name", NAMES)
def test_help_fits_a_narrow_terminal(girsanov, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "20")
    said = girsanov(name, "--help")
    assert said.code == 0
    assert max(map(len, said.out.splitlines())) <= 20


def test_tables_fit_a_narrow_terminal(girsanov, monkeypatch, gaussian, table):
    monkeypatch.setenv("COLUMNS", "20")
    said = girsanov("likelihood", gaussian, table)
    assert said.code == 0
    assert max(map(len, said.out.splitlines()[2:])) <= 20


def test_the_version(girsanov):
    from girsanov import __version__

    assert girsanov("--version").out == f"girsanov {__version__}\n"


# --- streams


def test_what_is_no_terminal_gets_plain_text(started, gaussian, tmp_path):
    said, complaint = started("sample", gaussian, "-n", "3", "--out", tmp_path / "x.csv").communicate(
        timeout=60
    )
    assert said == f"wrote {tmp_path / 'x.csv'}\n"
    assert "\x1b" not in complaint + said
    assert "\r" not in complaint


@pytest.mark.parametrize("plain", [False, True])
def test_a_terminal_gets_a_bar_and_colour_only_if_it_wants(gaussian, tmp_path, plain):
    place = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
    place.pop("NO_COLOR", None)
    said = in_a_terminal(
        ["sample", gaussian, "--out", str(tmp_path / "x.csv")], {**place, "NO_COLOR": "1"} if plain else place
    )
    assert "sampling" in said
    assert bool(COLOUR.search(said)) is not plain


def in_a_terminal(arguments, place) -> str:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=theirs, stderr=theirs, stdin=theirs, env=place
    ):
        os.close(theirs)
        parts = []
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # how Linux says that nobody writes any more
                break
            if not part:
                break
            parts.append(part)
    os.close(ours)
    return b"".join(parts).decode()


def shell(line: str, folder) -> subprocess.CompletedProcess:
    """A line of shell, in which girsanov is the command."""
    command = " ".join(f"'{part}'" for part in COMMAND)
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; girsanov() {{ {command} \"$@\"; }}; {line}"],
        capture_output=True, text=True, cwd=folder, timeout=120,
    )  # fmt: skip


def test_a_reader_that_leaves_ends_it_in_silence(tmp_path):
    told = shell("girsanov plan ddim --steps 3000 --out x.json | head -1", tmp_path)
    assert told.stdout.startswith("ddim")
    assert told.stderr == ""
    assert (tmp_path / "x.json").exists()


def test_closed_streams_are_no_fault(tmp_path):
    assert shell("girsanov plan ddim --out x.json >&-", tmp_path).returncode == 0
    assert shell("girsanov plan dim --out x.json >&- 2>&-", tmp_path).returncode == 2


def test_an_encoding_without_the_letters(tmp_path):
    told = shell("PYTHONIOENCODING=ascii girsanov plan ddim --out größe.json", tmp_path)
    assert told.returncode == 0, told.stderr
    assert "wrote gr\\xf6\\xdfe.json" in told.stdout


# --- arguments


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["info", "run\0"], "argument 2 contains a NUL byte"),
        (["info", "-x"], "No such option"),
        (["info", "--", "-x"], "there is no folder '-x'"),
        (["info", "x" * 5000], "there is no folder"),
        (["info", "größe"], "there is no folder 'größe'"),
        (["info", "a\x1b[31mb"], "a\\x1b[31mb"),
        (["info", "[bold]x"], "[bold]x"),
        (["info", ""], "holds no model.safetensors"),
        (["sample", "run"], "Missing option"),
        (["trian", "digits"], "Did you mean"),
        (["plan", "heun", "--seed", "x"], "--seed"),
    ],
)
def test_odd_arguments_are_one_message(girsanov, arguments, says, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    said = girsanov(*arguments)
    assert said.code == 2
    assert says in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


def test_no_arguments_show_the_help(girsanov):
    said = girsanov()
    assert said.code == 2
    assert "likelihood" in said.out + said.err


def test_a_name_that_is_no_unicode(tmp_path):
    told = shell("girsanov info $'\\xff'", tmp_path)
    assert told.returncode == 2
    assert "\\udcff" in told.stderr


def test_controls_are_shown_and_letters_kept():
    assert printable("größe\n\x1b[2J\udcff\u202e·") == "größe\n\\x1b[2J\\udcff\\u202e·"


# --- ends


def test_an_interrupted_command_ends_with_130(girsanov, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("girsanov.cli.runs.open_run", interrupted)
    said = girsanov("info", "run")
    assert (said.code, said.err) == (130, "stopped\n")


def test_a_fault_of_ours_keeps_its_traceback(girsanov, monkeypatch):
    def broken(*_, **__):
        return 1 / 0

    monkeypatch.setattr("girsanov.cli.runs.open_run", broken)
    with pytest.raises(ZeroDivisionError):
        girsanov("info", "run")


def test_what_the_system_refuses_is_said_in_its_words(girsanov, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied", "run/config.json")

    monkeypatch.setattr("girsanov.cli.runs.open_run", refused)
    said = girsanov("info", "run")
    assert said.code == 2
    assert said.err == "run/config.json: Permission denied. Give another file or folder.\n"
