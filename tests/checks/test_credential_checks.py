"""The checks of credentials: what the daemon keeps, what is written down, and what Claude Code is given."""

from __future__ import annotations

import json
from typing import Any

import pytest

from checks.patient import Patient
from client.fake_daemon import profile
from tokenward.checks import Finding, Ran, claude_code_login, examine, gateway, keys, profiles
from tokenward.core.credential import Secret
from tokenward.sources.keychain import KeychainItem, question

KEY = "sk-ant-api03-" + "K" * 95
SETUP = "sk-ant-oat01-" + "S" * 95
REFUSED = {"failure": "auth", "reason": "the API refused it with 401", "at_ms": 1, "failures": 1}


def kept(patient: Patient, *held: dict[str, Any]) -> list[Finding]:
    """What the check of profiles says."""
    return profiles.check(patient.context(profiles=held))


@pytest.mark.covers("P7")
def test_each_provider_is_counted(patient: Patient) -> None:
    """Ok, skipped, auth and error of each; with an auth error the doctor fails, without it does not."""
    healthy = [profile("acme:a"), profile("acme:b", enabled=False, unusable="disabled")]
    failing = profile("acme:c", kind="oauth", unusable="expired, refresh failing")
    ended = profile("anthropic:me", kind="oauth", unusable="login required", phase="login_required")
    found = kept(patient, *healthy, failing, ended)
    assert [(each.level, each.cause) for each in found] == [
        ("warn", "acme: 1 ok, 1 skipped, 0 auth, 1 error"),
        ("fail", "anthropic: 0 ok, 0 skipped, 1 auth, 0 error"),
        ("fail", "anthropic:me: login required"),
    ]
    assert [each.level for each in kept(patient, *healthy)] == ["ok"]


@pytest.mark.covers("L14")
def test_a_login_that_opens_no_api_is_warned_of(patient: Patient) -> None:
    """It counts as ok, since it can be served; the doctor says what it is worth, and what helps."""
    free = profile("anthropic:claude-cli", kind="oauth", insufficient_access="the account's plan is free")
    assert [(each.level, each.cause, each.hint) for each in kept(patient, free)] == [
        ("ok", "anthropic: 1 ok, 0 skipped, 0 auth, 0 error", ""),
        (
            "warn",
            "anthropic:claude-cli: insufficient API access: the account's plan is free",
            "log in with a Pro or Max account, or use an API key",
        ),
    ]


def test_without_a_daemon_nothing_is_said_of_profiles(patient: Patient) -> None:
    """That none answers is another check's sentence."""
    assert profiles.check(patient.context()) == []


def test_nothing_that_is_kept_is_said(patient: Patient) -> None:
    """With the first step; it is no fault."""
    (found,) = profiles.check(patient.context(profiles=[]))
    assert (found.level, found.cause) == ("warn", "no credential is kept")
    assert "tokenward onboard" in found.hint


@pytest.mark.covers("E26")
def test_a_setup_token_that_was_refused(patient: Patient) -> None:
    """Though it is still served, since there is no other, the doctor names what makes a new one."""
    refused = profile("anthropic:manual", kind="setup_token", phase="login_required", last_failure=REFUSED)
    finding = kept(patient, refused)[-1]
    assert finding.level == "fail"
    assert finding.cause == "anthropic:manual: the API refused it with 401"
    assert finding.hint == "run: claude setup-token, then: tokenward add anthropic:manual --setup-token"


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"source": "claude-code", "kind": "oauth"}, "claude auth login"),
        ({"kind": "oauth", "agent": "b"}, "tokenward add acme:me --oauth --agent b"),
        ({"kind": "api_key"}, "tokenward add acme:me --api-key"),
        ({"kind": "api_key", "source": "environment", "location": "$KEY"}, "put a new one into $KEY"),
        (
            {"kind": "setup_token", "source": "config", "location": "providers.a"},
            "what it prints into providers.a",
        ),
        ({"kind": "oauth", "source": "neurolink", "location": "/f"}, "the program that keeps /f"),
    ],
)
def test_the_remedy_is_that_of_its_kind_and_source(patient: Patient, members: dict[str, Any], words: str) -> None:
    """Each credential is renewed where it comes from."""
    ended = profile("acme:me", unusable="login required", phase="login_required", **members)
    assert words in kept(patient, ended)[-1].hint


@pytest.mark.covers("P32", "N64")
@pytest.mark.parametrize(
    ("key", "level", "shown"),
    [
        (KEY, "ok", "sk-ant-api03-…"),
        (SETUP, "warn", "sk-ant-oat01-…"),
        ("sk-" + "g" * 40, "fail", "sk-…"),
        ("AIza" + "g" * 40, "fail", ": …"),
    ],
)
@pytest.mark.parametrize("place", ["environment", "config"])
def test_a_key_with_the_wrong_beginning_is_flagged(
    patient: Patient, place: str, key: str, level: str, shown: str
) -> None:
    """The place and the beginning are shown, and no character of the key itself."""
    written = (
        {"environ": {"ANTHROPIC_API_KEY": key}} if place == "environment" else {"configured_key": Secret(key)}
    )
    (finding,) = keys.check(patient.context(**{"environ": {}, **written}))
    assert (finding.level, shown in finding.cause) == (level, True)
    assert key[-20:] not in repr(finding)
    assert key[:20] not in repr(finding)


