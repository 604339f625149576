"""One self-contained page: inline style, pictures as base64, no request to anywhere, every text escaped.

Oracle: a parser reads the page back and finds no address outside it, whatever the names say
(tests/cli/test_html.py).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

CSS = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 46rem; background: #fdfcf9; color: #22303c;
  font: 17px/1.6 Charter, "Bitstream Charter", "Iowan Old Style", Georgia, serif; }
h1 { font-size: 1.9rem; line-height: 1.2; font-weight: 600; margin: 0 0 .5rem; letter-spacing: -.01em; }
h2 { font-size: 1.2rem; font-weight: 600; margin: 3rem 0 .5rem; }
p { margin: .5rem 0 1rem; }
.lead { color: #52616f; margin-bottom: 2rem; }
.row { display: flex; flex-wrap: wrap; gap: 1.25rem; }
figure { margin: 1rem 0; flex: 1 1 18rem; min-width: 0; }
img { display: block; width: 100%; height: auto; }
img.pixels { image-rendering: pixelated; border: 1px solid #e4e0d6; }
figcaption { font-size: .85rem; color: #52616f; margin-top: .4rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .45rem .8rem .45rem 0; border-bottom: 1px solid #e4e0d6; vertical-align: top; }
th { font-weight: 600; color: #52616f; }
.passed { color: #2c6e49; } .missed { color: #b23a24; font-weight: 600; }
pre { background: #f3f0e8; padding: .8rem 1rem; overflow-x: auto; font-size: .82rem; line-height: 1.5; }
code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
footer { margin-top: 3rem; font-size: .85rem; color: #52616f; }
"""


def page(title: str, lead: str, parts: Sequence[str], foot: str) -> str:
    """A whole page.

    Args:
        title, lead, foot: plain text.
        parts: HTML from the functions below, one after the other.
    """
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
        f'<h1>{escape(title)}</h1>\n<p class="lead">{escape(lead)}</p>\n{body}\n'
        f"<footer>{escape(foot)}</footer>\n</body>\n</html>\n"
    )


def section(title: str, text: str, *parts: str) -> str:
    """A heading, a paragraph, and what belongs to them."""
    return f"<section>\n<h2>{escape(title)}</h2>\n<p>{escape(text)}</p>\n{''.join(parts)}</section>\n"


def row(*parts: str) -> str:
    """Parts side by side where there is room, one below the other where there is not."""
    return f'<div class="row">{"".join(parts)}</div>\n'


def figure(png: bytes, caption: str, *, pixels: bool = False) -> str:
    """A picture with its caption; `pixels` keeps those of small images sharp."""
    data = base64.b64encode(png).decode("ascii")
    kind = ' class="pixels"' if pixels else ""
    return (
        f'<figure><img{kind} alt="{escape(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>\n"
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts; cells that say "passed" or "missed" are coloured."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(map(_cell, cells))}</tr>" for cells in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>\n'


def code(text: str) -> str:
    """Lines to be typed."""
    return f"<pre><code>{escape(text)}</code></pre>\n"


def _cell(text: str) -> str:
    kind = f' class="{text}"' if text in ("passed", "missed") else ""
    return f"<td{kind}>{escape(text)}</td>"
