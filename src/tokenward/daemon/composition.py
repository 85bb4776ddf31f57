"""What is kept, as the configuration, the environment, the store and the programs that are installed say.

The problem: what is to be kept follows from many sides, each with rules of its own. Here the sides
(``claude_logins``, ``federated``, ``gathering``, ``outlets``) become one list of ``Kept``.

Rules:
- Nothing here is watched, refreshed or served; that is the keepers'.
- A provider whose issuer has not answered yet is kept without a refresher, and says so.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tokenward.config import Settings
from tokenward.core.credential import Profile, agent_and_id
from tokenward.daemon.claude_logins import ClaudeLogins
from tokenward.daemon.equipment import Equipment
from tokenward.daemon.federated import Federated
from tokenward.daemon.gathering import Gathering, one_of_each
from tokenward.daemon.household import ADOPTED, STORE, Kept
from tokenward.daemon.providers_in_force import ProvidersInForce
from tokenward.ports import Place
from tokenward.provider_files import CLAUDE_CODE_PROVIDER
from tokenward.sources import environment
from tokenward.sources.fixed import FixedCredential

if TYPE_CHECKING:
    from tokenward.daemon.adopted import Adoption
    from tokenward.daemon.publishing import Outlet
    from tokenward.daemon.refresher import Refresher


_MadeOf = tuple[str, str, str | None, str | None, tuple[object, ...]]


class Composition:
    """The profiles that one configuration makes.

    Args:
        settings: the configuration.
        equipment: what refreshers are made of.
    """

    def __init__(self, settings: Settings, equipment: Equipment) -> None:
        self.settings = settings
        self.providers = ProvidersInForce(settings, equipment)
        self._claude_logins = ClaudeLogins(settings, equipment, self.providers)
        self._equipment = equipment
        self._alike: dict[_MadeOf, _MadeOf] = {}

    def all_kept(self) -> list[Kept]:
        """Every profile that is to be kept."""
        settings, equipment, providers = self.settings, self._equipment, self.providers
        shared = equipment.shared.profiles() if equipment.shared is not None else ()
        kept = [self.shared(profile) for profile in shared]
        kept.extend(self.stored(profile) for profile in equipment.store.profiles())
        kept.extend(self._claude_logins.all_kept())
        kept.extend(self.adopted(each) for each in equipment.adopted.all())
        kept.extend(Gathering(settings, equipment, providers.named, providers.direct_refresher).all_kept())
        for name, provider in providers.all.items():
            if provider.credential is not None:
                place = FixedCredential(provider.credential, name="config", description=f"providers.{name}")
                kept.append(_fixed(f"{name}:config", name, place))
        kept.extend(Federated(settings, equipment, providers).all_kept())
        return one_of_each(kept)

    def outlets(self) -> list[Outlet]:
        """Every sink of the configuration."""
        if not self.settings.sinks:
            return []
        from tokenward.daemon.outlets import outlet_of  # most publish no files

        equipment = self._equipment
        return [
            outlet_of(name, said, equipment.environ, equipment.record)
            for name, said in self.settings.sinks.items()
        ]

    def stored(self, key: str) -> Kept:
        """A profile of our own store, by its key."""
        return self._refreshed_by_us(key, self._equipment.store.place(key), STORE)

    def shared(self, key: str) -> Kept:
        """A profile that many hosts share, by its key; of a namesake in our own store nothing is kept."""
        from tokenward.daemon.shared_place import SHARED, SharedPlace  # most share nothing

        assert self._equipment.shared is not None  # noqa: S101 - asked of none other
        place = SharedPlace(
            key,
            self._equipment.shared,
            clock=self._equipment.clock,
            request_seconds=self.settings.default.refresh_timeout,
            reuse_grace=self.providers.named(agent_and_id(key)[1].partition(":")[0]).registration.reuse_grace,
        )
        return self._refreshed_by_us(key, place, SHARED)

    def _refreshed_by_us(self, key: str, place: Place, source: str) -> Kept:
        agent, profile = agent_and_id(key)
        name = sys.intern(profile.partition(":")[0])
        endpoint = self.providers.endpoints.get(name)
        note = self.providers.undiscovered.get(name)
        refresher = self.providers.direct_refresher(key, place, endpoint, name) if endpoint is not None else None
        if refresher is None and note is None and not self.providers.named(name).registration.refreshes:
            note = f"to have it refreshed, register its provider: [providers.{name}] in the configuration"
        terms = self.providers.refresh_terms(name)
        made_of = (source, name, endpoint.url if endpoint is not None else None, note, terms)
        made_of = self._alike.setdefault(made_of, made_of)  # one for all profiles of a provider, however many
        return Kept(Profile(profile, name, source, agent), place, refresher, made_of[3], made_of)

    def adopted(self, adoption: Adoption) -> Kept:
        """A foreign file that a person told us to keep; Claude logins are refreshed as Claude Code's own is.

        Raises:
            ConfigurationFault: if there is no such layout.
        """
        from tokenward.sources.foreign.places import Workshop, place_of  # most adopt nothing

        equipment, name = self._equipment, adoption.profile.partition(":")[0]
        workshop = Workshop(equipment.clock, equipment.wait, equipment.entropy.fraction)
        place = place_of(adoption.layout, Path(adoption.path), adoption.entry, workshop)
        place.tidy()
        endpoint = (
            self.providers.claude_code_endpoint()
            if name == CLAUDE_CODE_PROVIDER
            else self.providers.endpoints.get(name)
        )
        refresher: Refresher | None = None
        note: str | None = "it is only watched; adopt it again with --refresh direct to have it refreshed"
        if adoption.refresh == "direct" and endpoint is not None:
            refresher, note = self.providers.direct_refresher(adoption.profile, place, endpoint, name), None
        elif adoption.refresh == "direct":
            note = f"to have it refreshed, register its provider: [providers.{name}] in the configuration"
        profile = Profile(adoption.profile, name, ADOPTED)
        return Kept(
            profile,
            place,
            refresher,
            note,
            (adoption, endpoint and endpoint.url, self.providers.refresh_terms(name)),
        )

    def looked_at(self) -> list[str]:
        """Where credentials were looked for, found or not (P31)."""
        environ = self._equipment.environ
        places = [
            *self._claude_logins.looked_at(),
            *(
                (" or ".join(f"${name}" for name in slot.variables), bool(environment.variable_set(slot, environ)))
                for slot in environment.SLOTS
            ),
            ("the configuration", any(provider.credential for provider in self.providers.all.values())),
            ("tokenward's own store", bool(self._equipment.store.profiles())),
        ]
        return [f"{name}: {'found' if found else 'not found'}" for name, found in places]


def _fixed(profile: str, provider: str, place: FixedCredential) -> Kept:
    return Kept(Profile(profile, provider, place.name), place, None, None, (place.signature(),))
