"""The shapes in which programs take a token: lines for a request, a shell, a file, or JSON by somebody's protocol.

The problem: every taker has its own syntax and its own idea of what an end of life is, and a token that is put
into the wrong quotes becomes another header, another machine or another command.

Rules:
- A shape is made whole before anything is printed; what cannot be written safely in it is refused, never mended.
- Control characters are refused, also where a shape could escape them.
- An end of life goes out only if it is known, in RFC 3339 and whole seconds, and never later than what is left.
- Which shapes a taker trusts for how long is why some ask for more life: see ``LIFE_WANTED``.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from tokenward.cli import output
from tokenward.cli.program_variables import variables_for
from tokenward.client import Token
from tokenward.core import access_key
from tokenward.core.token_variables import ANTHROPIC, ANTHROPIC_VARIABLES
from tokenward.errors import AskDifferently, ConfigurationFault, RefreshFailed

LIFE_WANTED = {"exec-credential": 300.0, "aws-credential-process": 900.0}
"""Seconds of life to ask for where the caller names none: what the taker's own clients want before they ask again
(Kubernetes' Python client 5 minutes, the AWS SDKs 15). A shorter life is served all the same."""
USERNAME = "oauth2"
"""What stands where a user's name is wanted and the token alone counts; GitHub and GitLab take it."""
_COUNTS_DIFFER_SECONDS = 2.0
"""By so much what is left may differ from the written end with no clock set: the way here takes time."""
_EXEC_INFO = "KUBERNETES_EXEC_INFO"
_EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
"""Both have the same members; the cluster's client says which one it reads."""
_NETRC_WORD = re.compile(r"[!-~]+")
_NETRC_QUOTING = frozenset("\"'\\#")
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}")


@dataclass(frozen=True, slots=True)
class Taker:
    """What is known of who takes the token.

    Args:
        environ: the environment that we were called in.
        now: Unix seconds.
        host: for ``netrc``; None = the API's own.
        username: for ``netrc``; None = ``USERNAME``.
    """

    environ: Mapping[str, str]
    now: float
    host: str | None = None
    username: str | None = None


def lines_of(shape: str, token: Token, taker: Taker) -> list[str]:
    """The lines to be printed.

    Args:
        shape: one of those that ``tokenward.cli.token`` does not print itself.
        token: the token.
        taker: who takes it.

    Raises:
        TokenwardError: if the token cannot be written in this shape.
    """
    output.refuse_control_characters((token.token, token.base_url or "", *token.headers.values()))
    return _SHAPES[shape](token, taker)


def _header(token: Token, _: Taker) -> list[str]:
    return [f"{name}: {value}" for name, value in token.headers.items()]


def _environment(token: Token, taker: Taker) -> list[str]:
    settings = variables_for(token, taker.environ).settings
    if token.provider == ANTHROPIC:
        # One line for the token, as ever: whoever wants all that a program may read takes `tokenward env`.
        wanted = {ANTHROPIC_VARIABLES[token.kind], "ANTHROPIC_BASE_URL"}
        settings = {name: value for name, value in settings.items() if name in wanted}
    return [f"export {name}={shlex.quote(value)}" for name, value in settings.items()]


def _curl(token: Token, taker: Taker) -> list[str]:
    """Lines of a ``curl --config`` file, whose quotes know a backslash before a quote and before itself."""
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"') for line in _header(token, taker))
    return [f'header = "{line}"' for line in escaped]


def _netrc(token: Token, taker: Taker) -> list[str]:
    host = taker.host or urlsplit(token.base_url or "").hostname
    if host is None or not _HOST.fullmatch(host):
        raise ConfigurationFault(
            f"the host that {token.profile} is for is not known"
            if host is None
            else "--host is not a host's name",
            hint="name it: --host git.example.com",
        )
    username = taker.username or USERNAME
    for word in (username, token.token):
        if not _NETRC_WORD.fullmatch(word) or _NETRC_QUOTING & set(word):
            raise AskDifferently(
                "a netrc line cannot hold it: a space, a quote, a backslash or a # is in the token or the name",
                hint="take another format: tokenward token --help",
            )
    return [f"machine {host} login {username} password {token.token}"]


def _exec_credential(token: Token, taker: Taker) -> list[str]:
    """A Kubernetes ``ExecCredential`` in the version that ``KUBERNETES_EXEC_INFO`` asks for."""
    status = {"token": token.token}
    if (end := _end(token, taker.now)) is not None:
        status["expirationTimestamp"] = end
    document = {"apiVersion": _exec_version(taker.environ), "kind": "ExecCredential", "status": status}
    return [_compact(document)]


def _exec_version(environ: Mapping[str, str]) -> str:
    asked = environ.get(_EXEC_INFO)
    if not asked:
        return _EXEC_VERSIONS[0]
    try:
        version = json.loads(asked)["apiVersion"]
    except (ValueError, KeyError, TypeError, RecursionError):
        version = None
    if version not in _EXEC_VERSIONS:
        raise ConfigurationFault(
            f"{_EXEC_INFO} asks for a version of ExecCredential that is not known here",
            hint=f"write apiVersion: {_EXEC_VERSIONS[0]} into the user's exec entry of the kubeconfig",
        )
    return str(version)


def _aws(token: Token, taker: Taker) -> list[str]:
    """What the AWS SDKs' ``credential_process`` reads, version 1."""
    held = access_key.members(token.token)
    if held is None:
        raise AskDifferently(
            f"{token.profile} is one token ({token.kind}), and AWS wants an access key's id with its secret",
            hint="have a [sources.command] print AccessKeyId and SecretAccessKey as JSON; see docs/formats.md",
        )
    document: dict[str, Any] = {"Version": 1, **held}
    if (end := _end(token, taker.now)) is not None:
        document["Expiration"] = end
    return [_compact(document)]


def _end(token: Token, now: float) -> str | None:
    """When the token ends, in RFC 3339; None = unknown.

    Raises:
        RefreshFailed: if it ends within this second: the taker would read that it had ended.
    """
    if token.expires_at_ms is None:
        return None
    end = token.expires_at_ms / 1000
    if token.valid_for is not None and now + token.valid_for < end - _COUNTS_DIFFER_SECONDS:
        # A clock that was set back makes the written end later than what is left (the daemon counts both).
        end = now + token.valid_for
    if int(end) <= now:
        raise RefreshFailed(
            f"the token of {token.profile} ends this second", hint="ask again; see: tokenward status"
        )
    return datetime.fromtimestamp(int(end), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _compact(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"))


_SHAPES: Mapping[str, Callable[[Token, Taker], list[str]]] = {
    "header": _header,
    "env": _environment,
    "curl": _curl,
    "netrc": _netrc,
    "exec-credential": _exec_credential,
    "aws-credential-process": _aws,
}
