"""PostgreSQL over TLS: who cannot prove who he is is not asked, and it is said what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.authority import Authority
from postgres_server import PostgresServer, programs_or_skip
from tokenward.core.credential import Secret
from tokenward.ports.sharing import SharedStoreAway
from tokenward.stores.postgres import authorities
from tokenward.stores.postgres.wire import Wire

HOST = "db.acme.dev"
PASSWORD = "canary/p@ss:word%"


@dataclass(frozen=True)
class Guarded:
    """A server with a certificate for `HOST`, and the file of the authority that issued it."""

    server: PostgresServer
    authority: Path

    def url(self, *, host: str = HOST, **parameters: str) -> str:
        """Where it is, under any name."""
        return self.server.url(address=host, hostaddr="127.0.0.1", **parameters)

    def is_encrypted(self, **parameters: str) -> bool:
        """Whether a connection with these parameters is; it must come to one."""
        asked = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        (((encrypted,),),) = Wire(Secret(self.url(**parameters))).run(asked, {})
        return bool(encrypted)

    def refuses(self, *, host: str = HOST, **parameters: str) -> SharedStoreAway:
        """How a connection with these parameters fails; nothing that was given is in what is said."""
        with pytest.raises(SharedStoreAway) as caught:
            Wire(Secret(self.url(host=host, **parameters))).run("SELECT 1", {})
        assert "canary" not in f"{caught.value!r} {caught.value} {caught.value.hint}"
        assert "\n" not in caught.value.cause + caught.value.hint
        return caught.value


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One that asks for a password, too."""
    authority = Authority()
    trusted = authority.write(tmp_path_factory.mktemp("authority") / "ca.pem")
    with PostgresServer(programs_or_skip(), password=PASSWORD, proof=authority.issue([HOST])) as running:
        yield Guarded(running, trusted)


def test_who_proves_who_he_is_is_asked(guarded: Guarded) -> None:
    """With authority and name compared, and encrypted."""
    assert guarded.is_encrypted(sslmode="verify-full", sslrootcert=str(guarded.authority))


def test_an_authority_that_is_not_ours_proves_nothing(guarded: Guarded, tmp_path: Path) -> None:
    """Somebody else's certificate for the right name; the hint says how ours is named."""
    other = Authority().write(tmp_path / "other.pem")
    away = guarded.refuses(sslmode="verify-full", sslrootcert=str(other))
    assert away.cause.endswith(f"@{HOST}:{guarded.server.port}/postgres: SSL error: certificate verify failed")
    assert "sslrootcert=FILE" in away.hint


def test_another_server_of_our_authority_is_not_the_one(guarded: Guarded) -> None:
    """Its certificate is good, and another's; both names are said."""
    away = guarded.refuses(host="db.elsewhere.dev", sslmode="verify-full", sslrootcert=str(guarded.authority))
    assert f'"{HOST}" does not match host name "db.elsewhere.dev"' in away.cause
    assert "name the host" in away.hint


def test_without_an_authority_it_says_how_one_is_named(guarded: Guarded) -> None:
    """What everybody meets first who writes verify-full and no more."""
    away = guarded.refuses(sslmode="verify-full")
    assert "root certificate file" in away.cause
    assert "sslrootcert=system" in away.hint


def test_a_server_without_tls_is_told_no_password(tmp_path: Path) -> None:
    """Who wants a proof gets none there, and says nothing."""
    trusted = Authority().write(tmp_path / "ca.pem")
    with PostgresServer(programs_or_skip(), password=PASSWORD, settings={"log_connections": "on"}) as plain:
        plain.run("SELECT 1")
        before = plain.log.count("connection auth")
        away = Guarded(plain, trusted).refuses(sslmode="verify-full", sslrootcert=str(trusted))
        assert "does not support SSL" in away.cause
        assert "sslmode" in away.hint
        assert plain.log.count("connection auth") == before > 0


class TestTheSystemsAuthorities:
    @pytest.fixture(autouse=True)
    def _no_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)

    @pytest.mark.parametrize("mode", [{}, {"sslmode": "verify-full"}])
    def test_they_are_found_where_the_system_keeps_them(
        self, guarded: Guarded, monkeypatch: pytest.MonkeyPatch, mode: dict[str, str]
    ) -> None:
        """The driver would look where its builder had them; and the name is compared, asked for or not."""
        monkeypatch.setattr(authorities, "BUNDLES", ("/nowhere/ca.pem", str(guarded.authority)))
        assert guarded.is_encrypted(sslrootcert="system", **mode)
        away = guarded.refuses(host="db.elsewhere.dev", sslrootcert="system", **mode)
        assert "does not match host name" in away.cause

    def test_the_variable_comes_first(
        self, guarded: Guarded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """As in everything else that we ask over TLS."""
        monkeypatch.setattr(authorities, "BUNDLES", (str(Authority().write(tmp_path / "other.pem")),))
        monkeypatch.setenv("SSL_CERT_FILE", str(guarded.authority))
        assert guarded.is_encrypted(sslrootcert="system")

    def test_where_none_are_found_nobody_is_trusted(
        self, guarded: Guarded, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A certificate that was not compared is none."""
        monkeypatch.setattr(authorities, "BUNDLES", ("/nowhere/ca.pem",))
        assert "certificate verify failed" in guarded.refuses(sslrootcert="system").cause

    def test_a_weaker_wish_is_refused(self, guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
        """By the driver: public authorities sign for everybody."""
        monkeypatch.setattr(authorities, "BUNDLES", (str(guarded.authority),))
        away = guarded.refuses(sslrootcert="system", sslmode="require")
        assert "weak sslmode" in away.cause
