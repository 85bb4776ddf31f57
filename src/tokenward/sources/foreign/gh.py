"""gh's ``hosts.yml``: a token a host, since 2.40 also one an account.

The problem: it is YAML, of which gh writes only mappings of texts, indented by blanks. That much is read here;
whatever is not that is not taken for it.

Rule: a token that gh keeps in the system keyring is not in the file, and is said to be there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tokenward.core.imported import Entry, Skipped
from tokenward.errors import ConfigurationFault
from tokenward.sources.foreign.reading import key, members, profile_id

_LINE = re.compile(r"(?P<indent> *)(?P<name>[A-Za-z0-9._\[\]@+-]+):(?: +(?P<value>[^\s#&*!|>{\[][^#]*?))?\s*")
_QUOTED = re.compile(r"(['\"])(?P<text>[^'\"\\]*)\1")


def parse(data: bytes) -> dict[str, Any]:
    """Read nested mappings of texts.

    Args:
        data: the file.

    Raises:
        ConfigurationFault: if it is anything else.
    """
    document: dict[str, Any] = {}
    nested = [(-1, document)]
    for number, line in enumerate(data.decode("utf-8-sig", "replace").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise ConfigurationFault(
                f"hosts.yml, line {number}, is not as gh writes it",
                hint="add the token: gh auth token | tokenward add",
            )
        indent = len(found["indent"])
        while nested[-1][0] >= indent:
            nested.pop()
        inner: dict[str, Any] = {}
        nested[-1][1][found["name"]] = inner if found["value"] is None else _text(found["value"])
        nested.append((indent, inner))
    return document


def read(document: Mapping[str, Any]) -> list[Entry]:
    """What the file holds, an account each."""
    entries: list[Entry] = []
    for host in document:
        said = members(document, host)
        by = "github" if host == "github.com" else host.replace(".", "-")
        accounts = {name: members(members(said, "users"), name) for name in members(said, "users")}
        active = said.get("user")
        if isinstance(active, str) and said.get("oauth_token"):
            accounts[active] = {**accounts.get(active, {}), "oauth_token": said["oauth_token"]}
        if not accounts and (isinstance(active, str) or said.get("oauth_token")):
            accounts["default" if not isinstance(active, str) else active] = said
        for name, account in accounts.items():
            entries.append(_entry(profile_id(by, name), account.get("oauth_token")))
    return entries


def _entry(profile: str, token: object) -> Entry:
    if not token:
        return Skipped(profile, "gh keeps it in the system keyring: gh auth token shows it")
    return key(profile, token, bearer=True)


def _text(value: str) -> str:
    quoted = _QUOTED.fullmatch(value)
    return quoted["text"] if quoted else value
