"""What the documentation says that the repository already knows: the API, the papers' gallery, the menu.

A hook of mkdocs, named in mkdocs.yml. Sources are read, never imported, so building needs no torch.

- `api/<room>.md` for each room: the names of its `__all__`, grouped by the module that defines them.
- `gallery.md` from `src/girsanov/papers/results/*.json` and `docs/figures/papers/<slug>.png`.
- the menu: hand-written pages in the order of the layers (`docs/<room>.md`), then gallery,
  benchmarks (`docs/benchmarks.md`, written by `make bench`) and API. A page appears when its file does.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "girsanov"
FIGURES = "figures/papers"
FIRST, LAST = ("index.md", "choose.md", "choosing-a-process.md"), ("benchmarks.md",)
NETWORK = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=["']?(https?:)?//[^"' >]+""")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Lay the menu out of the pages there are."""
    there = {path.name for path in (ROOT / "docs").glob("*.md")}
    rooms = [f"{room}.md" for room in layers() if f"{room}.md" in there]
    others = sorted(there - {*FIRST, *LAST, *rooms})
    sections: list[Any] = [{"Home": "index.md"}, *(page for page in FIRST[1:] if page in there)]
    if rooms:
        sections.append({"Rooms": rooms})
    sections += others
    sections += ["gallery.md"] if results() else []
    sections += [page for page in LAST if page in there]
    reference = [f"api/{room}.md" for room in layers() if exports(room)]
    sections.append({"API": [{"Overview": "api/index.md"}, *reference]})
    config.nav = sections
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are written from the code."""
    pages = {f"api/{room}.md": api_page(room) for room in layers() if exports(room)}
    pages["api/index.md"] = api_index()
    if results():
        pages["gallery.md"] = gallery()
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Give the oracle and the source, which close a module's head, a line each."""
    return re.sub(r"\n(Oracle|Source|Sources):", r"<br>\1:", html)


def on_post_build(config: MkDocsConfig) -> None:
    """Let the search work from disk, and refuse a site that would ask the network for anything."""
    site = Path(config.site_dir)
    index = (site / "search" / "search_index.json").read_text(encoding="utf-8")
    (site / "search" / "search_index.js").write_text(f"var __index = {index}", encoding="utf-8")
    for page in site.rglob("*.html"):
        found = NETWORK.search(page.read_text(encoding="utf-8"))
        if found:
            raise PluginError(f"{page.relative_to(site)} loads from the network: {found[0]}")


def layers() -> list[str]:
    """The rooms that exist, from the ground up, as the contract in pyproject.toml orders them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = project["tool"]["importlinter"]["contracts"][0]["layers"]
    names = [name.strip(" ()") for layer in reversed(contract) for name in re.split(r"[|:]", layer)]
    return [name for name in names if source(name).exists()]


def source(room: str) -> Path:
    """The file that says what a room offers."""
    package = PACKAGE / room / "__init__.py"
    return package if package.exists() else PACKAGE / f"{room}.py"


def exports(room: str) -> dict[str, list[str]]:
    """Public names of a room, by the module that defines them."""
    tree = parse(source(room))
    public = assigned(tree, "__all__", [])
    if source(room).name != "__init__.py":
        return {f"girsanov.{room}": public or list(defined(tree))}
    homes: dict[str, list[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"girsanov.{room}."):
            names = [alias.name for alias in node.names if alias.name in public]
            homes.setdefault(str(node.module), []).extend(names)
    return {home: names for home, names in homes.items() if names}


def parse(path: Path) -> ast.Module:
    """A module as its syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def assigned(tree: ast.Module, name: str, default: Any) -> Any:
    """The literal that a module gives a name."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    return default


def summary(room: str) -> str:
    """What a room says of itself."""
    return ast.get_docstring(parse(source(room))) or ""


def defined(tree: ast.Module) -> Iterator[str]:
    """Public classes, functions and documented constants of a module without `__all__`."""
    for node, after in pairwise([*tree.body, ast.Pass()]):
        name = getattr(node, "name", "")
        if isinstance(node, ast.Assign) and isinstance(after, ast.Expr):
            name = ast.unparse(node.targets[0])
        if name and not name.startswith("_"):
            yield name


def api_page(room: str) -> str:
    """The reference of one room."""
    title = f"girsanov.{room}"
    homes = exports(room)
    single = list(homes) == [title]
    head = [f"---\ntitle: {title}\n---", f"# `{title}`"]
    if not single:
        head.append(summary(room))
    if (ROOT / "docs" / f"{room}.md").exists():
        head.append(f"How to use it: [{room}](../{room}.md).")
    return "\n\n".join([*head, *(directive(home, names, not single) for home, names in homes.items())])


def directive(home: str, names: list[str], heading: bool) -> str:
    """Ask mkdocstrings for a module's head and these of its members."""
    options = [f"show_root_heading: {str(heading).lower()}", f"members: {json.dumps(names)}"]
    return "\n".join([f"::: {home}", "    options:", *(f"      {option}" for option in options)])


