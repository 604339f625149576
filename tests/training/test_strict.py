"""JSON that Python would take and a saved file must not hold."""

import pytest

from girsanov.errors import SavedFileError
from girsanov.training.strict import field, parse


def test_good_json_is_read_as_it_is():
    assert parse('{"a": [1, 2.5, null, true, "x"], "b": {}}', "f") == {
        "a": [1, 2.5, None, True, "x"],
        "b": {},
    }


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "refused"), ("{", "refused"), ("{'a': 1}", "refused"),
        ("[]", "not an object"), ("3", "not an object"),
        ('{"a": NaN}', "NaN"), ('{"a": -Infinity}', "Infinity"), ('{"a": 1e999}', "1e999"),
        ('{"a": 1, "a": 2}', "'a' stands twice"), ('{"x": {"b": 1, "b": 1}}', "'b' stands twice"),
        ('{"a":' * 40 + "1" + "}" * 40, "nested deeper"), ("[" * 100_000, "nested deeper"),
        ('{"a":' * 100_000, "nested deeper"), ('{"a": ' + "9" * 5000 + "}", "refused"),
        ('{"a": "' + "x" * 2**22 + '"}', "at most"),
    ],
)  # fmt: skip
def test_bad_json_is_refused_with_the_reason(text, message):
    with pytest.raises(SavedFileError, match=message):
        parse(text, "config.json")


def test_a_million_names_are_refused_before_they_are_read():
    with pytest.raises(SavedFileError, match="at most"):
        parse("{" + ",".join(f'"k{i}": 0' for i in range(1_000_000)) + "}", "f")


@pytest.mark.parametrize("found, kind", [({}, int), ({"a": "1"}, int), ({"a": True}, int), ({"a": 1}, str)])
def test_a_field_has_its_type(found, kind):
    with pytest.raises(SavedFileError):
        field(found, "a", kind, "f")
