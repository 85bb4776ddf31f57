"""The packaged provider files hold what they may hold, and are read as pydantic would read them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tokenward import providers
from tokenward.built_in_providers import BUILT_IN, GENERIC, ProviderFile, provider_file
from tokenward.providers import packaged

ROOT = Path(providers.__file__).parent
FILES = sorted(path.stem for path in ROOT.glob("*.toml") if not path.stem.startswith("models-"))
CHECKER = TypeAdapter(ProviderFile)


def checked(document: dict[str, Any]) -> ProviderFile:
    """What pydantic makes of a document, strictly: as JSON, which has no more types than TOML has here."""
    return CHECKER.validate_json(json.dumps(document))


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_as_it_is_checked(name: str) -> None:
    """No key that nothing obeys, no wrong type, no default that differs: at a start nobody looks."""
    read, expected = provider_file(name), checked(packaged(f"{name}.toml"))
    assert read == expected
    shown, meant = (repr(each).replace("mappingproxy({})", "{}") for each in (read, expected))
    assert shown == meant, "a kind is equal to its text, and is not it"


def test_every_file_is_one_that_is_used() -> None:
    """A file that no name leads to would be read by nobody."""
    assert {*FILES} == {*BUILT_IN, GENERIC}


@pytest.mark.parametrize(
    "wrong",
    [
        "of_no_file = 1",
        "[headers]\nof_no_file = 1",
        "[login]\nof_no_file = 1",
        "[headers.betas]\nof_no_kind = ['x']",
        "[headers.billing]\noauth = 'gift'",
        "reuse_grace = 'none'",
        "aliases = 'one'",
    ],
)
def test_the_check_is_one(wrong: str) -> None:
    """What the files must not hold is refused by what checks them."""
    base = {"body": "form", "reuse_grace": 0, "dead_errors": [], "headers": {}}
    checked(base)
    with pytest.raises(ValidationError):
        checked({**base, **tomllib.loads(wrong)})
