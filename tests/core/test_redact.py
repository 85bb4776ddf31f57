"""What comes from outside is shown on one line, readable, and without anything that could be a token."""

import base64
import hashlib
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenward.core.redact import printable, recognisable

LAW = settings(derandomize=True, deadline=None)
HEX_KEY = "9f8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "invalid_grant",
        "Refresh token not found or invalid",
        "disk-encryption and task-scheduler, risk-assessment",
        "unsupported_grant_type_for_this_client_registration",
        "CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS",
        "refreshTokenLifetime/organizationRateLimit/subscriptionType",
        "/home/alice/projects/something/deep/path/credentials.json",
        "/Users/alice/Library/ApplicationSupport/tokenward/credentials",
        "~/.local/state/tokenward/families/",
        "https://auth.example.com/realms/production/protocol/openid-connect/token",
        "https://console.anthropic.com/v1/oauth/token",
        "https://sk.wikipedia.org/wiki/OAuth",
        "http://127.0.0.1:8080/oauth/token",
        "https://a1b2c3d4e5f6a7b8.eu-west-1.cloud.example.com, said the server",
        f"/{'w' * 24}/{'word' * 6}",
        "anthropic:user@example.com",
        "claude-sonnet-4-5-20250929",
        "HTTP 503 with text/html; charset=utf-8 instead of JSON",
        "---------------------------------------------",
        "zażółć gęślą jaźń, 日本語, عربى",
    ],
)
def test_words_paths_and_hosts_stay_readable(text: str) -> None:
    """A message in which all is masked helps nobody."""
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sk-ant-oat01-abcdefgh", "[masked]"),
        ("Bearer sk-ant-ort01-ab_cd-ef rejected", "Bearer [masked] rejected"),
        ("key=sk-proj-0123456789", "key=[masked]"),
        ("(gho_16C7e42F292c6912E7710c838347Ae178B4a)", "([masked])"),
        ("github_pat_11ABCDEFG0abcdefghij_klmno", "[masked]"),
        ("xoxb-123456789012-abc", "[masked]"),
        ("ya29.a0AfH6SMBx", "[masked]"),
        (f"id_token {JWT}.", "id_token [masked]"),
        (f"token {HEX_KEY} is unknown", "token [masked] is unknown"),
        ("9d1c250a-e61b-44d9-88ed-5944d1962f5e", "[masked]"),
        (f"https://host.example/cb?code={HEX_KEY}", "https://host.example/cb?[masked]"),
        (f"https://alice:{HEX_KEY}@host.example/", "https://alice:[masked]@host.example/"),
        (f"https://{HEX_KEY}@host.example/", "https:[masked]@host.example/"),
        ("https://sk-ant-oat01-abcdefgh/", "https://[masked]"),
        (f"/{'w' * 25}/word", f"/{'w' * 25}/word"),
        (f"/{'w' * 25}/words", "[masked]"),
        ("A" * 32, "[masked]"),
        ("a" * 4096, "[masked]"),
        ("1" * 32, "[masked]"),
    ],
)
def test_tokens_are_masked(text: str, shown: str) -> None:
    """Known prefixes, JWTs and long runs go; what stands around them stays."""
    assert printable(text) == shown


@settings(LAW, max_examples=2000)
@given(seed=st.integers(), size=st.integers(min_value=24, max_value=64))
def test_no_random_token_of_32_characters_is_shown(seed: int, size: int) -> None:
    """Hexadecimal, base64 and its URL-safe form, of 192 bits and more, in the midst of a message."""
    noise = hashlib.shake_256(str(seed).encode()).digest(size)
    for token in (noise.hex(), base64.b64encode(noise).decode(), base64.urlsafe_b64encode(noise).decode()):
        assert printable(f"cannot use '{token}', sorry") == "cannot use '[masked]', sorry"


DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
FORBIDDEN = [
    character
    for character in map(chr, range(sys.maxunicode + 1))
    if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
    or unicodedata.bidirectional(character) in DIRECTIONS
    or character in "\u061c\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
    or "\U000e0000" <= character <= "\U000e007f"
]


def test_no_control_or_direction_character_passes() -> None:
    """Controls, line and paragraph ends, surrogates, marks, overrides, isolates, invisible and tag characters."""
    assert len(FORBIDDEN) > 2000
    assert [character for character in FORBIDDEN if printable(f"a{character}b") != "a b"] == []


@LAW
@given(st.text(st.characters(exclude_categories=()) | st.sampled_from(FORBIDDEN)))
def test_any_text_becomes_one_line_that_utf_8_can_hold(text: str) -> None:
    """It never raises, and doing it twice changes nothing more."""
    shown = printable(text)
    assert not set(shown) & set(FORBIDDEN)
    assert "\n" not in shown
    assert shown.encode().decode() == shown
    assert printable(shown) == shown


def test_a_terminal_command_is_only_text() -> None:
    """An escape sequence loses its escape, and a line cannot be forged."""
    assert printable("\x1b[31mred\x1b[0m\r\nERROR: you must") == "[31mred [0m ERROR: you must"


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("sk-ant-api03-abcdefghijklmnop", "sk-ant-api03-…"),
        ("sk-ant-oat01-abcdefghijklmnop", "sk-ant-oat01-…"),
        ("sk-ant-ort01-abcdefghijklmnop", "sk-ant-ort01-…"),
        ("sk-ant-abcdefghijklmnop", "sk-ant-…"),
        ("sk-abcdefgh", "sk-…"),
        ("gho_abcdefgh", "gho-…"),
        ("ghp_abcdefgh", "ghp-…"),
        ("github_pat_abcdefgh", "github_pat-…"),
        ("skabcdefgh", "…"),
        ("sk", "…"),
        ("", "…"),
        (JWT, "…"),
    ],
)
def test_of_a_secret_only_the_kind_is_shown(secret: str, shown: str) -> None:
    """The well-known prefix and nothing of its own, however short it is."""
    assert recognisable(secret) == shown


@LAW
@given(st.sampled_from(["", "sk-", "sk-ant-", "sk-ant-oat01-", "gho_"]), st.text())
def test_what_is_shown_of_a_secret_does_not_depend_on_it(prefix: str, own: str) -> None:
    """Everything that can ever be shown is one of these."""
    assert recognisable(prefix + own) in {
        "…",
        "sk-…",
        "sk-ant-…",
        "sk-ant-api03-…",
        "sk-ant-oat01-…",
        "sk-ant-ort01-…",
        "gho-…",
        "ghp-…",
        "github_pat-…",
    }
