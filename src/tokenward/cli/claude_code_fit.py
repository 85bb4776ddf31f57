"""Which way into Claude Code fits which kind of credential, and what competes with it there.

The problem: Claude Code fills ``Authorization`` and ``x-api-key`` independently (reference/claude_code.md
1.2). A login's token in the wrong one is refused by the API, and a forgotten variable sends another credential
beside ours.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenward import claude_settings, paths
from tokenward.claude_settings import SettingsFile
from tokenward.errors import ConfigurationFault, PersonNeeded, ProfileUnavailable
from tokenward.helper_ask import USABLE_KINDS, any_kind_works

if TYPE_CHECKING:
    from tokenward.cli.service_access import Call

PROFILE_KINDS = ("oauth", "setup_token", "federated")
BASE_URL, KEY, TOKEN, OAUTH = (
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
)
_BESIDE_THE_HELPER = {
    KEY: "Claude Code sends it as x-api-key, and the helper's key only as bearer",
    TOKEN: "Claude Code sends it as bearer, and the helper's key only as x-api-key",
}


def settings_in_force() -> list[SettingsFile]:
    """The settings that count in this directory, the strongest first; what cannot be read is left out."""
    found = []
    for path in _settings_files():
        try:
            settings = claude_settings.read(path)
        except ConfigurationFault:
            continue
        if settings.data is not None:
            found.append(settings)
    return found


def _settings_files() -> list[Path]:
    of_user = paths.resolve(os.environ, uid=os.getuid(), platform=sys.platform).claude_config
    of_project = [Path.cwd() / name for name in claude_settings.PROJECT_FILES]
    return list(dict.fromkeys([*of_project, of_user / claude_settings.USER_FILE]))


def variable(name: str, settings: Sequence[SettingsFile]) -> tuple[str, str] | None:
    """A variable as Claude Code sees it, and where it is set; settings count more than the environment."""
    for each in settings:
        if each.env.get(name, "").strip():
            return each.env[name], f"env in {each.path}"
    value = os.environ.get(name, "")
    return (value, "in the environment") if value.strip() else None


def listed(call: Call, profile: str | None) -> list[Mapping[str, Any]]:
    """The profiles that are meant: the named one, or all of Anthropic's that hold something.

    Raises:
        ProfileUnavailable: if there is none of that name.
    """
    provider = profile.partition(":")[0] if profile else "anthropic"
    found = [
        each
        for each in call("profile.list", {"provider": provider})["profiles"]
        if each["kind"] is not None and profile in {None, each["profile"]}
    ]
    if profile is not None and not found:
        raise ProfileUnavailable(f"{profile} holds no credential", hint="see: tokenward profiles list")
    return found


def require_helper_kind(profiles: Sequence[Mapping[str, Any]], settings: Sequence[SettingsFile]) -> None:
    """Refuse where there are credentials, and none that works as a helper's value.

    Raises:
        PersonNeeded: if so; with the way that works.
    """
    address = variable(BASE_URL, settings)
    if address is not None and any_kind_works({BASE_URL.encode(): os.fsencode(address[0])}):
        return
    if profiles and not any(each["kind"] in USABLE_KINDS for each in profiles):
        raise PersonNeeded(
            f"{_named(profiles)}, which Anthropic's API refuses from a helper: it goes out as an API key",
            hint="give it to Claude Code as a profile: tokenward claude-code install --via profile",
        )


def are_for_a_gateway(call: Call, profiles: Sequence[Mapping[str, Any]]) -> bool:
    """Whether Anthropic's API knows none of them: only gateways take the kind, or the configuration names one."""
    if {each["kind"] for each in profiles} == {"auth_token"}:
        return True
    address = call("provider.get", {"provider": profiles[0]["provider"]})["base_url"]
    return address is not None and any_kind_works({BASE_URL.encode(): os.fsencode(address)})


def chosen_for_profile(profiles: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The one profile to publish.

    Raises:
        PersonNeeded: if none is of a kind that a profile is for.
        ConfigurationFault: if there are several, and nobody said which.
    """
    fitting = [each for each in profiles if each["kind"] in PROFILE_KINDS and each["provider"] == "anthropic"]
    if not fitting and profiles:
        raise PersonNeeded(
            f"{_named(profiles)}, and a profile's token goes out as a login of Anthropic's",
            hint="give it to Claude Code through the helper: tokenward claude-code install --via helper",
        )
    if not fitting:
        raise PersonNeeded("there is no login to publish", hint="make one: tokenward login anthropic")
    if len(fitting) > 1:
        names = ", ".join(str(each["profile"]) for each in fitting)
        raise ConfigurationFault(f"there are several logins: {names}", hint="say which: --profile PROFILE")
    return fitting[0]


def beside_the_helper(scope_file: Path, settings: Sequence[SettingsFile]) -> Iterator[str]:
    """What competes with a helper in this settings file, one line each."""
    for name, effect in _BESIDE_THE_HELPER.items():
        if (found := variable(name, settings)) is not None:
            yield f"{name} is set ({found[1]}): {effect}; unset it"
    files = _settings_files()
    stronger = files[: files.index(scope_file)]
    for each in settings:
        if each.path in stronger and each.helper is not None:
            yield f"in this directory the {claude_settings.HELPER} of {each.path} counts, and not this one"


def before_the_profile(settings: Sequence[SettingsFile]) -> Iterator[str]:
    """What Claude Code prefers to a profile, one line each."""
    for name in (TOKEN, KEY, OAUTH):
        if (found := variable(name, settings)) is not None:
            yield f"{name} is set ({found[1]}), and Claude Code prefers it to a profile; unset it"
    for each in settings:
        if each.helper is not None:
            yield f"Claude Code prefers the {claude_settings.HELPER} of {each.path} to a profile; remove it"


def _named(profiles: Sequence[Mapping[str, Any]]) -> str:
    return "there is only " + ", ".join(f"{each['profile']} ({each['kind']})" for each in profiles)
