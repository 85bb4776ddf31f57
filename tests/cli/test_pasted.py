"""What is pasted is read as it was meant, corrected where that is safe, and never repeated in a message."""

import json
from typing import Any

import pytest

from tokenward.cli import pasted
from tokenward.errors import ConfigurationFault

SETUP = "sk-ant-oat01-" + "s" * 90
KEY = "sk-ant-api03-" + "k" * 90


class TestKey:
    @pytest.mark.parametrize(
        ("text", "notes"),
        [
            (f"{KEY}\n", 0),
            (f"  {KEY[:50]}\n  {KEY[50:]}\r\n", 1),
            (f"Bearer {KEY}", 1),
            (f"bearer {KEY[:50]} {KEY[50:]}", 2),
        ],
    )
    def test_line_breaks_and_bearer_are_left_out(self, text: str, notes: int) -> None:
        """A pasted key is joined, not cut off, and what was left out is said."""
        read = pasted.key(text, kind="api_key", provider="anthropic")
        assert read.credential == {"access_token": KEY}
        assert len(read.notes) == notes

    @pytest.mark.parametrize("text", ["", " \n", "Bearer ", "sk-“quoted”", "sk-\x00"])
    def test_what_no_token_can_be_is_refused(self, text: str) -> None:
        """Nothing, or characters that a header cannot carry."""
        with pytest.raises(ConfigurationFault):
            pasted.key(text, kind="auth_token", provider="acme")

    @pytest.mark.parametrize(
        ("text", "kind", "way"),
        [
            (KEY, "setup_token", "--api-key"),
            ("sk-other", "setup_token", "claude setup-token"),
            (SETUP, "api_key", "--setup-token"),
        ],
    )
    def test_one_kind_in_the_place_of_another_is_refused(self, text: str, kind: str, way: str) -> None:
        """A Console key is no setup token, nor the other way round; the hint names the right option."""
        with pytest.raises(ConfigurationFault) as caught:
            pasted.key(text, kind=kind, provider="anthropic")
        assert way in caught.value.hint
        assert text not in f"{caught.value.cause} {caught.value.hint}"

    @pytest.mark.parametrize(
        ("text", "kind"), [(SETUP, "setup_token"), (KEY, "api_key"), ("sk-gate", "auth_token")]
    )
    def test_each_kind_in_its_place_is_taken(self, text: str, kind: str) -> None:
        """The right ones pass without a word."""
        assert pasted.key(text, kind=kind, provider="anthropic").notes == ()

    @pytest.mark.covers("E13")
    def test_a_setup_token_is_joined_and_whole(self) -> None:
        """Wrapped lines are one token; one that was cut off, or holds a #, is refused."""
        wrapped = f"{SETUP[:40]}\n  {SETUP[40:80]}\r\n{SETUP[80:]}"
        assert pasted.key(wrapped, kind="setup_token", provider="anthropic").credential == {"access_token": SETUP}
        for wrong in (SETUP[:79], f"{SETUP}#state"):
            with pytest.raises(ConfigurationFault):
                pasted.key(wrong, kind="setup_token", provider="anthropic")
        assert pasted.key(SETUP[:80], kind="setup_token", provider="anthropic").notes == ()

    @pytest.mark.covers("E12")
    def test_a_console_key_is_no_setup_token(self) -> None:
        """It is refused with the right option, and the help says where setup tokens come from."""
        with pytest.raises(ConfigurationFault) as caught:
            pasted.key(KEY, kind="setup_token", provider="anthropic")
        assert "API key of the Console" in caught.value.cause
        assert "--api-key" in caught.value.hint

    @pytest.mark.covers("N16")
    def test_a_short_api_key_is_taken_with_a_word(self) -> None:
        """The prefix decides; the length only warns."""
        read = pasted.key("sk-ant-api03-short", kind="api_key", provider="anthropic")
        assert (read.credential, len(read.notes)) == ({"access_token": "sk-ant-api03-short"}, 1)

    @pytest.mark.parametrize(
        ("text", "recognised"),
        [
            ("sk-ant-ort01-" + "r" * 95, "refresh token"),
            ("AbCdEfGhIj#KlMnOpQrSt", "code#state"),
            ('{"access_token": "sk-secret"}', "JSON of a login"),
            ('{"claudeAiOauth": {}}', "Claude Code's whole login file"),
            ("https://claude.ai/oauth/authorize?code=1", "an address"),
        ],
    )
    @pytest.mark.parametrize("kind", ["api_key", "auth_token", "setup_token"])
    def test_what_is_no_token_is_named(self, text: str, recognised: str, kind: str) -> None:
        """The refusal says what was recognised, and not what was pasted."""
        with pytest.raises(ConfigurationFault) as caught:
            pasted.key(text, kind=kind, provider="anthropic")
        assert recognised in caught.value.cause
        assert text not in f"{caught.value.cause} {caught.value.hint}"

    def test_other_providers_have_other_keys(self) -> None:
        """The shapes of Anthropic's keys bind only Anthropic's profiles."""
        assert pasted.key(SETUP, kind="api_key", provider="acme").credential == {"access_token": SETUP}


