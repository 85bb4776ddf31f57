"""First tokens: the authorization code with PKCE, the device code, the assertion, and where to find them."""

from urllib.parse import urlencode

import pytest

from sandbox.caller import Answer, Clock, ask, ping, post_form, post_json, redirected_with, refresh
from tokenward.sandbox import CODE_LIFE_SECONDS, DEVICE_LIFE_SECONDS, Sandbox, s256

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 appendix B
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
REDIRECT_URI = "http://127.0.0.1:1/callback"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def authorize(sandbox: Sandbox, **changed: str) -> Answer:
    """An authorization request, with parameters changed, or dropped if empty."""
    asked = {
        "response_type": "code",
        "client_id": sandbox.client_id,
        "redirect_uri": REDIRECT_URI,
        "scope": "a b",
        "state": "the state",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changed,
    }
    query = urlencode({name: value for name, value in asked.items() if value})
    return ask(sandbox, "GET", f"/authorize?{query}")


def redeem(sandbox: Sandbox, code: str, /, **changed: str) -> Answer:
    """A code exchange, with parameters changed."""
    asked = {
        "grant_type": "authorization_code",
        "code": code,
        "client_id": sandbox.client_id,
        "redirect_uri": REDIRECT_URI,
        "code_verifier": VERIFIER,
        **changed,
    }
    return post_form(sandbox, "/oauth/token", asked)


def ask_as_device(sandbox: Sandbox, device_code: str) -> Answer:
    """A device's question."""
    asked = {"grant_type": DEVICE_CODE, "device_code": device_code, "client_id": sandbox.client_id}
    return post_form(sandbox, "/oauth/token", asked)


def test_s256_is_that_of_the_rfc() -> None:
    """The example of RFC 7636 appendix B."""
    assert s256(VERIFIER) == CHALLENGE


def test_code_with_pkce(sandbox: Sandbox) -> None:
    """A code comes back with state and issuer, and brings a working login with its scope."""
    answer = authorize(sandbox)
    assert answer.status == 302
    assert answer.headers["location"].startswith(REDIRECT_URI + "?")
    assert answer.headers["cache-control"] == "no-store"
    back = redirected_with(answer)
    assert back["state"] == "the state"
    assert back["iss"] == sandbox.issuer
    granted = redeem(sandbox, back["code"])
    assert granted.json["scope"] == "a b"
    assert ping(sandbox, granted.json["access_token"]).status == 200
    assert refresh(sandbox, granted.json["refresh_token"]).status == 200
    assert sandbox.statistics().logins == 1


def test_code_exchange_as_json(sandbox: Sandbox) -> None:
    """The exchange may be JSON with more members than needed, as Claude Code sends it."""
    code = redirected_with(authorize(sandbox))["code"]
    body = {
        "grant_type": "authorization_code",
        "code": code,
        "state": "the state",
        "client_id": sandbox.client_id,
        "redirect_uri": REDIRECT_URI,
        "code_verifier": VERIFIER,
        "expires_in": 31536000,
    }
    assert post_json(sandbox, "/v1/oauth/token", body).status == 200


@pytest.mark.parametrize(
    "changed",
    [
        {"code_verifier": VERIFIER[::-1]},
        {"code_verifier": "too-short"},
        {"redirect_uri": "http://127.0.0.1:2/callback"},
    ],
)
def test_a_wrong_exchange_burns_the_code(sandbox: Sandbox, changed: dict[str, str]) -> None:
    """A wrong verifier or redirect_uri is invalid_grant, and the right one comes too late."""
    code = redirected_with(authorize(sandbox))["code"]
    assert redeem(sandbox, code, **changed).error == "invalid_grant"
    assert redeem(sandbox, code).error == "invalid_grant"
    assert sandbox.statistics().invalid_grants == 2


@pytest.mark.parametrize("missing", ["code", "redirect_uri", "code_verifier"])
def test_an_incomplete_exchange_is_invalid(sandbox: Sandbox, missing: str) -> None:
    """A missing parameter is invalid_request and burns nothing."""
    code = redirected_with(authorize(sandbox))["code"]
    assert redeem(sandbox, code, **{missing: ""}).error == "invalid_request"
    assert redeem(sandbox, code).status == 200


def test_a_code_used_twice_revokes_what_it_brought(sandbox: Sandbox) -> None:
    """RFC 6749 section 4.1.2: the second use is invalid_grant and ends the login."""
    code = redirected_with(authorize(sandbox))["code"]
    login = redeem(sandbox, code).json
    assert redeem(sandbox, code).error == "invalid_grant"
    assert ping(sandbox, login["access_token"]).status == 401


