"""How the tests start the command, what they get back, and what a page may hold."""

import re
import sys
from dataclasses import dataclass
from html.parser import HTMLParser

COMMAND = [sys.executable, "-c", "from girsanov.cli import main; main()"]


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