def test_the_key_of_a_gateway_is_not_judged(patient: Patient) -> None:
    """Its keys begin as it likes."""
    environ = {"ANTHROPIC_API_KEY": "sk-gateway", "ANTHROPIC_BASE_URL": "https://gateway.example"}
    assert keys.check(patient.context(environ=environ)) == []


GATEWAY = {
    "ANTHROPIC_BASE_URL": "https://gateway.example",
    "ANTHROPIC_AUTH_TOKEN": "sk-very-secret",
    "ANTHROPIC_MODEL": "claude-sonnet-4-6",
}


@pytest.mark.covers("A18")
def test_a_gateway_that_is_set_up(patient: Patient) -> None:
    """The three lines of the guide, and never the secret."""
    found = gateway.check(patient.context(environ=GATEWAY))
    assert [each.cause for each in found] == ["base url ok", "api key configured", "model configured"]
    assert "sk-very-secret" not in repr(found)


@pytest.mark.covers("A22", "A25")
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"ANTHROPIC_AUTH_TOKEN": ""}, "not authenticated"),
        ({"ANTHROPIC_AUTH_TOKEN": "", "ANTHROPIC_API_KEY": "sk-x"}, "API-key mode"),
        ({"ANTHROPIC_BASE_URL": "https://gateway.example/v1/"}, "/v1/v1/messages"),
        ({"ANTHROPIC_BASE_URL": "gateway.example"}, "not an http address"),
        ({"ANTHROPIC_BASE_URL": "https://[x"}, "not an http address"),
    ],
)
def test_a_gateway_that_is_not_set_up(patient: Patient, changed: dict[str, str], words: str) -> None:
    """What is missing in the environment that starts Claude Code, or wrong in it, is a failure with its name."""
    failed = [each for each in gateway.check(patient.context(environ=GATEWAY | changed)) if each.level == "fail"]
    assert [words in f"{each.cause}; {each.consequence}" for each in failed] == [True]
    assert "run: " in failed[0].hint


@pytest.mark.covers("A25")
@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/messages"])
def test_a_doubled_path_is_named_with_its_symptom_and_the_address_that_is_right(
    patient: Patient, path: str
) -> None:
    """/v1/v1/messages is what people see in a gateway's log; the command sets the root, without the password."""
    changed = {"ANTHROPIC_BASE_URL": f"https://me:secret@gateway.example/anthropic{path}"}
    finding = gateway.check(patient.context(environ=GATEWAY | changed))[0]
    assert (finding.level, "/v1/v1/messages" in finding.consequence) == ("fail", True)
    assert finding.hint == "run: export ANTHROPIC_BASE_URL=https://gateway.example/anthropic"


@pytest.mark.parametrize("path", ["", "/", "/v1/account/gateway/anthropic", "/v1beta", "/v10"])
def test_a_path_that_only_looks_alike_is_sound(patient: Patient, path: str) -> None:
    """Gateways have roots with a /v1 in the middle, to which /v1/messages is rightly added."""
    changed = {"ANTHROPIC_BASE_URL": f"https://gateway.example{path}"}
    assert gateway.check(patient.context(environ=GATEWAY | changed))[0].cause == "base url ok"


def test_settings_of_claude_code_count_as_its_environment(patient: Patient) -> None:
    """What they set is not missing from the shell."""
    patient.write(patient.claude / "settings.json", json.dumps({"env": GATEWAY}))
    assert {each.level for each in gateway.check(patient.context(environ={}))} == {"ok"}


def test_a_helper_is_a_key_for_a_gateway(patient: Patient) -> None:
    """What it prints goes into both headers, so that no variable is missing."""
    patient.write(patient.claude / "settings.json", json.dumps({"apiKeyHelper": "tokenward-helper"}))
    environ = {"ANTHROPIC_BASE_URL": "https://gateway.example", "ANTHROPIC_MODEL": "m"}
    assert {each.level for each in gateway.check(patient.context(environ=environ))} == {"ok"}


def test_without_a_gateway_nothing_is_said_of_it(patient: Patient) -> None:
    """Most people have none."""
    assert gateway.check(patient.context(environ={})) == []


