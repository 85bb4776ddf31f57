"""NeuroLink's login file, ``~/.neurolink/anthropic-credentials.json`` (reference/formats.md 2.4.1).

The problem: whoever logged in with NeuroLink has a login that works, and should not have to make another one.
So its file is kept like Claude Code's, where the configuration says so: watched, and refreshed by us if that
was consented to.

Rules: NeuroLink has no locks. Its API keys stand in the same file under another ``type`` and are served as they
are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenward.core.credential import Credential, Kind, Secret, to_unix_milliseconds
from tokenward.core.reading import Absent, Blanked, Found, Reading, Unreadable
from tokenward.ports import Clock
from tokenward.sources.login_file import LoginFile, moment_or_none, text_or_none

DEFAULT_PATH = Path(".neurolink") / "anthropic-credentials.json"
"""Below the home directory."""


class NeuroLinkLayout:
    """Where in NeuroLink's document the login stands."""

    def read(self, document: dict[str, Any]) -> Reading:
        """Say what the document means."""
        if document.get("type") == "api-key":
            key = text_or_none(document.get("apiKey"))
            return Found(Credential(Kind.API_KEY, Secret(key))) if key else Blanked(login_ended=False)
        login = document.get("oauth")
        if login is None:
            return Absent()
        if not isinstance(login, dict):
            return Unreadable("oauth is not an object")
        access, refresh = login.get("accessToken"), login.get("refreshToken") or None
        if not access:
            return Blanked(login_ended=False)
        if not isinstance(access, str) or not isinstance(refresh, str | None):
            return Unreadable("oauth has tokens that are not strings")
        return Found(
            Credential(
                kind=Kind.OAUTH if refresh else Kind.SETUP_TOKEN,
                access=Secret(access),
                refresh=Secret(refresh) if refresh else None,
                expires_at=moment_or_none(login.get("expiresAt")),
                scopes=tuple((text_or_none(login.get("scope")) or "").split()),
                token_type=text_or_none(login.get("tokenType")) or "Bearer",
                subscription=text_or_none(document.get("subscriptionTier")),
            )
        )

    def updated(self, document: dict[str, Any], credential: Credential) -> dict[str, Any]:
        """The document with the login's new values and everything else as it was."""
        login = dict(document["oauth"])
        login["accessToken"] = credential.access.reveal()
        login["refreshToken"] = credential.refresh.reveal() if credential.refresh else None
        login["expiresAt"] = to_unix_milliseconds(credential.expires_at) if credential.expires_at else 0
        return {**document, "oauth": login}


class NeuroLinkFile(LoginFile):
    """NeuroLink's login as a place (``ports.Place``).

    Args:
        path: the file.
        clock: the machine's clocks.
    """

    def __init__(self, path: Path, *, clock: Clock) -> None:
        super().__init__(path, NeuroLinkLayout(), name="neurolink", clock=clock)
