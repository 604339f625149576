"""The page: self-contained, well-formed, and safe whatever the names say."""

import base64

import pytest
from cli_helpers import check_page as check

from girsanov.cli import html

NASTY = '<script>alert("1")</script> & \' " </title><img src=http://x.y onerror=z> größe \u202e ]]>'


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
