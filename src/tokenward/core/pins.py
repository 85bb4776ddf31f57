"""What a session has been told to use: a person's word, or what it happened to get first.

The problem: two credentials look alike to a program, but a person who names one in the middle of a session means
that one, and a session that changes its credential at each request loses the provider's cache. And ids hold
e-mail addresses, so that an ``@`` alone says nothing about where a model's name ends.

Rules:
- A credential that a person named is hard: for that provider the session gets it or ``PinnedProfileUnavailable``,
  never another. It stays until a person resets it, also while the profile is gone: who logs in again under the
  same id has it back.
- A credential that was only served is soft: it goes first as long as it is usable. It is dropped with its
  profile, for another provider, when the explicit order changes, and when the session was compacted since.
- Sessions end without a word, so only so many are remembered. Of those over the limit the longest unused goes
  first, and whatever a person said only once nothing else is left.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from tokenward.core.selection import Selector
from tokenward.errors import InvalidParams, PinnedProfileUnavailable

LONGEST_SESSION = 256
"""Characters of a session's name."""
MOST_SESSIONS = 4096

_WITH_PROFILE = re.compile(r"(?P<model>.+?)@(?P<profile>[A-Za-z0-9][A-Za-z0-9_-]{0,63}:[A-Za-z0-9._@+-]{1,128})")
"""The first ``@`` after which a profile's id follows; one in a model's name or an e-mail address is none."""


class ChosenModel(NamedTuple):
    """What a person says that a session shall use.

    Args:
        provider: the provider's own name.
        model: the id of the model.
        profile: the id of the profile it shall be used with, known to exist; None = any.
    """

    provider: str
    model: str
    profile: str | None = None


def split_profile(text: str) -> tuple[str, str | None]:
    """Cut a reference into the model and the id of the profile behind it, if one stands there.

    Args:
        text: a reference.
    """
    match = _WITH_PROFILE.fullmatch(text)
    if match is None:
        return text, None
    owner, _, name = match["profile"].partition(":")
    return match["model"], f"{owner.lower()}:{name}"


class SessionPin(NamedTuple):
    """What one session uses.

    Args:
        provider: the provider's own name.
        model: the model that a person chose; None = nobody did.
        profile: the id of the profile; None = none yet.
        hard: whether a person named the profile.
        compactions: how often the session had been compacted when the profile was taken.
        order: a digest of the explicit order that was in force then.
    """

    provider: str
    model: str | None = None
    profile: str | None = None
    hard: bool = False
    compactions: int = 0
    order: str = ""

    @property
    def by_person(self) -> bool:
        """Whether a person said anything of it."""
        return self.model is not None

    def without_profile(self) -> SessionPin | None:
        """What is left of it without the profile that it got by itself; None = nothing."""
        return SessionPin(self.provider, self.model) if self.by_person else None


