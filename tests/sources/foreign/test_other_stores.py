"""Polpo's, NeuroLink's, PRX's and Codex's stores."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from sources.foreign.stores import END, HOME, NEUROLINK, imported, obfuscated, skipped
from tokenward.core.credential import Kind, to_unix_milliseconds
from tokenward.errors import ConfigurationFault
from tokenward.sources.foreign import codex, neurolink_tokens, polpo, prx
from tokenward.sources.foreign.reading import moment

KEY = bytes(range(32))


def _sealed(text: str, key: bytes = KEY) -> str:
    nonce = b"n" * 12
    return "enc2:" + (nonce + ChaCha20Poly1305(key).encrypt(nonce, text.encode(), None)).hex()


def _sealed_the_old_way(text: str, key: bytes = KEY) -> str:
    return "enc:" + bytes(byte ^ key[at % len(key)] for at, byte in enumerate(text.encode())).hex()


def _jwt(claims: dict[str, Any]) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJub25lIn0.{body}.sig"


def test_polpos_store_is_read() -> None:
    """Both types, under their own names, with ends in milliseconds; what is strange is skipped."""
    entries = polpo.read(
        {
            "version": 1,
            "profiles": {
                "anthropic:user+tag@x.com": {
                    "provider": "anthropic",
                    "type": "oauth",
                    "access": "a",
                    "refresh": "r",
                    "expires": END,
                    "lastUsed": "2026-01-14T10:30:00.000Z",
                    "extra": {},
                },
                "anthropic:key": {"provider": "anthropic", "type": "api_key", "access": "sk-ant-api03-p"},
                "anthropic:new": {"provider": "anthropic", "type": "passkey"},
            },
        }
    )
    found = imported(entries)
    assert set(found) == {"anthropic:user+tag@x.com", "anthropic:key"}
    end = found["anthropic:user+tag@x.com"].credential.expires_at
    assert end is not None
    assert to_unix_milliseconds(end) == END
    assert set(skipped(entries)) == {"anthropic:new"}


@pytest.mark.covers("L3")
@pytest.mark.parametrize("said", ["${ANTHROPIC_API_KEY}", {"apiKey": "${ANTHROPIC_API_KEY}"}, "sk-ant-api03-p"])
def test_a_key_in_polpos_settings_in_either_form(said: Any) -> None:
    """A text and ``{apiKey: …}``, expanded, make the same profile."""
    found = polpo.read_settings({"providers": {"anthropic": said}}, {"ANTHROPIC_API_KEY": "sk-ant-api03-p"})
    assert found == polpo.read_settings({"providers": {"anthropic": "sk-ant-api03-p"}}, {})
    assert imported(found)["anthropic:polpo"].credential.kind is Kind.API_KEY


def test_a_variable_that_is_not_set_is_no_key() -> None:
    """Not the literal text, and not silence."""
    entries = polpo.read_settings({"providers": {"anthropic": "${NOPE}", "ollama": {"baseUrl": "http://x"}}}, {})
    assert imported(entries) == {}
    assert "not set" in skipped(entries)["providers.anthropic"]


@pytest.mark.covers("N36")
def test_neurolinks_xor_store_is_read() -> None:
    """Made under the same home directory it opens; keys, logins and disabled ones are told apart."""
    document = neurolink_tokens.open_store(obfuscated(NEUROLINK), HOME)
    assert document == NEUROLINK
    entries = neurolink_tokens.read(document)
    found = imported(entries)
    assert set(found) == {"anthropic:work", "anthropic:key"}
    work, key = found["anthropic:work"].credential, found["anthropic:key"].credential
    assert (work.kind, work.scopes) == (Kind.OAUTH, ("user:inference",))
    assert (key.kind, key.expires_at) == (Kind.API_KEY, None)
    assert "disabled" in skipped(entries)["anthropic:off"]


def test_a_label_in_latin_1_is_read() -> None:
    """NeuroLink takes characters for bytes; up to U+00FF that can be undone."""
    document = {"version": "2.0", "providers": {"anthropic:Büro": {"tokens": {"accessToken": "k"}}}}
    assert neurolink_tokens.open_store(obfuscated(document), HOME) == document


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"!!!",
        obfuscated(NEUROLINK)[:-7],
        obfuscated(NEUROLINK)[: len(obfuscated(NEUROLINK)) // 8 * 4],
        obfuscated(NEUROLINK, "/home/another"),
    ],
)
def test_a_store_that_does_not_open_is_an_error_without_its_content(data: bytes) -> None:
    """Torn, or made under another home directory."""
    with pytest.raises(ConfigurationFault, match=r"tokens\.json") as refused:
        neurolink_tokens.open_store(data, HOME)
    assert "sk-ant" not in refused.value.cause + refused.value.hint


def test_prxs_store_is_read_sealed_and_plain() -> None:
    """``enc2:`` fields open with the key file; ends are RFC 3339; a token's kind is what PRX says of it."""
    document = {
        "schema_version": 1,
        "profiles": {
            "anthropic:default": {
                "provider": "anthropic",
                "kind": "oauth",
                "access_token": _sealed("at"),
                "refresh_token": _sealed("rt"),
                "expires_at": "2100-01-01T00:00:00Z",
                "scope": "a b",
            },
            "anthropic:key": {"provider": "anthropic", "kind": "token", "token": "sk-ant-api03-x"},
            "acme:gw": {
                "provider": "acme",
                "kind": "token",
                "token": _sealed("gw-1"),
                "metadata": {"auth_kind": "authorization"},
            },
        },
    }
    found = imported(prx.read(document, KEY.hex().encode() + b"\n"))
    login = found["anthropic:default"].credential
    assert (login.access.reveal(), login.refresh and login.refresh.reveal()) == ("at", "rt")
    assert login.expires_at is not None
    assert to_unix_milliseconds(login.expires_at) == END
    assert login.scopes == ("a", "b")
    assert found["anthropic:key"].credential.kind is Kind.API_KEY
    assert found["acme:gw"].credential.kind is Kind.AUTH_TOKEN


