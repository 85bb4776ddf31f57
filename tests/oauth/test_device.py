"""A device asks as seldom as the server wants, and no more seldom than it must."""

from __future__ import annotations

from functools import partial

from fakes.machine import FakeClock
from tokenward.core.login import LoginRules, NotOurs, Refused
from tokenward.core.login_answers import LoggedIn, Wait
from tokenward.core.provider import ProviderRegistration
from tokenward.http import HttpClient
from tokenward.oauth.device import DeviceLogin, start_device_login
from tokenward.oauth.login import Server
from tokenward.sandbox import DEVICE_LIFE_SECONDS, Fault, Sandbox


async def begun(sandbox: Sandbox, client: HttpClient, clock: FakeClock) -> DeviceLogin:
    """A login under way."""
    registration = ProviderRegistration(
        "acme",
        token_endpoint=sandbox.token_endpoint,
        device_authorization_endpoint=sandbox.device_authorization_endpoint,
        client_id=sandbox.client_id,
        body="json",  # which is the token endpoint's alone: RFC 8628 section 3.1 knows forms only
    )
    login = await start_device_login(Server(registration, LoginRules("Acme"), client, clock), "user:profile")
    assert isinstance(login, DeviceLogin)
    return login


def unix_seconds(clock: FakeClock) -> float:
    """The server's clock is ours."""
    return clock.now.timestamp()


async def is_ready_after(login: DeviceLogin, clock: FakeClock, seconds: float) -> bool:
    """Whether the server may be asked when so many seconds have passed, and not half a second sooner."""
    clock.advance(seconds - 0.5)
    sooner = await login.ready(None, patience=0)
    clock.advance(0.5)
    return sooner is False and await login.ready(None, patience=0) is True


async def test_the_interval_is_kept_and_grows(client: HttpClient) -> None:
    """RFC 8628 section 3.5: pending keeps it, slow_down adds five seconds for good, silence doubles it."""
    clock = FakeClock()
    with Sandbox(device_interval=5, clock=partial(unix_seconds, clock)) as sandbox:
        login = await begun(sandbox, client, clock)
        assert login.expires_in == DEVICE_LIFE_SECONDS
        assert await is_ready_after(login, clock, 5)
        assert await login.redeem() == Wait(0.0)
        assert await is_ready_after(login, clock, 5)
        sandbox.faults.next("token", Fault(status=400, body={"error": "slow_down"}))
        assert await login.redeem() == Wait(5.0)
        assert await is_ready_after(login, clock, 10)
        sandbox.faults.next("token", Fault(status=503))
        assert isinstance(await login.redeem(), Wait)
        assert await is_ready_after(login, clock, 20)
        assert login.user_code is not None
        sandbox.approve_device(login.user_code, subject="me@example.com")
        outcome = await login.redeem()
        assert isinstance(outcome, LoggedIn)
        assert outcome.account == "me@example.com"


async def test_an_expired_code_is_over(client: HttpClient) -> None:
    """``expired_token`` is the server's word, and nothing that was pasted replaces it."""
    clock = FakeClock()
    with Sandbox(device_interval=5, clock=partial(unix_seconds, clock)) as sandbox:
        login = await begun(sandbox, client, clock)
        assert isinstance(await login.ready("code#state", patience=0), NotOurs)
        clock.advance(DEVICE_LIFE_SECONDS + 1)
        outcome = await login.redeem()
        assert isinstance(outcome, Refused)
        assert outcome.error == "expired_token"
