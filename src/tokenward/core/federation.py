"""A workload proves who it is with an identity token, and gets an access token for it (RFC 7523 section 2.1).

The problem: where an identity token comes from differs (a file that somebody rotates, a command, a variable), and
so does what a provider wants to know besides it. The first is a choice of the user, the second is data of the
provider; what is sent, and what may be taken for an identity token at all, is decided here.

Rules:
- An identity token is opaque: it is never decoded, and nothing is decided by what it says.
- It is sent once for each access token and never kept.
- The parameters of the grant cannot be replaced by a provider's further ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tokenward.core.credential import EPOCH, Credential, Kind, Secret
from tokenward.core.provider import BodyFormat

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LARGEST_IDENTITY_BYTES = 16 * 1024
"""Identity tokens are below 4 KiB; what is four times as large is a certificate or another file."""
RESERVED_PARAMETERS = frozenset(
    {"grant_type", "assertion", "scope", "client_id", "client_secret", "client_assertion", "client_assertion_type"}
)
"""What the grant and the client's authentication consist of (RFC 7521 section 4)."""

_TOKEN = re.compile(rb"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class NoIdentity:
    """There is no identity token to be had now.

    Args:
        reason: one line for people, without a secret.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Federation:
    """How one provider's access tokens are minted.

    Args:
        identity_token_file: the file that holds the identity token.
        identity_command: the command that prints it; empty if there is none.
        command_timeout: seconds which the command may take.
        env: variables passed on to the command besides the usual ones.
        identity_token: the identity token itself, where it was given in the environment.
        token_endpoint: where it is presented; None = at the provider's own token endpoint.
        body: how that wants its parameters.
        headers: further headers it wants.
        refused_errors: values of ``error`` that mean ``invalid_grant`` there.
        scope: sent only if set.
        parameters: further parameters that the provider wants.
    """

    identity_token_file: str | None = None
    identity_command: tuple[str, ...] = ()
    command_timeout: float = 10.0
    env: tuple[str, ...] = ()
    identity_token: Secret | None = None
    token_endpoint: str | None = None
    body: BodyFormat = "form"
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    refused_errors: frozenset[str] = frozenset()
    scope: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict, hash=False)


def jwt_bearer_parameters(
    identity: Secret, *, client_id: str, scope: str | None, more: Mapping[str, str]
) -> dict[str, str]:
    """The parameters of a jwt-bearer request (RFC 7523 section 2.1).

    Args:
        identity: the identity token, presented as the assertion.
        client_id: how we are registered; empty where the assertion speaks for the client (RFC 7521 section 4.1).
        scope: sent only if set.
        more: what the provider wants besides.
    """
    parameters = {**more, "grant_type": JWT_BEARER, "assertion": identity.reveal()}
    if client_id:
        parameters["client_id"] = client_id
    if scope:
        parameters["scope"] = scope
    return parameters


def identity_in(data: bytes) -> Secret | NoIdentity:
    """The identity token in a file or in a command's output; blanks around it do not count.

    Args:
        data: the bytes, at most one more than ``LARGEST_IDENTITY_BYTES`` of them.
    """
    text = data.strip()
    if not text:
        return NoIdentity("it is empty")
    if len(data) > LARGEST_IDENTITY_BYTES:
        return NoIdentity(f"it is larger than {LARGEST_IDENTITY_BYTES} bytes, which no identity token is")
    if not _TOKEN.fullmatch(text):
        return NoIdentity("it holds blanks or characters that no identity token has")
    return Secret(text.decode("ascii"))


def unminted(mark: str) -> Credential:
    """What is held before the first mint: a value that ended long ago, so that it is due and never served.

    Args:
        mark: names the identity it is to be minted from.
    """
    return Credential(Kind.FEDERATED, Secret(""), refresh=Secret(mark), expires_at=EPOCH)
