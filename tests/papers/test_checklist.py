"""The checklist of Lai et al. (2025): every name exists, and the page says what the list says."""

from pathlib import Path

import pytest

from girsanov.errors import InputError
from girsanov.papers import checklist

NAMES = [name for items in checklist.CHECKLIST.values() for name in items.values() if name]


@pytest.mark.parametrize("name", NAMES)
def test_what_the_checklist_names_exists(name):
    assert checklist.find(name).__doc__


def test_a_name_that_is_missing_or_private_is_refused():
    for name in ("solvers.teleport", "solvers.EPSILON", "solvers.plan.Planned"):
        with pytest.raises(InputError, match="does not exist"):
            checklist.find(name)


def test_the_page_is_the_list():
    page = Path(__file__).parents[2] / "docs" / "principles.md"
    assert page.read_text(encoding="utf-8") == checklist.page(), (
        "write it again: python -m girsanov.papers.checklist docs/principles.md"
    )


def test_what_is_not_there_yet_says_so():
    missing = sum(not name for items in checklist.CHECKLIST.values() for name in items.values())
    assert checklist.page().count("not yet there") == missing
