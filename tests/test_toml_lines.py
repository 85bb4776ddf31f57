"""Where a key stands, in every way that TOML lets one be written."""

import pytest

from tokenward.toml_lines import line_of

TEXT = '''# a comment that says [default]
title = "x"

[default]
provider = "a" # key = 1

text = """
[providers.acme]
body = 1
"""
"quoted.key" = 1
dotted.deep.key = [
    1,
    2,
]
[providers]
inline = { api_key = "k", more = [ { x = 1 } ] }
other.body = "form"

[[list]]
a = 1
[[list]]
b = 2

[providers.acme]
body = "json"
[default.later]
z = 1'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (["title"], 2),
        (["default"], 4),
        (["default", "provider"], 5),
        (["default", "text"], 7),
        (["default", "quoted.key"], 11),
        (["default", "dotted", "deep", "key"], 12),
        (["default", "dotted", "deep", "key", 1], 12),
        (["providers"], 16),
        (["providers", "inline", "api_key"], 17),
        (["providers", "inline", "more", 0, "x"], 17),
        (["providers", "other", "body"], 18),
        (["list", 0, "a"], 21),
        (["list", 1], 22),
        (["list", 1, "b"], 23),
        (["providers", "acme"], 25),
        (["providers", "acme", "body"], 26),
        (["providers", "acme", "missing", "deeper"], 25),
        (["default", "later", "z"], 28),
        (["default", "provider", "no", "table"], 5),
        (["nowhere"], None),
        ([], None),
    ],
)
def test_line_of(path: list[str | int], line: int | None) -> None:
    """The first line of the expression that gives the key a value; a missing key is at its table."""
    assert line_of(TEXT, path) == line
    assert line_of(TEXT.replace("\n", "\r\n"), path) == line


def test_an_empty_text_holds_nothing() -> None:
    """There is no line to name."""
    assert line_of("", ["default"]) is None
