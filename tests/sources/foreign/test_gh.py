"""gh's ``hosts.yml``."""

from __future__ import annotations

import pytest

from sources.foreign.stores import imported, skipped
from tokenward.core.credential import Kind
from tokenward.errors import ConfigurationFault
from tokenward.sources.foreign import gh

TODAY = b"""\
# written by gh
github.com:
    git_protocol: https
    users:
        ada:
            oauth_token: gho_ada
        bob:
    user: ada
    oauth_token: gho_ada
ghe.example.org:
    oauth_token: "gho_enterprise"
    user: carol
"""


def test_every_account_of_every_host() -> None:
    """Each is a profile of its own; what lies in the keyring is said to."""
    entries = gh.read(gh.parse(TODAY))
    found = imported(entries)
    assert {name: each.credential.access.reveal() for name, each in found.items()} == {
        "github:ada": "gho_ada",
        "ghe-example-org:carol": "gho_enterprise",
    }
    assert found["github:ada"].credential.kind is Kind.AUTH_TOKEN
    assert "keyring" in skipped(entries)["github:bob"]


def test_a_file_of_before_accounts() -> None:
    """One token a host, with or without the user's name."""
    entries = gh.read(gh.parse(b"github.com:\n    oauth_token: gho_old\nghe.io:\n    user: ada\n"))
    assert set(imported(entries)) == {"github:default"}
    assert "keyring" in skipped(entries)["ghe-io:ada"]


@pytest.mark.parametrize(
    "data", [b"- a list", b"a: {b: c}", b"\ta: b", b"just text", b"a: *alias", b"a: |\n  text", b"\xff\x00"]
)
def test_other_yaml_is_not_taken_for_it(data: bytes) -> None:
    """What gh does not write is refused by its line, and nothing of it is shown."""
    with pytest.raises(ConfigurationFault, match="line 1"):
        gh.parse(data)
