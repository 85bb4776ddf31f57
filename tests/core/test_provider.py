"""A registration is data, and only addresses fit for a secret are called so."""

import pytest

from tokenward.core.credential import Secret
from tokenward.core.provider import ProviderRegistration, endpoint_problem, is_loopback_host


@pytest.mark.parametrize(
    "url",
    [
        "https://auth.example.test/token",
        "https://auth.example.test:8443/token?tenant=1",
        "https://[2001:db8::1]/token",
        "http://127.0.0.1:8080/token",
        "http://127.255.0.9/",
        "http://[::1]:8080/token",
        "http://localhost/token",
        "HTTPS://LOCALHOST/",
    ],
)
def test_where_a_secret_may_go(url: str) -> None:
    """Anywhere by https, and to this machine by plain http."""
    assert endpoint_problem(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://auth.example.test/",
        "http://localhost.example.test/",
        "http://128.0.0.1/",
        "http://0.0.0.0/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://127.1/",
        "https://",
        "https:/auth.example.test/",
        "auth.example.test/token",
        "https://a.test@evil.test/",
        "https://a.test\\@evil.test/",
        "https://a.test /",
        "https://a.test/\n",
        "https://ä.test/",
        "https://a.test/#x",
        "https://a.test:port/",
        "file:///etc/passwd",
        "",
    ],
)
def test_where_none_may_go(url: str) -> None:
    """Plain http beyond loopback, addresses with two readings, what is no address; reasons quote nothing."""
    problem = endpoint_problem(url)
    assert problem is not None
    assert "\n" not in problem
    assert not url or url not in problem


def test_localhost_is_a_name_and_its_look_alikes_are_not() -> None:
    """Loopback is 127.0.0.0/8, ::1 and localhost, in any case."""
    assert [is_loopback_host(host) for host in ("LocalHost", "127.9.9.9", "::1")] == [True] * 3
    assert [is_loopback_host(host) for host in ("localhost.", "::2", "", "127.0.0.1.nip.test")] == [False] * 4


def test_a_registration_shows_no_secret() -> None:
    """Its repr is fit for a log."""
    registration = ProviderRegistration(
        name="acme", issuer="https://a.test", client_id="me", client_secret=Secret("very secret")
    )
    assert "very secret" not in repr(registration)
    assert registration.refreshes
    assert not ProviderRegistration(name="acme", issuer="https://a.test").refreshes
    assert {registration: 1}[registration] == 1
