"""The package as a whole: what it costs to import, what a wheel holds, how every room reads.

The tests walk over the files there are, so a new room meets them without a line here.
"""

import ast
import importlib
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import girsanov

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "girsanov"
FILES = sorted(SOURCE.rglob("*.py"))
MODULES = [
    ".".join(("girsanov", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
    for path in FILES
    if path.name != "__main__.py"
]
LIBRARY = [name for name in MODULES if not name.startswith("girsanov.cli")]  # all but the command
ROOMS = [name for name in LIBRARY if name.count(".") == 1]
HEAVY = [
    "PIL", "datasets", "diffusers", "huggingface_hub", "lightning", "matplotlib", "mlxtend", "numba", "ot", "pandas",
    "pyarrow", "rich", "scipy.stats", "skimage", "sklearn", "tensorboard", "torchdiffeq", "typer",
]  # fmt: skip
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

needs_command = pytest.mark.skipif("girsanov.cli" not in MODULES, reason="there is no command yet")


def run_python(code: str, folder: Path = ROOT, path: str | None = None) -> str:
    """What code prints in a fresh interpreter; `path` goes before the installed packages."""
    place = os.environ if path is None else {**os.environ, "PYTHONPATH": path}
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, cwd=folder, env=place)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_by(code: str, names: list[str]) -> list[str]:
    """Which of the modules a fresh interpreter holds after the code."""
    look = f"\nimport json, sys\nprint(json.dumps([name for name in {names!r} if name in sys.modules]))"
    return json.loads(run_python(code + look).splitlines()[-1])


def command(*arguments: str) -> str:
    """Code that runs the command line and goes on."""
    return (
        f"import sys\nsys.argv = {['girsanov', *arguments]!r}\n"
        "from girsanov.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    )


# --- importing


def test_importing_the_package_loads_neither_torch_nor_a_room():
    assert loaded_by("import girsanov", ["torch", *HEAVY, *MODULES]) == ["girsanov"]


def test_importing_every_room_loads_no_optional_or_slow_package():
    assert loaded_by(f"import {', '.join(ROOMS)}", HEAVY) == []


def test_an_import_of_a_slow_package_is_seen():
    assert loaded_by("import girsanov, scipy.stats", HEAVY) == ["scipy.stats"]


@needs_command
def test_help_answers_without_torch():
    assert loaded_by(command("--help"), ["torch", "numpy", "matplotlib"]) == []


def test_a_room_is_there_right_after_the_import():
    used = "import girsanov as gv\nassert gv.errors.GirsanovError and gv.Noise(0)"
    assert loaded_by(used, ["girsanov.errors", "girsanov.noise"]) == ["girsanov.errors", "girsanov.noise"]


def test_names_at_the_top_are_those_of_their_rooms():
    assert set(girsanov.__all__) <= set(dir(girsanov))
    for name, room in girsanov._HOMES.items():
        if f"girsanov.{room}" in MODULES:
            assert getattr(girsanov, name) is getattr(importlib.import_module(f"girsanov.{room}"), name)


def test_an_unknown_name_at_the_top_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'proceses'"):
        girsanov.proceses  # noqa: B018


# --- what is installed


def required(extra: str) -> Iterator[str]:
    """Names of the packages that an extra asks for."""
    for requirement in PROJECT["optional-dependencies"][extra]:
        name, extras = re.match(r"([\w.-]+)(?:\[([^]]+)\])?", requirement).groups()
        if name == "girsanov":
            for inner in extras.split(","):
                yield from required(inner)
        else:
            yield name


def test_the_core_has_at_most_eight_dependencies():
    assert len(PROJECT["dependencies"]) <= 8


def test_every_dependency_of_make_setup_is_pinned():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []
    core = [re.match(r"[\w.-]+", requirement)[0] for requirement in PROJECT["dependencies"]]
    pinned = {plain(pin.partition("==")[0]) for pin in pins}
    assert {plain(name) for name in (*core, *required("dev"), *required("docs"))} - pinned == set()


def plain(name: str) -> str:
    """A package's name, as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    for tool in ("build", "hatchling"):
        pytest.importorskip(tool, reason="building a wheel without the network needs it installed")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.iterdir())


def test_the_wheel_has_the_one_version(wheel):
    assert wheel.name == f"girsanov-{girsanov.__version__}-py3-none-any.whl"
    assert "version" in PROJECT["dynamic"]
    assert f"## [{girsanov.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    ours = {f"girsanov/{path.relative_to(SOURCE)}" for path in SOURCE.rglob("*") if path.is_file()}
    assert {name for name in names if ".dist-info/" not in name} == {
        name for name in ours if "__pycache__" not in name
    }
    assert "girsanov/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert wheel.stat().st_size < 2_000_000


@needs_command
def test_the_wheel_knows_the_papers_in_an_empty_folder(wheel, tmp_path):
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    zipfile.ZipFile(wheel).extractall(installed)
    empty.mkdir()
    listed = json.loads(run_python(command("papers", "--json"), folder=empty, path=str(installed)))
    shipped = {path.stem for path in (SOURCE / "papers" / "results").glob("*.json")}
    assert {paper["slug"] for paper in listed} == shipped


# --- how it reads


def public(module: str) -> Iterator[tuple[str, object]]:
    """Names that a module offers: its `__all__`, else the classes and functions it defines."""
    found = importlib.import_module(module)
    if hasattr(found, "__all__"):
        yield from ((name, getattr(found, name)) for name in found.__all__)
        return
    for name, value in vars(found).items():
        if not name.startswith("_") and getattr(value, "__module__", None) == module:
            yield name, value


@pytest.mark.parametrize("module", ROOMS)
def test_public_names_exist_and_have_docstrings(module):
    assert importlib.import_module(module).__doc__
    assert [name for name, value in public(module) if not documented(name, value)] == []


@pytest.mark.parametrize("module", ROOMS)
def test_docstrings_describe_only_arguments_that_exist(module):
    assert [f"{name}: {unknown}" for name, value in public(module) if (unknown := misnamed(value))] == []


def misnamed(value: object) -> set[str]:
    """Names under `Args:` of a class or function that its signature lacks; a line may hold two."""
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return set()
    section = re.search(r"^Args:\n((?:    .*\n|\n)*)", (inspect.getdoc(value) or "") + "\n", re.MULTILINE)
    lines = re.findall(r"^    (\w+(?:, \w+)*):", section[1] if section else "", re.MULTILINE)
    named = {name for line in lines for name in line.split(", ")}
    return named and named - set(inspect.signature(value).parameters)


def test_a_misnamed_argument_is_seen():
    def f(x, y):
        """Add.

        Args:
            x, y: numbers.
            z: no argument at all.
                why: deeper lines are text.

        Returns:
            w: the sum.
        """

    assert misnamed(f) == {"z"}


def documented(name: str, value: object) -> bool:
    """Whether a class or function has a docstring of its own; constants have theirs in the source."""
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return True
    text = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
    return bool(text) and not text.startswith(f"{name}(")  # dataclasses and named tuples write their own


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_source_is_of_readable_size(path):
    text = path.read_text(encoding="utf-8")
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    assert text.count("\n") <= 400
    assert [node.name for node in functions if node.end_lineno - node.lineno > 60] == []


@pytest.mark.parametrize("module", ROOMS)
def test_public_signatures_name_every_argument(module):
    assert [name for name, value in public(module) if takes_any_option(value)] == []


def takes_any_option(value: object) -> bool:
    """Whether a function, a class or a method of it accepts `**kwargs`, and so a misspelt option in silence."""
    called = [value] if inspect.isfunction(value) else []
    if inspect.isclass(value) and not getattr(value, "_is_protocol", False):
        names = [name for name in vars(value) if name == "__init__" or not name.startswith("_")]
        called = [getattr(value, name) for name in names if inspect.isfunction(getattr(value, name))]
    kinds = [each.kind for one in called for each in inspect.signature(one).parameters.values()]
    return inspect.Parameter.VAR_KEYWORD in kinds


def test_an_open_signature_is_seen():
    class A:
        def open(self, **options): ...

    class B:
        def closed(self, x): ...
        def _open(self, **options): ...

    assert [takes_any_option(value) for value in (A, A.open, B)] == [True, True, False]


UNWANTED = re.compile(
    r"(?<![\w.~])/(?:work|farm|root|home/\w+)/|\bTODO\b|\bFIXME\b|co-authored-by|\bassistant\b", re.IGNORECASE
)


def test_tracked_files_hold_no_path_of_one_machine_and_no_loose_end():
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git repository")
    found = []
    for name in filter(None, listing.stdout.split("\0")):
        path = ROOT / name
        if path == Path(__file__) or not path.is_file() or b"\0" in (data := path.read_bytes()):
            continue
        found += [f"{name}: {match[0]}" for match in UNWANTED.finditer(data.decode("utf-8", "replace"))]
    assert found == []
