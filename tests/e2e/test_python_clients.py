"""Python programs with the real daemon, the real libraries and a Messages API: what all of it is for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import httpx2
import pytest
import requests
from anthropic import Anthropic, AsyncAnthropic

from e2e.daemon_process import DaemonProcess, direct
from e2e.stored_login import StoredLogin
from tokenward.client.aio import AsyncClient
from tokenward.client.anthropic import credentials
from tokenward.client.auth import TokenwardAuth
from tokenward.sandbox import Fault, Sandbox

REQUEST = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 8,
    "messages": [{"role": "user", "content": "ping"}],
}


@pytest.fixture
def daemon_of_a_login(own_home: Path, sandbox: Sandbox) -> DaemonProcess:
    """A daemon, not started, that may refresh Claude Code's login, and knows the sandbox as Anthropic."""
    StoredLogin(own_home).write(sandbox.issue())
    config = direct(sandbox.token_endpoint) + f'api_url = "{sandbox.base_url}"\n'
    return DaemonProcess(own_home, config=config)


def by_httpx(auth: TokenwardAuth, url: str) -> int:
    """The status of one message."""
    return httpx.post(url, json=REQUEST, auth=auth, trust_env=False).status_code


def by_httpx2(auth: TokenwardAuth, url: str) -> int:
    """The status of one message."""
    return httpx2.post(url, json=REQUEST, auth=auth, trust_env=False).status_code


def by_requests(auth: TokenwardAuth, url: str) -> int:
    """The status of one message."""
    with requests.Session() as session:
        session.trust_env = False
        return session.post(url, json=REQUEST, auth=auth, timeout=30).status_code


@pytest.mark.parametrize("post", [by_httpx, by_httpx2, by_requests])
def test_a_login_that_is_revoked_in_mid_life_costs_one_refresh_and_no_error(
    daemon_of_a_login: DaemonProcess, sandbox: Sandbox, post: Callable[[TokenwardAuth, str], int]
) -> None:
    """Eight threads are refused the same token: each gets its 200, and the server sees one refresh."""
    url = f"{sandbox.base_url}/v1/messages"
    statuses: list[int] = []
    with daemon_of_a_login as daemon:
        auth = TokenwardAuth(provider="anthropic", socket_path=daemon.socket_file)
        assert post(auth, url) == 200
        sandbox.revoke(daemon.call("token.get")["token"])
        threads = [threading.Thread(target=lambda: statuses.append(post(auth, url))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        auth.close()
        assert daemon.call("profile.list")["profiles"][0]["phase"] == "ready"
    assert statuses == [200] * 8
    assert sandbox.statistics().refreshes_granted == 1


@pytest.mark.covers("N55")
def test_anthropics_sdk_goes_on_across_a_revocation_and_a_restart(
    daemon_of_a_login: DaemonProcess, sandbox: Sandbox
) -> None:
    """The SDK streams before and after its token was revoked, while the daemon is away, and after it came back."""

    def stream(claude: Anthropic) -> str:
        with claude.messages.stream(**REQUEST) as events:  # type: ignore[arg-type] # the SDK knows more than a dict
            return "".join(events.text_stream)

    with daemon_of_a_login as daemon:
        held = credentials(socket_path=daemon.socket_file)
        with Anthropic(credentials=held, base_url=sandbox.base_url) as claude:
            said = stream(claude)
            sandbox.revoke(daemon.call("token.get")["token"])
            assert stream(claude) == said
            daemon.terminate()
            assert stream(claude) == said
            daemon.start()
            assert stream(claude) == said
    assert sandbox.statistics().refreshes_granted == 1
    assert sandbox.statistics().messages_rejected == 1


def test_the_asynchronous_clients_work_on_one_event_loop(
    daemon_of_a_login: DaemonProcess, sandbox: Sandbox
) -> None:
    """The SDK, httpx and our own client side by side; a throttled answer is reported and returned as it is."""

    async def work(daemon: DaemonProcess) -> tuple[int, int]:
        auth = TokenwardAuth(provider="anthropic", socket_path=daemon.socket_file)
        held = credentials(socket_path=daemon.socket_file)
        async with (
            AsyncClient(daemon.socket_file) as client,
            AsyncAnthropic(credentials=held, base_url=sandbox.base_url) as claude,
            httpx.AsyncClient(auth=auth, base_url=sandbox.base_url, trust_env=False) as http,
        ):
            await asyncio.gather(*(client.token() for _ in range(20)), claude.messages.create(**REQUEST))  # type: ignore[call-overload] # as above
            good = await http.post("/v1/messages", json=REQUEST)
            sandbox.faults.next("messages", Fault(status=429, retry_after=7, body={"error": {"type": "t"}}))
            throttled = await http.post("/v1/messages", json=REQUEST)
            await client.hello()
        auth.close()
        return good.status_code, throttled.status_code

    with daemon_of_a_login as daemon:
        assert asyncio.run(work(daemon)) == (200, 429)
        assert daemon.call("daemon.status")["profiles"][0]["phase"] == "ready"
    assert sandbox.statistics().refreshes_granted == 0
    assert "Traceback" not in daemon.log


@pytest.mark.parametrize("post", [by_httpx, by_httpx2, by_requests])
def test_a_key_without_the_model_gives_way_to_one_that_has_it(
    own_home: Path, sandbox: Sandbox, post: Callable[[TokenwardAuth, str], int]
) -> None:
    """The first request gets the 404, the next one the other key; the first key serves other models."""
    missing = {"error": {"type": "not_found_error", "message": f"model: {REQUEST['model']}"}}
    config = f'[providers.anthropic]\napi_url = "{sandbox.base_url}"\n'
    with DaemonProcess(own_home, config=config) as daemon:
        for name in ("a", "b"):
            key = f"sk-ant-api03-{name}"
            sandbox.register_api_key(key)
            daemon.call(
                "profile.add", profile=f"anthropic:{name}", kind="api_key", credential={"access_token": key}
            )
        auth = TokenwardAuth(provider="anthropic", model=str(REQUEST["model"]), socket_path=daemon.socket_file)
        sandbox.faults.next("messages", Fault(status=404, body=missing))
        with daemon.subscribe() as events:
            assert post(auth, f"{sandbox.base_url}/v1/messages") == 404
            closed = events.wait_for("cooling")
        assert closed["detail"].startswith(f"model of {REQUEST['model']}, until ")
        assert post(auth, f"{sandbox.base_url}/v1/messages") == 200
        auth.close()
        served = {daemon.call("token.get", model=REQUEST["model"])["profile"] for _ in range(4)}
        assert served == {"anthropic:a", "anthropic:b"} - {closed["profile"]}
        assert {daemon.call("token.get")["profile"] for _ in range(4)} == {"anthropic:a", "anthropic:b"}
