"""Which adapters stand behind the ports: the second half of the composition root, beside ``daemon.app``.

The problem: what is to be kept follows from the configuration, the environment, the store and the programs
that are installed. Here these become a list of ``Kept``, and nowhere else does the daemon know an adapter.

Rules:
- Nothing here is watched, refreshed or served; that is the keepers'.
- A provider whose issuer has not answered yet is kept without a refresher, and says so; ``discover`` tries on.
- Claude Code's login is refreshed by its setting alone: ``auto`` delegates where Claude Code is installed, and
  otherwise only watches. Spending its refresh token ourselves is a consent that somebody wrote down.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from anyio import CapacityLimiter

from tokenward.config import Settings
from tokenward.core.credential import Profile, Secret, agent_and_id
from tokenward.core.federation import Federation
from tokenward.core.grants import RefreshOutcome
from tokenward.daemon.adopted import AdoptedFiles, Adoption
from tokenward.daemon.change_command import run_change_command
from tokenward.daemon.default_model import default_models
from tokenward.daemon.endpoint_gate import EndpointGate
from tokenward.daemon.gathering import Gathering, one_of_each, with_tier
from tokenward.daemon.household import STORE, Kept
from tokenward.daemon.intake import ADOPTED
from tokenward.daemon.minting import FEDERATION, MintedPlace, MintRefresher
from tokenward.daemon.notices import PASSED_ON, PATIENCE_SECONDS
from tokenward.daemon.outlets import outlet_of
from tokenward.daemon.publishing import Outlet
from tokenward.daemon.refresher import DelegateRefresher, DirectRefresher, Refresher
from tokenward.daemon.transaction import Transaction
from tokenward.http import HttpClient
from tokenward.oauth.authorization_server import HttpAuthorizationServer
from tokenward.oauth.client_key import client_key_of
from tokenward.oauth.federation import GivenIdentity, IdentityCommand, IdentityFile
from tokenward.oauth.metadata import MetadataCache, Undiscovered, token_endpoint_for
from tokenward.oauth.token_endpoint import HttpTokenEndpoint
from tokenward.paths import Paths
from tokenward.ports import Clock, CredentialStore, Entropy, IdentitySource, LoginServer, Place, Processes, Sealer
from tokenward.provider_files import (
    CLAUDE_CODE_PROVIDER,
    Provider,
    claude_code_registration,
    federation_for,
    is_built_in,
    provider_named,
)
from tokenward.settings import EventSettings, StoreSettings
from tokenward.sinks.publication_record import PublicationRecord
from tokenward.sources import environment
from tokenward.sources.claude_code import ClaudeCodeFile
from tokenward.sources.claude_code_command import ClaudeCodeCommand, clean_environment
from tokenward.sources.fixed import FixedCredential
from tokenward.sources.foreign.places import Workshop, place_of
from tokenward.sources.keychain import SECURITY, KeychainLogin, KeychainOrFile, claude_code_item
from tokenward.sources.neurolink import DEFAULT_PATH as NEUROLINK_PATH
from tokenward.sources.neurolink import NeuroLinkFile
from tokenward.stores.custody import KeyCustody
from tokenward.stores.key_files import FileKeyPlace, PassphraseKeyPlace
from tokenward.stores.keyring_key import KeyringKeyPlace
from tokenward.stores.passphrase import PassphraseSource
from tokenward.stores.systemd_key import SystemdKeyPlace

RECORDS_NAME = "credentials"
"""The directory of our own records, in the state directory."""
CLAUDE_PROFILE = "anthropic:claude-cli"
CLAUDE_CODE = "claude-code"
NEUROLINK_PROFILE = "anthropic:neurolink"
CONSENT = 'to let tokenward refresh it, set refresh = "direct" under [sources.claude-code] (read the README first)'

ClaudeMode = Literal["delegate", "direct", "watch"]


@dataclass(slots=True)
class Equipment:
    """What every refresher is made of.

    Args:
        paths: the user's places.
        environ: the environment of the daemon.
        clock: the machine's clocks.
        entropy: the machine's randomness.
        http: the one HTTP client.
        sealer: seals what goes into family files.
        processes: other programs.
        flights: the worker threads of flights.
        store: our own place.
        adopted: the foreign files that a person told us to keep.
        record: which files we published.
        platform: ``sys.platform``, by which Claude Code chooses where its login lies.
        security: the program that reads the Keychain of macOS.
    """

    paths: Paths
    environ: Mapping[str, str]
    clock: Clock
    entropy: Entropy
    http: HttpClient
    sealer: Sealer
    processes: Processes
    flights: CapacityLimiter
    store: CredentialStore
    adopted: AdoptedFiles
    record: PublicationRecord
    gates: dict[str, EndpointGate] = field(default_factory=dict)
    wait: Callable[[float], None] = time.sleep
    platform: str = sys.platform
    security: str = SECURITY

    def gate(self, url: str) -> EndpointGate:
        """The one gate before a token endpoint."""
        return self.gates.setdefault(url, EndpointGate(self.clock, self.entropy))


ASKPASS_NEEDS = (
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "DBUS_SESSION_BUS_ADDRESS",
    "GNUPGHOME",
)
"""Variables without which a program can neither ask a person nor open a password store."""


def key_custody(state: Path, environ: Mapping[str, str], said: StoreSettings, entropy: Entropy) -> KeyCustody:
    """Our own store's key, wherever it lies.

    Args:
        state: the state directory.
        environ: the environment of the daemon.
        said: what the configuration says of the store.
        entropy: where keys and nonces come from.
    """
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    passphrase = PassphraseSource(credentials, said.askpass, clean_environment(environ, ASKPASS_NEEDS))
    places = (
        FileKeyPlace(state, entropy),
        KeyringKeyPlace(entropy),
        SystemdKeyPlace(credentials),
        PassphraseKeyPlace(state, entropy, passphrase),
    )
    return KeyCustody(
        state, state / RECORDS_NAME, {place.name: place for place in places}, entropy, wanted=said.key
    )


def _unset(_: Secret) -> RefreshOutcome:
    raise AssertionError("a transaction's post is set by its refresher")


async def tell_person(
    argv: Sequence[str], told: Mapping[str, str], *, said: EventSettings, environ: Mapping[str, str]
) -> str | None:
    """Run the program that tells a person, and kill it when its time is over; see ``notices.Run``.

    Args:
        argv: the program and its arguments.
        told: the variables that say what happened.
        said: which variables are passed on.
        environ: the environment of the daemon.

    Returns:
        Why it failed, in words; None if it did not.
    """
    around = clean_environment(environ, (*PASSED_ON, *said.env))
    return await run_change_command(argv, {**around, **told}, patience=PATIENCE_SECONDS)


class Composition:
    """The profiles that one configuration makes.

    Args:
        settings: the configuration.
        equipment: what refreshers are made of.
        metadata: what issuers said.
    """

    def __init__(self, settings: Settings, equipment: Equipment, metadata: MetadataCache) -> None:
        self.settings = settings
        self.providers: dict[str, Provider] = {
            name: provider_named(name, given) for name, given in settings.providers.items()
        }
        self.providers[CLAUDE_CODE_PROVIDER] = with_tier(self.provider(CLAUDE_CODE_PROVIDER), equipment.environ)
        for name, model in default_models(settings, equipment.environ, self.provider).items():
            self.providers[name] = replace(
                self.provider(name), default_model=model.model, default_model_note=model.note
            )
        self._equipment = equipment
        self._metadata = metadata
        self._endpoints: dict[str, HttpTokenEndpoint] = {}
        self._undiscovered: dict[str, str] = {}
        self._keychain: KeychainLogin | None = None

    def provider(self, name: str) -> Provider:
        """A provider in force, configured or built in."""
        if name not in self.providers:
            self.providers[name] = provider_named(name)
        return self.providers[name]

    async def discover(self, *, online: bool) -> bool:
        """Find the token endpoints of all providers that refresh.

        Args:
            online: whether issuers may be asked; else only endpoints that are configured are taken.

        Returns:
            Whether none is missing now.
        """
        for name in tuple(self.providers):
            registration = self.provider(name).registration
            if not registration.refreshes or name in self._endpoints:
                continue
            if registration.token_endpoint is None and not online:
                self._undiscovered[name] = f"{registration.issuer} has not been asked for its endpoints yet"
                continue
            found = await token_endpoint_for(
                registration,
                metadata=self._metadata,
                http_client=self._equipment.http,
                clock=self._equipment.clock,
                refresh_timeout=self.settings.default.refresh_timeout,
            )
            if isinstance(found, Undiscovered):
                self._undiscovered[name] = found.reason
            else:
                self._endpoints[name] = found
                self._undiscovered.pop(name, None)
        return not self._undiscovered

    def all_kept(self) -> list[Kept]:
        """Every profile that is to be kept."""
        kept = [self.stored(profile) for profile in self._equipment.store.profiles()]
        if self.settings.sources.claude_code.enabled:
            kept.append(self._claude_code())
        if self.settings.sources.neurolink.enabled:
            kept.append(self._neurolink())
        kept.extend(self.adopted(each) for each in self._equipment.adopted.all())
        gathering = Gathering(self.settings, self._equipment, self.provider, self._direct)
        kept.extend(gathering.all_kept())
        for name, provider in self.providers.items():
            if provider.credential is not None:
                place = FixedCredential(provider.credential, name="config", description=f"providers.{name}")
                kept.append(_fixed(f"{name}:config", name, place))
        return one_of_each(kept + self._federated())

    def outlets(self) -> list[Outlet]:
        """Every sink of the configuration."""
        equipment = self._equipment
        return [
            outlet_of(name, said, equipment.environ, equipment.record)
            for name, said in self.settings.sinks.items()
        ]

    def unusual_base_url(self, profile: Profile) -> str | None:
        """The API's root for a profile, where it is not the one that its provider is known by."""
        if profile.base_url is not None:
            return profile.base_url
        provider = self.provider(profile.provider)
        is_unusual = provider.api.base_url_overridden or not is_built_in(profile.provider)
        return provider.registration.base_url if is_unusual else None

    def _federated(self) -> list[Kept]:
        """What is minted from identity tokens, as the configuration or the environment says."""
        said = self.settings.providers
        found = []
        for name in sorted({*said, CLAUDE_CODE_PROVIDER}):
            federation = federation_for(self.provider(name), said.get(name), self._equipment.environ)
            if federation is not None:
                found.append(self._minted(name, federation))
        return found

    def _minted(self, name: str, federation: Federation) -> Kept:
        equipment, registration = self._equipment, self.provider(name).registration
        profile = Profile(f"{name}:federated", name, FEDERATION)
        identity = self._identity(federation)
        place = MintedPlace(profile.id, identity, equipment.clock)
        known = self._endpoints.get(name)
        url = (
            federation.token_endpoint or registration.token_endpoint or (known.url if known is not None else None)
        )
        if url is None:
            note = self._undiscovered.get(name)
            return Kept(profile, place, None, note, (federation, registration, note))
        endpoint = HttpTokenEndpoint(
            url=url,
            client_id=registration.client_id or "",
            client_auth=registration.client_auth,
            client_secret=registration.client_secret,
            client_key=client_key_of(registration),
            body=federation.body,
            scope=federation.scope,
            dead_errors=registration.dead_errors | federation.refused_errors,
            headers=federation.headers,
            mint_parameters=federation.parameters,
            clock=equipment.clock,
            http_client=equipment.http,
            timeout=self.settings.default.refresh_timeout,
        )
        refresher = MintRefresher(place, identity, endpoint, gate=equipment.gate(url), clock=equipment.clock)
        made_of = (federation, registration, url, self.settings.default.refresh_timeout)
        return Kept(profile, place, refresher, None, made_of)

    def _identity(self, federation: Federation) -> IdentitySource:
        if federation.identity_command:
            environ = clean_environment(self._equipment.environ, federation.env)
            return IdentityCommand(
                federation.identity_command, environ=environ, timeout=federation.command_timeout
            )
        if federation.identity_token_file is not None:
            return IdentityFile(Path(federation.identity_token_file).absolute())
        return GivenIdentity(federation.identity_token or Secret(""), description="$ANTHROPIC_IDENTITY_TOKEN")

    def stored(self, key: str) -> Kept:
        """A profile of our own store, by its key."""
        agent, profile = agent_and_id(key)
        name = profile.partition(":")[0]
        place = self._equipment.store.place(key)
        endpoint = self._endpoints.get(name)
        note = self._undiscovered.get(name)
        refresher = self._direct(key, place, endpoint, name) if endpoint is not None else None
        if refresher is None and note is None and not self.provider(name).registration.refreshes:
            note = f"to have it refreshed, register its provider: [providers.{name}] in the configuration"
        made_of = (name, endpoint and endpoint.url, note)
        return Kept(Profile(profile, name, STORE, agent), place, refresher, note, made_of)

    def _direct(self, profile: str, place: Place, endpoint: HttpTokenEndpoint, provider: str) -> Refresher:
        equipment = self._equipment
        transaction = Transaction(
            profile=profile,
            place=place,
            token_endpoint=endpoint.url,
            reuse_grace=self.provider(provider).registration.reuse_grace,
            families=equipment.paths.families,
            sealer=equipment.sealer,
            clock=equipment.clock,
            wait=equipment.wait,
            post=_unset,
        )
        return DirectRefresher(transaction, endpoint, equipment.gate(endpoint.url), equipment.flights)

    def login_server(self, name: str) -> LoginServer:
        """Where a person logs in, under the client_id of the configuration."""
        provider, equipment = self.provider(name), self._equipment
        return HttpAuthorizationServer(
            registration=provider.registration,
            rules=provider.login,
            headers=provider.headers,
            metadata=self._metadata,
            http_client=equipment.http,
            clock=equipment.clock,
            entropy=equipment.entropy,
        )

    def _claude_code(self) -> Kept:
        said, equipment = self.settings.sources.claude_code, self._equipment
        place = self._claude_place()
        place.tidy()
        command = shutil.which(said.command, path=equipment.environ.get("PATH", os.defpath))
        mode, note = _claude_mode(said.refresh, command)
        registration = claude_code_registration(self.provider(CLAUDE_CODE_PROVIDER))
        refresher: Refresher | None = None
        if mode == "direct":
            refresher = self._direct(CLAUDE_PROFILE, place, self._claude_endpoint(), CLAUDE_CODE_PROVIDER)
        elif mode == "delegate" and command is not None:
            environ = clean_environment(equipment.environ, said.env)
            refresher = DelegateRefresher(
                ClaudeCodeCommand(str(Path(command).absolute()), environ=environ, processes=equipment.processes),
                place,
                token_endpoint=registration.token_endpoint or "",
                families=equipment.paths.families,
                clock=equipment.clock,
                limiter=equipment.flights,
            )
        profile = Profile(CLAUDE_PROFILE, CLAUDE_CODE_PROVIDER, CLAUDE_CODE)
        return Kept(profile, place, refresher, note, (said, command, registration.token_endpoint))

    def _claude_place(self) -> ClaudeCodeFile | KeychainOrFile:
        """Where Claude Code keeps its login on this platform; a configured path means that file alone."""
        said, equipment = self.settings.sources.claude_code, self._equipment
        file = ClaudeCodeFile(
            said.path or equipment.paths.claude_credentials,
            clock=equipment.clock,
            wait=equipment.wait,
            entropy=equipment.entropy.fraction,
        )
        if equipment.platform != "darwin" or said.path is not None:
            return file
        self._keychain = KeychainLogin(
            claude_code_item(equipment.environ),
            environ=clean_environment(equipment.environ),
            clock=equipment.clock,
            security=equipment.security,
        )
        return KeychainOrFile(self._keychain, file)

    def _neurolink(self) -> Kept:
        """NeuroLink's login, which was made under Claude Code's client_id and is refreshed under it."""
        said, equipment = self.settings.sources.neurolink, self._equipment
        place = NeuroLinkFile(said.path or equipment.paths.home / NEUROLINK_PATH, clock=equipment.clock)
        place.tidy()
        refresher = None
        if said.refresh == "direct":
            refresher = self._direct(NEUROLINK_PROFILE, place, self._claude_endpoint(), CLAUDE_CODE_PROVIDER)
        profile = Profile(NEUROLINK_PROFILE, CLAUDE_CODE_PROVIDER, place.name)
        endpoint = self.provider(CLAUDE_CODE_PROVIDER).registration.token_endpoint
        return Kept(profile, place, refresher, None, (said, endpoint))

    def adopted(self, adoption: Adoption) -> Kept:
        """A foreign file that a person told us to keep; Claude logins are refreshed as Claude Code's own is.

        Raises:
            ConfigurationFault: if there is no such layout.
        """
        equipment, name = self._equipment, adoption.profile.partition(":")[0]
        workshop = Workshop(equipment.clock, equipment.wait, equipment.entropy.fraction)
        place = place_of(adoption.layout, Path(adoption.path), adoption.entry, workshop)
        place.tidy()
        endpoint = self._claude_endpoint() if name == CLAUDE_CODE_PROVIDER else self._endpoints.get(name)
        refresher: Refresher | None = None
        note: str | None = "it is only watched; adopt it again with --refresh direct to have it refreshed"
        if adoption.refresh == "direct" and endpoint is not None:
            refresher, note = self._direct(adoption.profile, place, endpoint, name), None
        elif adoption.refresh == "direct":
            note = f"to have it refreshed, register its provider: [providers.{name}] in the configuration"
        profile = Profile(adoption.profile, name, ADOPTED)
        return Kept(profile, place, refresher, note, (adoption, endpoint and endpoint.url))

    def _claude_endpoint(self) -> HttpTokenEndpoint:
        """Where Claude Code's own login is refreshed, under its own client_id; never discovered."""
        registration = claude_code_registration(self.provider(CLAUDE_CODE_PROVIDER))
        return HttpTokenEndpoint(
            url=registration.token_endpoint or "",
            client_id=registration.client_id or "",
            body=registration.body,
            dead_errors=registration.dead_errors,
            clock=self._equipment.clock,
            http_client=self._equipment.http,
            timeout=self.settings.default.refresh_timeout,
        )

    def looked_at(self) -> list[str]:
        """Where credentials were looked for, found or not (P31)."""
        claude, environ = self.settings.sources.claude_code, self._equipment.environ
        path = claude.path or self._equipment.paths.claude_credentials
        item = self._keychain
        places = [
            *([] if item is None else [(f"Claude Code's login, {item.description}", item.is_there)]),
            (f"Claude Code's login {path}", claude.enabled and path.exists()),
            *(
                (" or ".join(f"${name}" for name in slot.variables), bool(environment.variable_set(slot, environ)))
                for slot in environment.SLOTS
            ),
            ("the configuration", any(provider.credential for provider in self.providers.values())),
            ("tokenward's own store", bool(self._equipment.store.profiles())),
        ]
        return [f"{name}: {'found' if found else 'not found'}" for name, found in places]


def _fixed(profile: str, provider: str, place: FixedCredential) -> Kept:
    return Kept(Profile(profile, provider, place.name), place, None, None, (place.signature(),))


def _claude_mode(setting: str, command: str | None) -> tuple[ClaudeMode, str | None]:
    """What ``auto`` comes to, and what a person should know about it."""
    match setting, command:
        case "direct", _:
            return "direct", None
        case "watch", _:
            return "watch", None
        case "delegate", None:
            return "watch", 'refresh = "delegate" needs Claude Code, and no claude command was found'
        case _, None:
            return "watch", f"no claude command was found, so this login is only watched; {CONSENT}"
        case _:
            return "delegate", None
