"""How the tests start the command, and what they get back."""

import sys
from dataclasses import dataclass

COMMAND = [sys.executable, "-c", "from girsanov.cli import main; main()"]


@dataclass
class Outcome:
    code: int
    out: str
    err: str