def test_a_code_expires(sandbox: Sandbox, clock: Clock) -> None:
    """Ten minutes later the code is worth nothing, and a made-up one never was."""
    code = redirected_with(authorize(sandbox))["code"]
    clock.advance(CODE_LIFE_SECONDS)
    assert redeem(sandbox, code).error == "invalid_grant"
    assert redeem(sandbox, "made up").error == "invalid_grant"


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": ""}, "invalid_request"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
    ],
)
def test_authorize_errors_go_back(sandbox: Sandbox, changed: dict[str, str], error: str) -> None:
    """Once the client is known, errors are redirected, with state and issuer and without a code."""
    back = redirected_with(authorize(sandbox, **changed))
    assert back["error"] == error
    assert back["state"] == "the state"
    assert back["iss"] == sandbox.issuer
    assert "code" not in back


@pytest.mark.parametrize(
    "changed",
    [
        {"client_id": "other"},
        {"redirect_uri": ""},
        {"redirect_uri": "https://elsewhere.example/callback"},
        {"redirect_uri": "http://127.0.0.1.elsewhere.example/"},
        {"redirect_uri": "http://user@127.0.0.1/"},
        {"redirect_uri": "http://127.0.0.1:1/#fragment"},
        {"redirect_uri": "http://127.0.0.1:1/\r\nX: y"},
        {"redirect_uri": "http://[::1/"},
    ],
)
def test_authorize_never_redirects_to_strangers(sandbox: Sandbox, changed: dict[str, str]) -> None:
    """An unknown client or address gets a page and no redirect (RFC 6749 section 4.1.2.1)."""
    answer = authorize(sandbox, **changed)
    assert answer.status == 400
    assert "location" not in answer.headers


def test_registered_redirect_uri_keeps_its_query(clock: Clock) -> None:
    """A registered address need not be loopback, and its own query survives."""
    registered = "https://app.example/back?kept=1"
    with Sandbox(clock=clock, redirect_uris=(registered,)) as sandbox:
        answer = authorize(sandbox, redirect_uri=registered, state="")
        assert answer.headers["location"].startswith(registered + "&code=")
        assert "state" not in redirected_with(answer)


def test_login_by_paste(sandbox: Sandbox) -> None:
    """The paste page shows code#state, and what it shows is escaped."""
    answer = authorize(sandbox, redirect_uri=sandbox.paste_redirect_uri, state="<s>")
    code = redirected_with(answer)["code"]
    page = ask(sandbox, "GET", answer.headers["location"].removeprefix(sandbox.base_url))
    assert f"<code>{code}#&lt;s&gt;</code>".encode() in page.body
    assert redeem(sandbox, code, redirect_uri=sandbox.paste_redirect_uri).status == 200


def test_pages_refuse_repeated_parameters(sandbox: Sandbox) -> None:
    """A parameter that comes twice is an error on the pages, too."""
    assert ask(sandbox, "GET", "/oauth/code/callback?code=1&code=2").error == "invalid_request"
    assert ask(sandbox, "GET", "/device?user_code=1&user_code=2").error == "invalid_request"


def test_device_grant(sandbox: Sandbox, clock: Clock) -> None:
    """Pending until the person consents, then a login, then used up."""
    asked = {"client_id": sandbox.client_id, "scope": "a"}
    started = post_form(sandbox, "/device_authorization", asked).json
    assert started["expires_in"] == DEVICE_LIFE_SECONDS
    assert started["interval"] == 5
    assert started["verification_uri"] == f"{sandbox.base_url}/device"
    assert started["verification_uri_complete"].endswith(started["user_code"])
    assert ask_as_device(sandbox, started["device_code"]).error == "authorization_pending"
    assert sandbox.approve_device(started["user_code"].lower().replace("-", ""))
    clock.advance(5)
    granted = ask_as_device(sandbox, started["device_code"]).json
    assert granted["scope"] == "a"
    assert ping(sandbox, granted["access_token"]).status == 200
    assert ask_as_device(sandbox, started["device_code"]).error == "invalid_grant"


def test_hasty_device_is_slowed_down(sandbox: Sandbox, clock: Clock) -> None:
    """Too early is slow_down, and from then on the interval is five seconds longer."""
    started = post_form(sandbox, "/device_authorization", {"client_id": sandbox.client_id}).json
    assert ask_as_device(sandbox, started["device_code"]).error == "authorization_pending"
    clock.advance(4)
    assert ask_as_device(sandbox, started["device_code"]).error == "slow_down"
    clock.advance(10)
    assert ask_as_device(sandbox, started["device_code"]).error == "authorization_pending"
    clock.advance(9)
    assert ask_as_device(sandbox, started["device_code"]).error == "slow_down"