@pytest.mark.parametrize(
    ("hours", "level", "words"),
    [(24 * 30, "ok", "ends in 30 d 0 h"), (73, "ok", "ends in 3 d 1 h"), (71, "warn", "ends in 2 d 23 h"),
     (5, "warn", "ends in 5 h"), (0.5, "warn", "within the hour"), (-1, "fail", "has ended")],
)  # fmt: skip
def test_the_end_of_claude_codes_login_comes_near(patient: Patient, hours: float, level: str, words: str) -> None:
    """Three days before, a person is told: no refresh moves that end."""
    ends = (patient.clock.now.timestamp() + hours * 3600) * 1000
    login = {"accessToken": SETUP, "refreshToken": SETUP, "refreshTokenExpiresAt": ends}
    patient.write(patient.context().claude_credentials, json.dumps({"claudeAiOauth": login}))
    (finding,) = claude_code_login.check(patient.context())
    assert (finding.level, words in finding.cause) == (level, True)
    assert finding.hint == ("" if level == "ok" else "run: claude auth login")


@pytest.mark.parametrize("dead", [{"refreshToken": ""}, {"refreshToken": "x", "loginEnded": "time_limit"}])
def test_a_login_that_claude_code_has_given_up(patient: Patient, dead: dict[str, str]) -> None:
    """Both of its marks are a failure; a null is a login that somebody else refreshes."""
    path = patient.context().claude_credentials
    patient.write(path, json.dumps({"claudeAiOauth": {"accessToken": "", **dead}}))
    assert [each.level for each in claude_code_login.check(patient.context())] == ["fail"]
    patient.write(path, json.dumps({"claudeAiOauth": {"accessToken": "a", "refreshToken": None}}))
    assert [each.level for each in claude_code_login.check(patient.context())] == ["ok"]


@pytest.mark.parametrize(
    ("days", "members", "warned"),
    [
        (2, {}, True),
        (4, {}, False),
        (2, {"source": "claude-code"}, False),
        (2, {"phase": "login_required"}, False),
    ],
)
def test_the_end_of_a_kept_login_comes_near(
    patient: Patient, days: int, members: dict[str, str], *, warned: bool
) -> None:
    """One that has ended is said already, and Claude Code's own login has a check of its own."""
    ends = int((patient.clock.now.timestamp() + days * 86_400) * 1000)
    held = profile("acme:me", kind="oauth", login_ends_at_ms=ends, **members)
    told = [each for each in kept(patient, held) if "its login ends" in each.cause]
    assert [each.hint for each in told] == (["run: tokenward add acme:me --oauth"] if warned else [])


@pytest.mark.parametrize("place", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Bearer {}", 'begins with "Bearer "'),
        ("bearer  {}", 'begins with "Bearer "'),
        ('"{}"', "quotation marks"),
        ("{} {}", "blanks"),
    ],
)
def test_what_was_pasted_with_the_key_is_named(patient: Patient, place: str, text: str, words: str) -> None:
    """In the shell and in the settings, for a gateway too, and the key is not shown."""
    pasted = text.format(KEY, KEY)
    environ = {place: pasted, "ANTHROPIC_BASE_URL": "https://gateway.example"}
    (finding,) = keys.check(patient.context(environ=environ))
    assert (finding.level, words in finding.cause, place in finding.hint) == ("fail", True, True)
    patient.write(patient.claude / "settings.json", json.dumps({"env": {place: pasted}}))
    (finding,) = keys.check(patient.context(environ={"ANTHROPIC_BASE_URL": "https://gateway.example"}))
    assert (finding.level, str(patient.claude / "settings.json") in finding.cause) == ("fail", True)
    assert KEY[-20:] not in repr(finding)


def test_a_configured_key_with_its_scheme_in_front(patient: Patient) -> None:
    """It is said once: not also that its beginning is wrong."""
    (finding,) = keys.check(patient.context(environ={}, configured_key=Secret(f"Bearer {KEY}")))
    assert (
        finding.cause == 'api_key of providers.anthropic begins with "Bearer ", which is not part of a credential'
    )


@pytest.mark.covers("E27")
def test_without_a_login_here_the_way_from_another_machine_is_told(patient: Patient) -> None:
    """The command for there and the command for here; with a login, its place."""
    (finding,) = claude_code_login.check(patient.context())
    assert "claude setup-token" in finding.cause
    assert "tokenward add anthropic:manual --setup-token" in finding.cause
    assert finding in examine(patient.context())
    patient.write(patient.context().claude_credentials, "{}")
    (finding,) = claude_code_login.check(patient.context())
    assert "setup-token" not in finding.cause


@pytest.mark.parametrize(("answer", "there"), [(Ran(0, "keychain: …"), True), (Ran(44, ""), False), (None, False)])
def test_a_login_in_the_keychain_is_one(answer: Ran | None, there: bool, patient: Patient) -> None:  # noqa: FBT001
    """On macOS it is asked for, without its secret; elsewhere nothing is run."""
    patient.commands.answer = answer
    claude_code_login.check(patient.context())
    assert patient.commands.ran == []
    words = question(KeychainItem("Claude Code-credentials", "me"))
    (finding,) = claude_code_login.check(patient.context(claude_keychain=words))
    assert patient.commands.ran == [list(words)]
    assert "-w" not in words
    assert ("Keychain" in finding.cause) is there
