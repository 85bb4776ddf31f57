"""What a pasted text is, said by prefix and shape, and never repeated."""

import base64
import json

import pytest

from tokenward.core.credential import Kind
from tokenward.core.recognise import (
    SHORTEST_SETUP_TOKEN,
    Shape,
    api_root,
    jwt_end,
    misplaced,
    natural_kind,
    recognise,
    shortness,
)

KEY = "sk-ant-api03-" + "k" * 95
SETUP = "sk-ant-oat01-" + "s" * 95
REFRESH = "sk-ant-ort01-" + "r" * 95
GATEWAY = "sk-0123456789abcdef"
CODE = "AbCdEfGhIjKl#ZyXwVuTsRq"


def jwt(claims: object) -> str:
    """A JWT with these claims, unsigned."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, claims)]
    return "eyJ0eXAiOiJKV1QifQ." + parts[1] + ".signature"


SHAPES = [
    (KEY, Shape.API_KEY),
    (SETUP, Shape.SETUP_TOKEN),
    (REFRESH, Shape.REFRESH_TOKEN),
    ("sk-ant-admin01-xyz", Shape.OTHER_ANTHROPIC),
    (GATEWAY, Shape.GATEWAY_KEY),
    (CODE, Shape.CODE_AND_STATE),
    (jwt({"exp": 1}), Shape.JWT),
    ('{"accessToken": "a"}', Shape.LOGIN),
    ('{"claudeAiOauth": {"accessToken": "a"}}', Shape.CLAUDE_CODE_LOGIN),
    ("https://claude.ai/oauth/authorize?x=y", Shape.ADDRESS),
    (f"{SETUP}#state", Shape.BROKEN),
    ("sk-“quoted”", Shape.BROKEN),
    ('{"accessToken": ', Shape.BROKEN),
    ("[1]", Shape.BROKEN),
    (" \n", Shape.NOTHING),
    ("something", Shape.OTHER),
]


@pytest.mark.parametrize(("text", "shape"), SHAPES)
def test_each_shape_is_told(text: str, shape: Shape) -> None:
    """By prefix first, then by shape; blanks around do not matter."""
    assert recognise(f"  {text}\n").shape is shape


@pytest.mark.parametrize(("text", "_"), SHAPES)
def test_nothing_said_repeats_the_text(text: str, _: Shape) -> None:
    """Neither the repr nor a refusal holds what was given."""
    given = recognise(text)
    secret = text.strip()
    said = [repr(given), *given.notes, shortness(given) or ""]
    for kind in (Kind.API_KEY, Kind.AUTH_TOKEN, Kind.SETUP_TOKEN):
        wrong = misplaced(given, kind, anthropic=True, gateway=False)
        if wrong is not None:
            said += [wrong.cause, wrong.hint]
            assert "\n" not in wrong.cause + wrong.hint
    assert not secret or len(secret) < 5 or all(secret not in words for words in said)


@pytest.mark.covers("E13")
def test_a_wrapped_setup_token_is_joined() -> None:
    """A terminal's line breaks inside a token are taken out, and that is said."""
    given = recognise(f"{SETUP[:60]}\n   {SETUP[60:]}\n")
    assert (given.shape, given.token, len(given.notes)) == (Shape.SETUP_TOKEN, SETUP, 1)
    assert shortness(given) is None
    assert shortness(recognise(SETUP[: SHORTEST_SETUP_TOKEN - 1])) is not None
    assert shortness(recognise(SETUP[:SHORTEST_SETUP_TOKEN])) is None


@pytest.mark.covers("E12")
def test_a_console_key_is_no_setup_token() -> None:
    """It is refused with what it is and the option it belongs to."""
    wrong = misplaced(recognise(KEY), Kind.SETUP_TOKEN, anthropic=True)
    assert wrong is not None
    assert "API key of the Console" in wrong.cause
    assert "--api-key" in wrong.hint
    pasted_code = misplaced(recognise(CODE), Kind.SETUP_TOKEN, anthropic=True)
    assert pasted_code is not None
    assert "code#state" in pasted_code.cause


@pytest.mark.covers("N16")
@pytest.mark.parametrize("text", [GATEWAY, jwt({}), "something", SETUP, REFRESH, CODE])
def test_an_api_key_begins_as_one(text: str) -> None:
    """A wrong prefix is refused with a message; a length only warns."""
    assert misplaced(recognise(text), Kind.API_KEY, anthropic=True, gateway=False) is not None
    short = recognise("sk-ant-api03-short")
    assert misplaced(short, Kind.API_KEY, anthropic=True, gateway=False) is None
    assert shortness(short) is not None


@pytest.mark.covers("A3")
def test_a_gateway_key_needs_its_gateway() -> None:
    """Without a base address it is refused, with one it is not, and where nobody knows it is let through."""
    given = recognise(GATEWAY)
    wrong = misplaced(given, Kind.AUTH_TOKEN, anthropic=True, gateway=False)
    assert wrong is not None
    assert "ANTHROPIC_BASE_URL" in wrong.hint
    for gateway in (True, None):
        assert misplaced(given, Kind.AUTH_TOKEN, anthropic=True, gateway=gateway) is None


def test_other_providers_have_other_keys() -> None:
    """Only what is a token nowhere is refused for them."""
    for text in (SETUP, REFRESH, GATEWAY, CODE, "something"):
        assert misplaced(recognise(text), Kind.API_KEY, anthropic=False) is None
    for text in ("", "{}", '{"claudeAiOauth": {}}', "two\x00"):
        assert misplaced(recognise(text), Kind.API_KEY, anthropic=False) is not None


@pytest.mark.parametrize(
    ("text", "gateway", "kind"),
    [
        (KEY, False, Kind.API_KEY),
        (KEY, True, Kind.AUTH_TOKEN),
        (SETUP, False, Kind.SETUP_TOKEN),
        (GATEWAY, True, Kind.AUTH_TOKEN),
        (jwt({}), False, Kind.AUTH_TOKEN),
    ],
)
def test_what_it_is_decides_its_kind(text: str, gateway: bool, kind: Kind) -> None:  # noqa: FBT001 - a table
    """The kind follows from the shape, and from who will see it."""
    assert natural_kind(recognise(text), gateway=gateway) is kind


@pytest.mark.parametrize(
    ("claims", "end"),
    [({"exp": 1_900_000_000}, 1_900_000_000), ({}, None), ({"exp": True}, None), ({"exp": -1}, None), ([], None)],
)
def test_a_jwt_names_its_end(claims: object, end: float | None) -> None:
    """RFC 7519 `exp`, where it is a number of seconds."""
    assert jwt_end(recognise(jwt(claims))) == end
    assert jwt_end(recognise("eyJ0eXAiOiJKV1QifQ.!.x")) is None


@pytest.mark.covers("A1", "A7")
@pytest.mark.parametrize(
    ("address", "root", "tail"),
    [
        ("https://gw.example", "https://gw.example", None),
        ("https://gw.example/", "https://gw.example", "/"),
        ("https://gw.example/v1", "https://gw.example", "/v1"),
        ("https://gw.example/v1/v1/", "https://gw.example", "/v1"),
        ("https://gw.example/api/v1/messages", "https://gw.example/api", "/v1"),
        ("https://gw.example/messages", "https://gw.example/messages", None),
        ("https://gw.example/v1/account/anthropic", "https://gw.example/v1/account/anthropic", None),
        ("https://gw.example/anthropic", "https://gw.example/anthropic", None),
    ],
)
def test_a_base_address_is_a_root(address: str, root: str, tail: str | None) -> None:
    """Clients append the path themselves."""
    assert api_root(address) == (root, tail)
