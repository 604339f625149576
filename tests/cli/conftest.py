"""The command as a user runs it, and a run whose answers are known in closed form.

A fresh network answers zeros, and with preconditioning that is the exact denoiser of N(0, s²): so an untrained
model is a Gaussian, and everything the command says about it can be computed otherwise.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_helpers import COMMAND, Outcome, untrained

from girsanov.cli import main


@pytest.fixture
def girsanov(monkeypatch, capsys):
    """Run a command line in this process."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["girsanov", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err)

    return run


@pytest.fixture
def started():
    """Start a command line in a process of its own; what still runs at the end of the test is stopped."""
    processes = []

    def start(*arguments, **options):
        told = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        processes.append(subprocess.Popen([*COMMAND, *map(str, arguments)], **told))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def table(tmp_path_factory) -> Path:
    """A table of Gaussian columns in units of their own, and a kind of row that is not in the columns."""
    draws = np.random.default_rng(0).standard_normal((400, 2))
    lines = [
        f"{100 + 5 * a:.6f},{-2 + 0.1 * b:.6f},{'rare' if i % 4 == 0 else 'usual'}"
        for i, (a, b) in enumerate(draws)
    ]
    path = tmp_path_factory.mktemp("data") / "table.csv"
    path.write_text("\n".join(["weight,height,kind", *lines]) + "\n")
    return path


@pytest.fixture(scope="session")
def gaussian(tmp_path_factory, table) -> Path:
    """An untrained run on the table, with its classes."""
    return untrained(tmp_path_factory.mktemp("runs") / "gaussian", str(table), label="kind")


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    """An untrained run on the digits."""
    pytest.importorskip("sklearn")
    return untrained(tmp_path_factory.mktemp("runs") / "images", "digits")