def test_device_denied_and_expired(sandbox: Sandbox, clock: Clock) -> None:
    """A refusal is access_denied; a code nobody entered is expired_token."""
    fields = {"client_id": sandbox.client_id}
    denied = post_form(sandbox, "/device_authorization", fields).json
    forgotten = post_form(sandbox, "/device_authorization", fields).json
    assert sandbox.deny_device(denied["user_code"])
    assert not sandbox.approve_device(denied["user_code"])
    assert ask_as_device(sandbox, denied["device_code"]).error == "access_denied"
    clock.advance(DEVICE_LIFE_SECONDS)
    assert ask_as_device(sandbox, forgotten["device_code"]).error == "expired_token"


def test_device_needs_a_client(sandbox: Sandbox) -> None:
    """Without a known client_id there is no device code."""
    assert post_form(sandbox, "/device_authorization", {"client_id": "other"}).error == "invalid_client"


def test_visiting_the_verification_uri_is_consent(sandbox: Sandbox) -> None:
    """The page asks for a code, approves the one it is given, and knows no other."""
    started = post_form(sandbox, "/device_authorization", {"client_id": sandbox.client_id}).json
    assert b"<form>" in ask(sandbox, "GET", "/device").body
    assert ask(sandbox, "GET", "/device?user_code=XXXX-XXXX").status == 404
    assert ask(sandbox, "GET", f"/device?user_code={started['user_code']}").status == 200
    assert ask_as_device(sandbox, started["device_code"]).status == 200


@pytest.mark.parametrize("with_client", [True, False])
def test_trusted_assertion(sandbox: Sandbox, *, with_client: bool) -> None:
    """A trusted assertion brings an access token, again and again, and no refresh token."""
    sandbox.trust_assertion("header.claims.signature", subject="build")
    body = {"grant_type": JWT_BEARER, "assertion": "header.claims.signature"}
    if with_client:
        body["client_id"] = sandbox.client_id
    first, second = (post_json(sandbox, "/oauth/token", body).json for _ in range(2))
    assert "refresh_token" not in first
    assert "refresh_token_expires_in" not in first
    assert first["account"]["email_address"] == "build@sandbox.invalid"
    assert first["access_token"] != second["access_token"]
    assert ping(sandbox, first["access_token"]).status == 200


def test_unknown_assertion_or_wrong_client(sandbox: Sandbox) -> None:
    """An assertion nobody vouched for is invalid_grant; a wrong client is refused first."""
    body = {"grant_type": JWT_BEARER, "assertion": "made.up.one"}
    assert post_json(sandbox, "/oauth/token", body).error == "invalid_grant"
    assert post_json(sandbox, "/oauth/token", {**body, "client_id": "other"}).error == "invalid_client"


def test_metadata(sandbox: Sandbox) -> None:
    """RFC 8414: the issuer is the base address, and every endpoint named exists."""
    metadata = ask(sandbox, "GET", "/.well-known/oauth-authorization-server").json
    assert metadata["issuer"] == sandbox.issuer == sandbox.base_url
    assert metadata["token_endpoint"] == sandbox.token_endpoint
    assert metadata["authorization_endpoint"] == sandbox.authorization_endpoint
    assert metadata["revocation_endpoint"] == sandbox.revocation_endpoint
    assert metadata["device_authorization_endpoint"] == sandbox.device_authorization_endpoint
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    assert metadata["token_endpoint_auth_methods_supported"] == ["none"]
    assert metadata["authorization_response_iss_parameter_supported"] is True
    assert {"authorization_code", "refresh_token", DEVICE_CODE, JWT_BEARER} == set(
        metadata["grant_types_supported"]
    )
    for name, address in metadata.items():
        if name.endswith("_endpoint"):
            assert ask(sandbox, "PUT", address.removeprefix(sandbox.base_url)).status == 405


def test_openid_configuration(clock: Clock) -> None:
    """Discovery finds the same server, what OpenID asks for besides, and the ways of a confidential client."""
    with Sandbox(clock=clock, client_secret="s") as sandbox:
        metadata = ask(sandbox, "GET", "/.well-known/openid-configuration").json
        assert metadata["token_endpoint"] == sandbox.token_endpoint
        assert metadata["token_endpoint_auth_methods_supported"] == [
            "client_secret_basic",
            "client_secret_post",
        ]
        assert metadata["subject_types_supported"] == ["public"]
        keys = ask(sandbox, "GET", metadata["jwks_uri"].removeprefix(sandbox.base_url))
        assert keys.json == {"keys": []}