def api_index() -> str:
    """The names at the top of the package, and the rooms."""
    homes = assigned(parse(PACKAGE / "__init__.py"), "_HOMES", {})
    lines = ["# API", "", "At the top, after `import girsanov as gv`:", "", "| name | room |", "|---|---|"]
    for name, room in sorted(homes.items()):
        if room in layers():
            lines += [f"| [`gv.{name}`][{home}.{name}] | {room} |" for home in defining(room, name)]
    lines += ["", "The rooms, from the ground up; a room uses only those above it in this list:", ""]
    lines += ["| room | what lives there |", "|---|---|"]
    for room in layers():
        if exports(room):
            lines.append(f"| [`girsanov.{room}`]({room}.md) | {cell(summary(room).splitlines()[0])} |")
    return "\n".join(lines)


def defining(room: str, name: str) -> Iterator[str]:
    """The module of a room that defines a name, if any does."""
    return (home for home, names in exports(room).items() if name in names)


def results() -> list[dict[str, Any]]:
    """What the papers' runs measured, by slug."""
    found = sorted((PACKAGE / "papers" / "results").glob("*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in found]


def gallery() -> str:
    """Every paper: its figure, and each claim with the paper's number, ours and the baseline's."""
    lines = [
        "# Papers",
        "",
        "Each paper is a module of `girsanov.papers` that composes the library's parts and checks what the",
        "paper claims, at a scale that two processor cores carry. Margins and seeds were fixed before",
        "the runs.",
        "To run one again: `girsanov reproduce SLUG --budget cpu`.",
        "",
        "| paper | claims | verdicts |",
        "|---|---|---|",
    ]
    for paper in results():
        verdicts = [claim["verdict"] for claim in paper["claims"]]
        counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
        lines.append(f"| [{cell(paper['title'])}](#{paper['slug']}) | {len(verdicts)} | {counts} |")
    for paper in results():
        lines += ["", *paper_section(paper)]
    return "\n".join(lines)


def paper_section(paper: dict[str, Any]) -> list[str]:
    """One paper of the gallery."""
    slug = paper["slug"]
    lines = [f"## {paper['title']} {{: #{slug} }}", ""]
    if (ROOT / "docs" / FIGURES / f"{slug}.png").exists():
        lines += [f"![{paper['title']}]({FIGURES}/{slug}.png)", ""]
    columns = ("paper", "ours", "baseline", "bar", "verdict")
    lines += [f"| claim | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for claim in paper["claims"]:
        values = [cell(claim.get(column)) for column in columns]
        lines.append(f"| {cell(claim['name'])} | {' | '.join(values)} |")
    lines += ["", *(remark(claim) for claim in paper["claims"])]
    seeds, seconds = paper["seeds"], paper["seconds"]
    count = len(seeds) if isinstance(seeds, list) else seeds
    note = (
        f"`{slug}`, budget `{paper['budget']}`, {count} seeds, {cell(seconds)} s, version {paper['version']}"
    )
    return [*lines, "", f"{note}, {paper['date']}."]


def remark(claim: dict[str, Any]) -> str:
    """What a claim says, where the paper says it, in what unit, and why the verdict is what it is."""
    where = "; ".join(text for text in (claim.get("source"), claim.get("unit")) if text)
    parts = (claim.get("says"), f"({where})" if where else "", claim.get("reason"))
    return f"- **{claim['name']}**: {' '.join(part for part in parts if part)}"


def cell(value: object) -> str:
    """A value as it stands in a table."""
    if value is None or value == "":
        return "–"
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
