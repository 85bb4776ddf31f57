"""``source.*``: how credentials of other programs come to be kept, by a copy or in place.

The problem: a person who changes over from another program has its credentials in its files, under names that
may be taken here, some of them blanked, some of them copies of what is kept already.

Rules:
- An import copies once, and says of everything that it saw what became of it. It replaces nothing that is kept.
- An adoption is written down before the file is kept, and only of a file that holds a login now.
- Nothing foreign is written by an import or deleted by either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Protocol

from anyio import to_thread

from tokenward.core.credential import to_unix_milliseconds
from tokenward.core.imported import Gathered, Imported, Skipped
from tokenward.core.names import PROFILE_ID
from tokenward.core.reading import Found, Unreadable
from tokenward.daemon import twins
from tokenward.daemon.adopted import AdoptedFiles, Adoption
from tokenward.daemon.profile_models import ProfileResult
from tokenward.daemon.source_models import (
    AdoptedResult,
    ImportedResult,
    SkippedResult,
    SourceAdoptParams,
    SourceImportParams,
    SourceImportResult,
    SourceListResult,
    SourceResult,
)
from tokenward.errors import ConfigurationFault, InvalidParams, ProfileUnavailable, StoreUnavailable
from tokenward.provider_files import choose

if TYPE_CHECKING:
    from tokenward.daemon.household import Kept
    from tokenward.daemon.ward import Ward

LONGEST_NAME = 128
"""Characters shown of what another program calls a credential."""


class ForeignStores(Protocol):
    """The programs whose stores can be taken over; its methods block."""

    def names(self) -> Sequence[str]:
        """What can be named."""

    def present(self, name: str) -> Sequence[str]:
        """The files of one program that are there."""

    def read(self, name: str, path: str | None, agent: str) -> Gathered:
        """Read what one program keeps.

        Raises:
            ConfigurationFault: if there is nothing, or it cannot be read whole.
        """


@dataclass(frozen=True, slots=True)
class Doorway:
    """What the intake needs from the composer.

    Args:
        foreign: other programs' stores.
        adopted: what a person told us to keep in place.
        layouts: what can be.
        keep_adopted: makes a ``Kept`` of an adoption; raises ``ConfigurationFault`` if it cannot be one.
    """

    foreign: ForeignStores
    adopted: AdoptedFiles
    layouts: Sequence[str]
    keep_adopted: Callable[[Adoption], Kept]


class Intake:
    """Imports and adoptions.

    Args:
        ward: keeps what comes in.
        doorway: where it comes from.
    """

    def __init__(self, ward: Ward, doorway: Doorway) -> None:
        self._ward = ward
        self._doorway = doorway

    async def sources(self) -> SourceListResult:
        """What can be taken over, and what is adopted."""
        foreign = self._doorway.foreign

        def look() -> list[SourceResult]:
            return [SourceResult(source=name, files=list(foreign.present(name))) for name in foreign.names()]

        found = await to_thread.run_sync(look, limiter=self._ward.household.around.reading)
        adopted = [AdoptedResult(**each._asdict()) for each in self._doorway.adopted.all()]
        return SourceListResult(sources=found, layouts=list(self._doorway.layouts), adopted=adopted)

    async def take_over(self, params: SourceImportParams) -> SourceImportResult:
        """Copy what another program keeps into our own store.

        Raises:
            ConfigurationFault: if there is nothing, or it cannot be read whole.
            StoreUnavailable: if our store cannot be written; what was copied before stays.
        """
        gathered = await to_thread.run_sync(
            self._doorway.foreign.read,
            params.source,
            params.path,
            params.agent,
            limiter=self._ward.household.around.reading,
        )
        wanted, skipped = _chosen(gathered, params)
        imported: list[ImportedResult] = []
        unchanged: list[str] = []
        for entry in wanted:
            if self._is_kept(entry):
                unchanged.append(entry.profile)
                continue
            if (reason := self._refusal(entry)) is not None:
                skipped.append(SkippedResult(name=entry.profile, reason=reason))
                continue
            shown = self._shown(entry)
            if not params.dry_run:
                await self._ward.keep_credential(entry.profile, entry.credential)
            imported.append(shown)
        return SourceImportResult(
            source=params.source,
            files=list(gathered.files),
            imported=imported,
            unchanged=unchanged,
            skipped=skipped,
            dry_run=params.dry_run,
        )

    def _is_kept(self, entry: Imported) -> bool:
        known = self._ward.keepers.get(entry.profile)
        held = known.credential if known is not None else None
        return held is not None and held.generation == entry.credential.generation

    def _refusal(self, entry: Imported) -> str | None:
        """Why it is not taken, if it is not."""
        if re.fullmatch(PROFILE_ID, entry.profile) is None:
            return "its name cannot be one here: import it alone, under another with --as"
        if entry.profile not in self._ward.keepers:
            return None
        return "the name is taken by another value: forget that one first, or import this one alone with --as"

    def _shown(self, entry: Imported) -> ImportedResult:
        credential = entry.credential
        holders = twins.holding(self._ward.keepers.values(), credential.refresh)
        notes = [entry.note] if entry.note else []
        if holders:
            notes = [f"the same login is kept as {', '.join(holders)}; one refresh serves all of them"]
        return ImportedResult(
            profile=entry.profile,
            kind=credential.kind.value,
            generation=credential.generation,
            expires_at_ms=to_unix_milliseconds(credential.expires_at) if credential.expires_at else None,
            note="; ".join(notes) or None,
        )

    async def adopt(self, params: SourceAdoptParams) -> ProfileResult:
        """Keep a foreign file in place.

        Raises:
            ConfigurationFault: if there is no login in it, or no such layout.
            ProfileUnavailable: if the name is taken, or the login is kept from there already.
            StoreUnavailable: if the decision could not be written down.
        """
        profile = _own_name(params.profile)
        adoption = Adoption(
            profile=profile,
            path=str(PurePath(params.path)),
            layout=params.layout,
            entry=params.entry,
            refresh=params.refresh,
        )
        kept = self._doorway.keep_adopted(adoption)
        household = self._ward.household
        reading = await to_thread.run_sync(kept.place.read, limiter=household.around.reading)
        if not isinstance(reading, Found):
            why = reading.reason if isinstance(reading, Unreadable) else "there is no login in it"
            raise ConfigurationFault(
                f"{params.path}: {why}", hint="check --layout and --entry, or log in there first"
            )
        self._refuse_if_taken(adoption, reading.credential.generation)
        try:
            await to_thread.run_sync(self._doorway.adopted.put, adoption, limiter=household.writing)
        except OSError as error:
            raise StoreUnavailable(
                f"the adoption could not be written down: {error.strerror or error}", hint="nothing was changed"
            ) from None
        await self._ward.keep_also(kept)
        return self._ward.profile(profile)

    def _refuse_if_taken(self, adoption: Adoption, generation: str) -> None:
        known = self._ward.keepers.get(adoption.profile)
        before = self._doorway.adopted.of(adoption.profile)
        if known is not None and before is None:
            raise ProfileUnavailable(f"{adoption.profile} is taken", hint="choose another name with --as")
        for keeper in self._ward.keepers.values():
            there = keeper.credential if keeper.place.description == adoption.path else None
            if keeper is not known and there is not None and there.generation == generation:
                raise ProfileUnavailable(
                    f"{adoption.path} is kept already, as {keeper.profile.id}",
                    hint="how that one is refreshed is said in the configuration",
                )

    async def release(self, profile: str) -> bool:
        """End an adoption; the foreign file stays as it is.

        Returns:
            Whether there was one.

        Raises:
            StoreUnavailable: if that could not be written down.
        """
        if self._doorway.adopted.of(profile) is None:
            return False
        try:
            await to_thread.run_sync(self._doorway.adopted.remove, profile, limiter=self._ward.household.writing)
        except OSError as error:
            raise StoreUnavailable(
                f"{profile} could not be released: {error.strerror or error}", hint="nothing was changed"
            ) from None
        return True


def _chosen(gathered: Gathered, params: SourceImportParams) -> tuple[list[Imported], list[SkippedResult]]:
    """What was asked for of what is there, under the names it shall have here."""
    skipped = [
        SkippedResult(name=each.name[:LONGEST_NAME], reason=each.reason)
        for each in gathered.entries
        if isinstance(each, Skipped)
    ]
    found = [
        replace(each, profile=_own_name(each.profile)) for each in gathered.entries if isinstance(each, Imported)
    ]
    asked = None if params.profiles is None else {_own_name(each) for each in params.profiles}
    wanted = [each for each in found if asked is None or each.profile in asked]
    if asked is not None:
        missing = asked - {each.profile for each in found}
        skipped += [SkippedResult(name=name, reason="it is not there") for name in sorted(missing)]
        skipped += [
            SkippedResult(name=each.profile, reason="it was not asked for") for each in found if each not in wanted
        ]
    if params.rename is not None:
        if len(wanted) != 1:
            raise InvalidParams(
                f"one credential is to be renamed, and {len(wanted)} would be imported",
                hint="choose one with --profile",
            )
        wanted = [replace(wanted[0], profile=_own_name(params.rename))]
    return wanted, skipped


def _own_name(profile: str) -> str:
    """A profile's id with the provider's own name in it, where ours has aliases."""
    provider, _, name = profile.partition(":")
    return f"{choose(provider).provider}:{name}"
