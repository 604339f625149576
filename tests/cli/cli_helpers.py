"""How the tests start the command, what they get back, and what a page may hold."""

import re
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from girsanov.cli.runs import Origin
from girsanov.cli.train import build
from girsanov.data import read
from girsanov.processes import EDM
from girsanov.training import Card, Training, save

# Where the tests run in the background of a shell, SIGINT is ignored by all they start.
HEARD = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
COMMAND = [sys.executable, "-c", f"{HEARD}; from girsanov.cli import main; main()"]


@dataclass
class Outcome:
    code: int
    out: str
    err: str


VOID = {"meta", "img", "br", "!doctype"}


class Reader(HTMLParser):
    """Collects what a browser would do, and the tags that are open."""

    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.tags, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [
            value for name, value in attrs if name in ("src", "href", "srcset", "action", "data")
        ]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def check_page(page: str) -> Reader:
    """Refuse a page that asks for anything, runs anything, or leaves a tag open."""
    found = Reader()
    found.feed(page)
    found.close()
    assert found.open == []
    assert "script" not in found.tags
    assert all(address.startswith("data:image/png;base64,") for address in found.addresses)
    assert not re.search(r"url\(|@import|http-equiv", page)
    return found


def untrained(folder: Path, source: str, label: str | None = None) -> Path:
    """Save an untrained model for a data set: a Gaussian of independent coordinates at the scale of the data."""
    data, config = read(source, label=label), Training(validation=0.2)
    classes = None if data.classes is None else len(data.classes)
    shape = data.codec.shape
    model = build(shape, EDM(), classes=classes, network="auto", std=float(data.x.std()), seed=0)
    origin = Origin.of(data, label=label, crop=None, config=config)
    return save(model, folder, card=Card(dataset=source, data=origin.to_config()))