class TestOAuth:
    @pytest.mark.parametrize(
        ("access", "refresh"),
        [("access_token", "refresh_token"), ("accessToken", "refreshToken"), ("access", "refresh")],
    )
    def test_usual_spellings(self, access: str, refresh: str) -> None:
        """Snake case, camel case and the bare words are the same."""
        read = pasted.oauth(json.dumps({access: "at", refresh: "rt", "expires_in": 60}))
        assert read.credential == {"access_token": "at", "refresh_token": "rt", "expires_in": 60.0}
        assert read.notes == ()

    @pytest.mark.covers("N35")
    @pytest.mark.parametrize("name", ["expires_at", "expiresAt", "expires", "expiry"])
    @pytest.mark.parametrize(
        ("value", "ms", "unit"),
        [
            (1_800_000_000_000, 1_800_000_000_000, "milliseconds"),
            (1_800_000_000, 1_800_000_000_000, "seconds"),
            ("1800000000", 1_800_000_000_000, "seconds"),
            (99_999_999_999, 99_999_999_999_000, "seconds"),
            (100_000_000_000, 100_000_000_000, "milliseconds"),
            ("2027-01-15T08:00:00Z", 1_800_000_000_000, "a date"),
            ("2027-01-15T08:00:00", 1_800_000_000_000, "a date in UTC"),
        ],
    )
    def test_its_end_in_any_unit(self, name: str, value: Any, ms: float, unit: str) -> None:
        """Milliseconds, seconds and dates are told apart, and what was taken for what is said."""
        read = pasted.oauth(json.dumps({"access": "at", "refresh": "rt", name: value}))
        assert read.credential["expires_at_ms"] == ms
        assert read.notes == (f"{name} was read as {unit}",)

    @pytest.mark.parametrize("scope", [{"scope": "a b"}, {"scopes": ["a", "b"]}, {"scopes": "a b"}])
    def test_scope_as_text_or_list(self, scope: dict[str, Any]) -> None:
        """RFC 6749's text and everybody's list are the same."""
        read = pasted.oauth(json.dumps({"access": "at", "refresh": "rt", "expires_in": 1, **scope}))
        assert read.credential["scope"] == "a b"

    def test_without_an_end_it_is_said(self) -> None:
        """An unknown end is no error, but it is worth a word."""
        read = pasted.oauth('{"access": "at", "refresh": "rt"}')
        assert "expires_at_ms" not in read.credential
        assert "401" in read.notes[0]

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "sk-secret",
            "[]",
            '{"access": "sk-secret"}',
            '{"refresh": "sk-secret"}',
            '{"access": 7, "refresh": "sk-secret"}',
            '{"access": "", "refresh": "sk-secret"}',
            '{"access": "at", "refresh": "sk-secret", "expires_in": true}',
            '{"access": "at", "refresh": "sk-secret", "expires_in": -1}',
            '{"access": "at", "refresh": "sk-secret", "expires_at": "soon"}',
            '{"access": "at", "refresh": "sk-secret", "expires_at": NaN}',
            '{"claudeAiOauth": {"accessToken": "at", "refreshToken": "sk-secret"}}',
        ],
    )
    def test_what_cannot_be_used_is_refused_without_repeating_it(self, text: str) -> None:
        """Each names what is wrong, and nothing of what was pasted."""
        with pytest.raises(ConfigurationFault) as caught:
            pasted.oauth(text)
        assert "secret" not in f"{caught.value.cause} {caught.value.hint}"
        assert caught.value.hint


def test_a_pasted_credential_does_not_show_itself() -> None:
    """The repr names members, not values."""
    assert "sk-gate" not in repr(pasted.key("sk-gate", kind="auth_token", provider="acme"))
