"""The page: self-contained, well-formed, and safe whatever the names say."""

import base64
import re
from html.parser import HTMLParser

import pytest

from girsanov.cli import html

NASTY = '<script>alert("1")</script> & \' " </title><img src=http://x.y onerror=z> größe \u202e ]]>'
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


def check(page: str) -> Reader:
    """Refuse a page that asks for anything, runs anything, or leaves a tag open."""
    found = Reader()
    found.feed(page)
    found.close()
    assert found.open == []
    assert "script" not in found.tags
    assert all(address.startswith("data:image/png;base64,") for address in found.addresses)
    assert not re.search(r"url\(|@import|http-equiv", page)
    return found


def whole(name: str) -> str:
    parts = [
        html.section(name, name, html.table((name,), [(name,), ("passed",)]), html.code(name)),
        html.row(html.figure(b"\x89PNG", name, pixels=True)),
    ]
    return html.page(name, name, parts, name)


def test_names_are_text_and_nothing_else():
    found = check(whole(NASTY))
    assert sum(NASTY in text for text in found.text) == 10
    assert "".join(found.text).count("alert") == 10


def test_an_unescaped_name_is_seen():
    with pytest.raises(AssertionError):
        check(whole("plain").replace("plain", NASTY))


def test_pictures_travel_with_the_page():
    (address,) = check(whole("x")).addresses
    assert base64.b64decode(address.partition(",")[2]) == b"\x89PNG"
