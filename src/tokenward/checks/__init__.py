"""Doctor: what can be wrong around the daemon, one module a check, each looking and never touching."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tokenward.checks import (
    anthropic_profiles,
    claude_code_login,
    claude_code_version,
    clocks,
    config,
    disks,
    environment,
    file_modes,
    gateway,
    git,
    keys,
    locks,
    probe,
    profiles,
    service,
    shared_store,
    socket,
    store_key,
    symlinks,
)
from tokenward.checks.finding import CheckContext, Finding, Probed, Ran, SharedLook

__all__ = ["ALL", "CheckContext", "Finding", "Probed", "Ran", "SharedLook", "examine"]

ALL: Mapping[str, Callable[[CheckContext], list[Finding]]] = MappingProxyType(
    {
        module.NAME: module.check
        for module in (
            config,
            store_key,
            shared_store,
            socket,
            service,
            profiles,
            file_modes,
            symlinks,
            disks,
            clocks,
            locks,
            claude_code_version,
            claude_code_login,
            anthropic_profiles,
            environment,
            gateway,
            keys,
            git,
            probe,
        )
    }
)
"""Every check by its name, in the order people read them; docs/doctor.md has the same."""


def examine(context: CheckContext) -> list[Finding]:
    """Everything that all checks find. They look at disks and run commands: call it in a thread."""
    return [finding for check in ALL.values() for finding in check(context)]
