"""Claude Code's file as tests of the daemon need it: written as Claude Code writes it, without Claude Code."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from e2e.claude_code import SIBLINGS
from tokenward.sandbox import Issued

ODDITIES = {
    "subscriptionType": "max",
    "rateLimitTier": "default_claude_max_5x",
    "notYetInvented": {"kept": [1, None]},
}
"""Members of the login itself that a writer of the file has to keep."""


class StoredLogin:
    """The login that Claude Code keeps in a home directory.

    Args:
        home: the user's home directory.
    """

    def __init__(self, home: Path) -> None:
        self.path = home / ".claude" / ".credentials.json"

    def write(self, login: Issued, *, left: float | None = None) -> None:
        """Replace the file by a rename, mode 0600, with the directory made if it is not there.

        Args:
            login: what the sandbox issued.
            left: seconds of life that the file gives the access token; None for the truth.
        """
        expires_at = login.expires_at if left is None else time.time() + left
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        self.replace(
            {
                "claudeAiOauth": {
                    "accessToken": login.access_token,
                    "refreshToken": login.refresh_token or None,
                    "expiresAt": int(expires_at * 1000),
                    "scopes": login.scope.split(),
                    **ODDITIES,
                },
                **SIBLINGS,
            }
        )

    def replace(self, document: dict[str, Any]) -> None:
        """Replace the file by one that holds this document."""
        temporary = self.path.with_name(".credentials.json.tmp.0badcafe")
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(document))
        temporary.rename(self.path)

    def document(self) -> dict[str, Any]:
        """The whole file."""
        content: dict[str, Any] = json.loads(self.path.read_text())
        return content

    def members(self) -> dict[str, Any]:
        """`claudeAiOauth` of the file."""
        members: dict[str, Any] = self.document()["claudeAiOauth"]
        return members

    @property
    def access(self) -> str:
        """The access token in the file."""
        return str(self.members()["accessToken"])

    def age(self, left: float) -> None:
        """Let time pass: the same tokens, with so many seconds left."""
        document = self.document()
        document["claudeAiOauth"]["expiresAt"] = int((time.time() + left) * 1000)
        self.replace(document)


def given(login: Issued) -> dict[str, Any]:
    """A login as `profile.add` takes it; it does not say what life was granted, so the full margin counts."""
    return {
        "access_token": login.access_token,
        "refresh_token": login.refresh_token,
        "expires_at_ms": int(login.expires_at * 1000),
        "scope": login.scope,
    }
