"""What is sent for an identity token, and what is taken for one."""

import pytest

from tokenward.core.credential import Kind, Secret
from tokenward.core.federation import (
    JWT_BEARER,
    LARGEST_IDENTITY_BYTES,
    NoIdentity,
    identity_in,
    jwt_bearer_parameters,
    unminted,
)


def test_the_parameters_are_those_of_rfc_7523() -> None:
    """The grant type and the assertion, and the provider's own parameters beside them; no client without one."""
    parameters = jwt_bearer_parameters(Secret("a.b.c"), client_id="", scope=None, more={"rule": "fdrl_1"})
    assert parameters == {"grant_type": JWT_BEARER, "assertion": "a.b.c", "rule": "fdrl_1"}


def test_client_and_scope_go_with_them_where_there_are_any() -> None:
    """Both are optional (RFC 7521 section 4.1)."""
    parameters = jwt_bearer_parameters(Secret("a.b.c"), client_id="us", scope="read", more={})
    assert parameters == {"grant_type": JWT_BEARER, "assertion": "a.b.c", "client_id": "us", "scope": "read"}


def test_the_grant_cannot_be_replaced() -> None:
    """A provider's parameter of the same name does not win."""
    parameters = jwt_bearer_parameters(Secret("a.b.c"), client_id="", scope=None, more={"assertion": "x"})
    assert parameters["assertion"] == "a.b.c"


@pytest.mark.parametrize("data", [b"a.b.c", b"a.b.c\n", b"\r\n  a.b.c \n\n"])
def test_blanks_around_it_do_not_count(data: bytes) -> None:
    """Files end in a line break, and commands print one."""
    assert identity_in(data) == Secret("a.b.c")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"a.b.c d", "blanks"),
        (b"-----BEGIN CERTIFICATE-----\nMII\n", "blanks"),
        (b"a.b.\xff", "characters"),
        (b"a" * (LARGEST_IDENTITY_BYTES + 1), "larger than"),
    ],
)
def test_what_is_no_identity_token(data: bytes, reason: str) -> None:
    """A page of text, a certificate or half a file is never sent anywhere, and is not in the reason."""
    found = identity_in(data)
    assert isinstance(found, NoIdentity)
    assert reason in found.reason
    assert "a.b" not in found.reason


def test_an_opaque_token_is_one_too() -> None:
    """Nothing is decoded, so it need not be a JWT."""
    assert identity_in(b"opaque-1") == Secret("opaque-1")


def test_what_is_not_minted_yet_is_over_and_can_be_renewed() -> None:
    """It is due at once and never served: without an access token, and long past its end."""
    credential = unminted("attempt 0")
    assert credential.kind is Kind.FEDERATED
    assert credential.refreshable
    assert not credential.access
    assert credential.expires_at is not None
    assert credential.expires_at.year == 1970
    assert credential.generation != unminted("attempt 1").generation
