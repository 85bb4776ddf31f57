"""A stand-in for ``tokenward.daemon.app``: what the command line asks of it, noted."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest

from client.fake_daemon import Json, profile
from tokenward.daemon.profile_models import ProfileAddParams, ProfileListParams, ProfileResult
from tokenward.errors import ProfileUnavailable


@dataclass
class FakeService:
    """A ``Service`` with a store of profiles."""

    held: dict[str, Json] = field(default_factory=dict)
    added: list[ProfileAddParams] = field(default_factory=list)

    async def add(self, params: ProfileAddParams) -> ProfileResult:
        """Keep one."""
        self.added.append(params)
        self.held[params.profile] = profile(params.profile, kind=params.kind)
        return self.profile(params.profile)

    async def forget(self, name: str, agent: str = "main") -> ProfileResult:
        """Drop one."""
        del agent
        return ProfileResult(**self.held.pop(name))

    async def disable(self, name: str, agent: str = "main") -> ProfileResult:
        """Let one rest."""
        self.held[name]["enabled"] = False
        return self.profile(name, agent)

    async def enable(self, name: str, agent: str = "main") -> ProfileResult:
        """Let one serve."""
        self.held[name]["enabled"] = True
        return self.profile(name, agent)

    def profile(self, name: str, agent: str = "main") -> ProfileResult:
        """Show one."""
        del agent
        if name not in self.held:
            raise ProfileUnavailable(f"there is no profile {name}", hint="see: tokenward profiles list")
        return ProfileResult(**self.held[name])

    def profiles(self, params: ProfileListParams) -> list[ProfileResult]:
        """Show all of a provider."""
        return [ProfileResult(**each) for each in self.held.values() if each["provider"] == params.provider]


def put_in_place(monkeypatch: pytest.MonkeyPatch, **functions: Any) -> None:
    """Have the command line import this module for ``tokenward.daemon.app``."""
    module = ModuleType("tokenward.daemon.app")
    for name, function in functions.items():
        setattr(module, name, function)
    monkeypatch.setitem(sys.modules, "tokenward.daemon.app", module)


def serve_in_process(monkeypatch: pytest.MonkeyPatch) -> FakeService:
    """Have commands without a daemon find this service."""
    service = FakeService()

    @asynccontextmanager
    async def in_process_service(*, config: Any, state_dir: Any) -> AsyncIterator[FakeService]:
        assert config is None
        assert state_dir is None
        yield service

    put_in_place(monkeypatch, in_process_service=in_process_service)
    return service
