"""One member of a JSON text is set or removed, and every other character stays."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.core.json_members import value_text, with_member, without_member

NAME, VALUE = "apiKeyHelper", '"run it"'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '{\n  "apiKeyHelper": "run it"\n}\n'),
        ("{}", '{\n  "apiKeyHelper": "run it"\n}'),
        ("{\r\n}\r\n", '{\r\n  "apiKeyHelper": "run it"\r\n}\r\n'),
        ('{"a":1}', '{"a":1,"apiKeyHelper":"run it"}'),
        ('{ "a" : 1 }', '{ "a" : 1, "apiKeyHelper" : "run it" }'),
        ('{\n\t"a": 1e3\n}\n', '{\n\t"a": 1e3,\n\t"apiKeyHelper": "run it"\n}\n'),
        (
            '{\n    "b": "\\u00fc{}[],\\"",\n    "a": [1,\n2]\n}',
            '{\n    "b": "\\u00fc{}[],\\"",\n    "a": [1,\n2],\n    "apiKeyHelper": "run it"\n}',
        ),
        ('{"apiKeyHelper" : null, "z": {}}', '{"apiKeyHelper" : "run it", "z": {}}'),
        ('{"env": {"apiKeyHelper": "inner"}}', '{"env": {"apiKeyHelper": "inner"},"apiKeyHelper": "run it"}'),
    ],
)
def test_a_member_is_set_in_the_style_of_the_text(before: str, after: str) -> None:
    """A new one goes to the end as its neighbours are written; an old one stays where it is."""
    assert with_member(before, NAME, VALUE) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"apiKeyHelper":"x"}', "{}"),
        ('{\n  "apiKeyHelper": "x",\n  "a": 1\n}', '{\n  "a": 1\n}'),
        ('{\n  "a": 1,\n  "apiKeyHelper": "x",\n  "b": 2\n}', '{\n  "a": 1,\n  "b": 2\n}'),
        ('{\n  "a": 1,\n  "apiKeyHelper": "x"\n}\n', '{\n  "a": 1\n}\n'),
        ('{"a": 1}', '{"a": 1}'),
    ],
)
def test_a_member_is_removed_with_its_comma(before: str, after: str) -> None:
    """First, middle, last, only, or not there."""
    assert without_member(before, NAME) == after


@given(
    document=st.dictionaries(
        st.text(max_size=5).filter(lambda name: name != NAME),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        ),
        min_size=1,
        max_size=4,
    ),
    indent=st.sampled_from([None, 0, 2, 4]),
    escaped=st.booleans(),
)
def test_removing_what_was_set_gives_the_text_back(document: object, indent: int | None, escaped: bool) -> None:  # noqa: FBT001 - a drawn value
    """To the character, whatever else stands in it."""
    text = json.dumps(document, indent=indent, ensure_ascii=escaped)
    there = with_member(text, NAME, VALUE)
    assert value_text(there, NAME) == VALUE
    assert without_member(there, NAME) == text


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", '"x"', '{"a": 1,}', '{"a": 1} x', "// c\n{}", "\ufeff{}",
        '{"apiKeyHelper": 1, "apiKeyHelper": 2}', "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_object_is_refused(text: str) -> None:
    """Torn, of another type, with comments, or ambiguous."""
    with pytest.raises(ValueError, match=r".+"):
        with_member(text, NAME, VALUE)
    with pytest.raises(ValueError, match=r".+"):
        without_member(text, NAME)
    with pytest.raises(ValueError, match=r".+"):
        value_text(text, NAME)