class Sessions:
    """What each session uses.

    Args:
        limit: how many sessions are remembered.
    """

    def __init__(self, limit: int = MOST_SESSIONS) -> None:
        self._limit = limit
        # Two, so that the one that goes is found at once; each with the longest unused first.
        self._chosen: dict[str, SessionPin] = {}
        self._served: dict[str, SessionPin] = {}

    def __len__(self) -> int:
        return len(self._chosen) + len(self._served)

    def __iter__(self) -> Iterator[str]:
        yield from self._served
        yield from self._chosen

    def get(self, session: str) -> SessionPin | None:
        """What a session uses; None if nothing is settled."""
        return self._chosen.get(session) or self._served.get(session)

    def pin(self, session: str, chosen: ChosenModel) -> SessionPin:
        """Take a person's word.

        Args:
            session: the session's name.
            chosen: what it shall use.

        Raises:
            InvalidParams: if it names a profile of another provider than the model's; or the session's name is
                empty or too long.
        """
        if not is_session(session):
            raise InvalidParams(f"a session's name has 1 to {LONGEST_SESSION} characters", hint="shorten it")
        if chosen.profile is not None and _owner(chosen.profile) != chosen.provider:
            raise InvalidParams(
                f"the profile {chosen.profile} is not one of {chosen.provider}",
                hint="name a profile of the model's own provider",
            )
        hard = chosen.profile is not None
        pin = SessionPin(chosen.provider, chosen.model, chosen.profile, hard)
        self._keep(session, pin)
        return pin

    def reset(self, session: str) -> bool:
        """Forget the model and the profile of a session; whether there was anything to forget."""
        known = self._chosen.pop(session, None) or self._served.pop(session, None)
        return known is not None

    def selector(self, session: str, asked: Selector, compactions: int = 0) -> Selector:
        """What a request of a session asks for.

        Args:
            session: the session's name.
            asked: what the request asks for by itself.
            compactions: how often the session has been compacted.

        Returns:
            The same, with ``profile`` set to a hard pin or ``preferred`` to a soft one.

        Raises:
            PinnedProfileUnavailable: if the request names another profile of the provider than a person did.
        """
        pin = self.get(session)
        provider = asked.provider if asked.profile is None else _owner(asked.profile)
        if pin is None or pin.profile is None or pin.provider != provider:
            return asked
        if pin.hard:
            if asked.profile not in {None, pin.profile}:
                raise PinnedProfileUnavailable(
                    f"the session is pinned to {pin.profile}, not to {asked.profile}",
                    hint="reset the session's pin, or name no profile",
                )
            return replace(asked, profile=pin.profile)
        if asked.profile is not None or compactions > pin.compactions or pin.order != _digest(asked):
            return asked
        return replace(asked, preferred=pin.profile)

    def note(self, session: str, asked: Selector, profile: str, compactions: int = 0) -> None:
        """A profile was served to a session, which stays with it; one that a person pinned is not changed.

        Args:
            session: the session's name; one that is no name is not remembered.
            asked: what the request asked for, as ``selector`` returned it or as it came.
            profile: the id of the profile.
            compactions: how often the session has been compacted.
        """
        if not is_session(session):
            return
        pin = self.get(session)
        owner = _owner(profile)
        if pin is not None and pin.by_person and (pin.hard or pin.provider != owner):
            self._keep(session, pin)  # the fallback of one request changes no choice
            return
        model = pin.model if pin is not None and pin.provider == owner else None
        taken = max(compactions, pin.compactions) if pin is not None and pin.provider == owner else compactions
        self._keep(session, SessionPin(owner, model, profile, compactions=taken, order=_digest(asked)))

    def drop_vanished(self, profiles: Collection[str]) -> None:
        """Let no session stay with a profile that is gone; what a person pinned waits for its return.

        Args:
            profiles: the ids of all profiles there are, of any agent.
        """
        for session in list(self):
            pin = self.get(session)
            if pin is None or pin.hard or pin.profile is None or pin.profile in profiles:
                continue
            left = pin.without_profile()
            if left is None:
                del self._served[session]
            else:
                self._chosen[session] = left

    @classmethod
    def from_document(cls, document: object, limit: int = MOST_SESSIONS) -> Sessions:
        """Read what was written of sessions; an entry that is none is passed over.

        Args:
            document: a list of what ``to_document`` made, each with its ``session``; or anything.
            limit: how many sessions are remembered.
        """
        sessions = cls(limit)
        for entry in document if isinstance(document, list) else []:
            if not isinstance(entry, dict):
                continue
            session, pin = entry.get("session"), _read(entry)
            if pin is not None and isinstance(session, str) and is_session(session):
                sessions._keep(session, pin)
        return sessions

    def _keep(self, session: str, pin: SessionPin) -> None:
        self.reset(session)
        (self._chosen if pin.by_person else self._served)[session] = pin
        while len(self) > self._limit:
            longest_unused = self._served or self._chosen
            del longest_unused[next(iter(longest_unused))]


def is_session(session: str) -> bool:
    """Whether a text can be a session's name."""
    return 0 < len(session) <= LONGEST_SESSION


def _owner(profile: str) -> str:
    return profile.partition(":")[0]


def _digest(asked: Selector) -> str:
    """Names an explicit order: one may be long, and only whether it changed matters."""
    order = "\n".join((*asked.order, "", *asked.inherited_order))
    return hashlib.sha256(order.encode("utf-8", "surrogatepass")).hexdigest()[:12] if order.strip() else ""


def to_document(pin: SessionPin) -> dict[str, Any]:
    """What a session uses, as JSON values."""
    return {
        "provider": pin.provider,
        "model": pin.model,
        "profile": pin.profile,
        "hard": pin.hard,
        "compactions": pin.compactions,
        "order": pin.order,
    }


def _read(entry: dict[str, Any]) -> SessionPin | None:
    """A pin, if every member is of its type and they fit together; half a pin would pin something else."""
    provider, model, profile = entry.get("provider"), entry.get("model"), entry.get("profile")
    hard, compactions, order = entry.get("hard"), entry.get("compactions"), entry.get("order")
    if not (isinstance(provider, str) and isinstance(model, str | None) and isinstance(profile, str | None)):
        return None
    if not (isinstance(hard, bool) and type(compactions) is int and isinstance(order, str)):
        return None
    if profile is not None and _owner(profile) != provider:
        return None
    if hard and (model is None or profile is None):
        return None
    return SessionPin(provider, model, profile, hard, compactions, order)
