"""What is read without the models is read as they read it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tokenward.core import names
from tokenward.daemon.plain_request import (
    LONGEST_LIFE,
    LONGEST_TIMEOUT,
    MOST_COMPACTIONS,
    PlainRequest,
    read_plain,
)
from tokenward.daemon.token_models import TokenParams

ODD: list[Any] = [
    *(
        "",
        " ",
        "a",
        "main",
        "acme",
        "acme:",
        "acme:me",
        "acme:me\n",
        "Acme:me",
        "x/acme:me",
        "wörk",
        "\ud800",
        "60",
    ),
    *("0123456789ab", "0123456789ab\n", "0123456789AB", "0123456789a", "oauth", "api_key", "federated"),
    *("x" * length for length in (32, 33, 64, 65, 128, 129)),
    *("é" * length for length in (32, 33, 64, 65, 128, 129)),
    *(None, True, False, -1, 0, 1, -0.0, 0.5, -0.5, 5.0, 10**400, math.nan, math.inf, -math.inf),
    *(border + more for border in (MOST_COMPACTIONS, LONGEST_LIFE, LONGEST_TIMEOUT) for more in (-1, 0, 0.5, 1)),
    *([], ["oauth"], ["other"], [1], [None], [["oauth"]], {}, {"access_token": "x"}, {"x": 1}),
]
TEXTS = st.one_of(
    st.text(st.characters(), max_size=130),
    st.from_regex(names.PROFILE_ID),
    st.from_regex(names.AGENT),
    st.from_regex(names.GENERATION),
    st.sampled_from(
        ["", "main", "acme", "oauth", "api_key", "acme:me\n", "0123456789ab\n", "wörk", "\ud800", "x" * 65]
    ),
)
KINDS = st.sampled_from(["api_key", "auth_token", "setup_token", "oauth", "federated", "other", "", 1, None])
VALUES = st.one_of(
    TEXTS,
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from([0, -0.0, MOST_COMPACTIONS, MOST_COMPACTIONS + 1, LONGEST_LIFE, LONGEST_LIFE + 0.5, math.nan]),
    st.sampled_from([LONGEST_TIMEOUT, LONGEST_TIMEOUT + 1, 10**400, -1, 60.0, 5.0]),
    st.lists(KINDS, max_size=3),
    st.dictionaries(st.sampled_from(["access_token", "kind", "x"]), TEXTS, max_size=2),
)
MEMBERS = st.dictionaries(st.sampled_from([*TokenParams.model_fields, "other", "Tier"]), VALUES, max_size=5)


@given(st.one_of(MEMBERS, VALUES, st.lists(VALUES, max_size=2)))
@example({"min_valid": 60, "timeout": 0})
@example({"kinds": []})
@example({"tier": "é" * 32, "session": "s" * 128, "provider": " Claude-CLI "})
def test_what_is_taken_is_taken_by_the_models_and_means_the_same(members: Any) -> None:
    """Whatever is sent: no request is read that they refuse, and none in another sense."""
    read = read_plain(members)
    if read is not None:
        assert read._asdict() == dict(TokenParams.model_validate(members))
        assert {type(each) for each in read.kinds or ()} <= {str}


@pytest.mark.parametrize("name", [*TokenParams.model_fields, "other", "Tier"])
def test_each_member_is_taken_as_the_models_take_it(name: str) -> None:
    """At every border of what it may be, and beyond."""
    for value in ODD:
        read = read_plain({name: value})
        if read is not None:
            assert read._asdict() == dict(TokenParams.model_validate({name: value})), (name, value)


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"provider": "acme"},
        {"profile": "acme:me@work.com"},
        {"agent": "coder", "session": "Größe 7"},
        {"kinds": ["oauth", "setup_token"], "auth_method": "oauth"},
        {"min_valid": 300, "timeout": 30.5},
        {"tier": "max_5", "newer_than": "0123456789ab", "compactions": 3},
        {
            name: None
            for name, field in TokenParams.model_fields.items()
            if not field.is_required() and field.default is None
        },
    ],
)
def test_what_programs_ask_for_needs_no_models(members: dict[str, Any]) -> None:
    """Every plain wish is read, one after another and as JSON has it."""
    read = read_plain(json.loads(json.dumps(members)))
    assert read is not None
    assert read._asdict() == dict(TokenParams.model_validate(members))


@pytest.mark.parametrize(
    "members",
    [
        {"min_valid": "60"},
        {"min_valid": True},
        {"compactions": 5.0},
        {"credential": {"access_token": "x"}},
        {"model": "opus"},
        {"betas": []},
        {"session": "\ud800"},
        {"profile": "acme:me\n"},
        {"kinds": ("oauth",)},
        [],
        None,
    ],
)
def test_what_is_not_plain_is_left_to_them(members: Any) -> None:
    """What they convert, refuse, or answer on another way."""
    assert read_plain(members) is None


def test_the_members_and_what_they_are_by_default_are_theirs() -> None:
    """All of them, so that a new one is not forgotten here."""
    assert PlainRequest()._asdict() == dict(TokenParams())
