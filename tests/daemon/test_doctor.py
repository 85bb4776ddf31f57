"""The doctor inside the daemon: what is tried with which credential, and what becomes of the checks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from daemon.served import FINDING
from daemon.warding import Warding, warding, written_down
from tokenward.core.credential import Credential, Kind
from tokenward.core.key_check import AnswerFacts, KeyCheck
from tokenward.daemon.doctor_models import DoctorProbeParams, DoctorRunParams
from tokenward.errors import ConfigurationFault
from tokenward.ports import LoginServer

KEY = "anthropic:config"


class Api:
    """An API that answers as the test says, and notes what it was shown."""

    def __init__(self) -> None:
        self.answer: KeyCheck | ConfigurationFault = KeyCheck("taken")
        self.shown: list[tuple[str, Kind, str]] = []

    def server(self, provider: str) -> LoginServer:
        """The one of a provider."""
        if isinstance(self.answer, ConfigurationFault):
            raise self.answer
        api, answer = self, self.answer

        class _Server:
            async def check_key(self, credential: Credential) -> KeyCheck:
                api.shown.append((provider, credential.kind, credential.access.reveal()))
                return answer

        return cast("LoginServer", _Server())


@pytest.fixture
def api() -> Api:
    """Takes everything."""
    return Api()


@pytest.fixture
async def home(tmp_path: Path, api: Api) -> AsyncIterator[Warding]:
    """A key of Anthropic's, and checks that find one thing."""
    async with warding(tmp_path) as household:
        household.written = [written_down("config")]
        household.ward.household.login_server = api.server
        await household.fill()
        yield household


async def test_the_probe_shows_what_a_caller_would_get(home: Warding, api: Api) -> None:
    """The very token, to the API of its provider, once; and nothing of it is in the answer."""
    found = await home.ward.doctor.probe(DoctorProbeParams())
    assert api.shown == [("anthropic", Kind.API_KEY, "config-api_key")]
    assert (found.profile, found.provider, found.verdict, found.ahead) == (KEY, "anthropic", "taken", None)
    assert "config-api_key" not in found.model_dump_json()


async def test_the_servers_clock_is_compared_with_ours(home: Warding, api: Api) -> None:
    """Ahead is positive; status and origin of the answer are passed on."""
    date = home.around.clock.wall() - timedelta(seconds=90)
    api.answer = KeyCheck("refused", "no such key", answer=AnswerFacts(401, from_api=True, date=date))
    found = await home.ward.doctor.probe(DoctorProbeParams(profile=KEY))
    assert (found.verdict, found.reason, found.status) == ("refused", "no such key", 401)
    assert (found.from_api, found.ahead) == (True, 90.0)


async def test_what_cannot_be_tried_is_an_answer(home: Warding, api: Api) -> None:
    """No such profile, or a provider whose endpoints are wrong: the cause and the hint, and nothing is sent."""
    found = await home.ward.doctor.probe(DoctorProbeParams(profile="acme:none"))
    assert (found.profile, found.provider, found.verdict) == (None, "acme", "unknown")
    assert "acme:none" in found.reason
    api.answer = ConfigurationFault("no such provider", hint="write it down")
    found = await home.ward.doctor.probe(DoctorProbeParams(profile=KEY))
    assert (found.profile, found.reason, found.hint) == (None, "no such provider", "write it down")
    assert api.shown == []


async def test_without_the_wish_nothing_is_sent(home: Warding, api: Api) -> None:
    """The checks get the profiles as ``profile.list`` has them, and the probe only where one was made."""
    heard: list[tuple[list[str], Any]] = []

    def examine(profiles: Sequence[Mapping[str, Any]], probed: Mapping[str, Any] | None) -> list[Any]:
        heard.append(([each["profile"] for each in profiles], probed and probed["verdict"]))
        return [FINDING]

    home.ward.household.examine = examine
    result = await home.ward.doctor.run(DoctorRunParams())
    assert (result.findings, api.shown) == ([FINDING], [])
    await home.ward.doctor.run(DoctorRunParams(probe=True, profile=KEY))
    assert heard == [([KEY], None), ([KEY], "taken")]
    assert len(api.shown) == 1
