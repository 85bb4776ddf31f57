"""What each type of event says, for those who subscribe; the reference is made from it.

Rule: every type of ``service.Event`` stands here and no other; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

EVENT_MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "appeared": "A profile is kept from now on: it was added, found, or came back.",
        "rotated": "There is a new token, and it is durable in its place.",
        "refresh_failed": "A refresh failed in a way that may pass; it is tried again. `detail` says why.",
        "cooling": "Programs reported that it does not work just now: it rests, and others of its provider serve.",
        "recovered": "What made it rest is over: it serves again.",
        "sink_failed": "A published file could not be written, or its command failed; `detail` says why.",
        "login_required": "The refresh token is dead, or the API refused the credential: a person must log in.",
        "unsaved": "A new token is served, and sealed, but its place cannot be written now.",
        "saved": "What was unsaved is in its place now.",
        "logged_out": "The owner of the place logged out: the profile has no credential any more.",
        "forgotten": "A person had tokenward forget the profile.",
        "usage_warning": "Little is left of a limit that the provider reported; once in a window.",
        "clock_stepped": "The machine slept, or its clock was set: every profile is looked at anew.",
        "reloaded": "The configuration was read again, and is in force.",
        "shared_store_away": "The shared store does not answer: what is valid is served, nothing is refreshed.",
        "shared_store_back": "The shared store answers again.",
        "orphaned": "A new token came after another host had replaced the old one; it is kept beside the records.",
        "stopping": "The daemon ends; nothing follows.",
        "lost": "You read too slowly and missed events: ask for the status, and subscribe again.",
    }
)