@pytest.mark.parametrize(
    ("token", "secret_key", "why"),
    [
        (_sealed("t"), None, "no .secret_key"),
        (_sealed("t"), b"00" * 32, "does not open"),
        (_sealed("t"), b"nonsense", "does not open"),
        (_sealed("t")[:-2] + "00", KEY.hex().encode(), "does not open"),
        ("enc2:zz", KEY.hex().encode(), "does not open"),
        (_sealed_the_old_way("sk-1"), None, "no .secret_key"),
        (_sealed_the_old_way("sk-ant-api03-x", bytes(range(100, 132))), KEY.hex().encode(), "does not open"),
        (_sealed_the_old_way("sk-ant-api03-x"), b"", "does not open"),
        ("enc:", KEY.hex().encode(), "does not open"),
        ("enc:0a0", KEY.hex().encode(), "does not open"),
    ],
)
def test_what_does_not_open_is_never_taken_for_a_key(token: str, secret_key: bytes | None, why: str) -> None:
    """A sealed text stays in its file."""
    entries = prx.read({"profiles": {"a:b": {"provider": "a", "kind": "token", "token": token}}}, secret_key)
    assert imported(entries) == {}
    assert why in skipped(entries)["a:b"]
    assert token not in repr(entries)


def test_what_prx_sealed_the_old_way_is_read() -> None:
    """``enc:`` beside ``enc2:`` in one store; a token longer than the key, and the digits of a known one."""
    long = "sk-ant-oat01-" + "a" * 80
    assert _sealed_the_old_way("sk") == "enc:736a"
    document = {
        "profiles": {
            "anthropic:old": {
                "provider": "anthropic",
                "kind": "oauth",
                "access_token": _sealed_the_old_way(long),
                "refresh_token": _sealed("rt"),
            },
            "acme:key": {"provider": "acme", "kind": "token", "token": "enc:736a"},
        }
    }
    found = imported(prx.read(document, KEY.hex().encode()))
    login = found["anthropic:old"].credential
    assert (login.access.reveal(), login.refresh and login.refresh.reveal()) == (long, "rt")
    assert found["acme:key"].credential.access.reveal() == "sk"


def test_codexs_file_is_read() -> None:
    """A key and a login; the login's end is in its access token."""
    document = {
        "OPENAI_API_KEY": "sk-proj-1",
        "tokens": {"id_token": "i", "access_token": _jwt({"exp": END // 1000}), "refresh_token": "rt"},
        "last_refresh": "2026-01-01T00:00:00Z",
    }
    found = imported(codex.read(document))
    assert found[codex.KEY].credential.kind is Kind.API_KEY
    end = found[codex.LOGIN].credential.expires_at
    assert end is not None
    assert to_unix_milliseconds(end) == END


@pytest.mark.parametrize("access", ["opaque", "a.b.c", _jwt({"exp": "soon"}), "a." + "A" * 5 + ".c"])
def test_an_end_that_cannot_be_read_is_unknown(access: str) -> None:
    """Then a 401 says when to refresh."""
    entries = codex.read({"OPENAI_API_KEY": None, "tokens": {"access_token": access, "refresh_token": "r"}})
    assert imported(entries)[codex.LOGIN].credential.expires_at is None


@pytest.mark.parametrize(
    "value",
    [END, END // 1000, str(END), "2100-01-01T00:00:00Z", "2100-01-01T01:00:00+01:00", "2100-01-01T00:00:00"],
)
def test_an_end_in_every_spelling(value: object) -> None:
    """Milliseconds, seconds, digits, ISO 8601 with and without a zone are one moment."""
    read = moment(value)
    assert read is not None
    assert to_unix_milliseconds(read) == END


@pytest.mark.parametrize("value", [None, 0, -1, True, "soon", "", float("nan"), [], {}])
def test_an_end_that_is_none_is_unknown(value: object) -> None:
    """Zero and nonsense are no moment."""
    assert moment(value) is None
