"""Refresh, rotation, reuse and revocation, as a client sees them."""

import base64

import pytest

from sandbox.caller import Clock, ask, ping, post_form, post_json, refresh
from tokenward.sandbox import DEFAULT_SCOPE, Sandbox


def test_issue_starts_a_login_whose_token_works(sandbox: Sandbox, clock: Clock) -> None:
    """An issued login has both tokens, the times of the rules, and works at once."""
    login = sandbox.issue()
    assert login.access_token.startswith("sk-ant-oat01-")
    assert login.refresh_token.startswith("sk-ant-ort01-")
    assert login.expires_in == 20
    assert login.expires_at == clock.now + 20
    assert login.access_token not in repr(login)
    assert login.refresh_token not in repr(login)
    assert ping(sandbox, login.access_token).status == 200


def test_issue_can_shorten_one_token_only(sandbox: Sandbox) -> None:
    """`ttl_seconds` of issue() is for the first access token; a refresh grants the usual life."""
    login = sandbox.issue(ttl_seconds=3)
    assert login.expires_in == 3
    assert refresh(sandbox, login.refresh_token).json["expires_in"] == 20


@pytest.mark.parametrize("path", ["/oauth/token", "/v1/oauth/token"])
@pytest.mark.parametrize("post", [post_form, post_json])
def test_refresh_rotates(sandbox: Sandbox, path: str, post: object) -> None:
    """A refresh by form or JSON, on either path, grants a new pair that must not be cached."""
    login = sandbox.issue()
    body = {
        "grant_type": "refresh_token",
        "refresh_token": login.refresh_token,
        "client_id": sandbox.client_id,
    }
    answer = (post_form if post is post_form else post_json)(sandbox, path, body)
    assert answer.status == 200
    granted = answer.json
    assert granted["token_type"] == "Bearer"
    assert granted["expires_in"] == 20
    assert granted["scope"] == DEFAULT_SCOPE
    assert granted["refresh_token_expires_in"] == 30 * 24 * 3600
    assert granted["account"]["email_address"] == "demo@sandbox.invalid"
    assert granted["access_token"] != login.access_token
    assert granted["refresh_token"] not in ("", login.refresh_token)
    assert answer.headers["cache-control"] == "no-store"
    assert ping(sandbox, granted["access_token"]).status == 200
    assert sandbox.statistics().refreshes_granted == 1


def test_old_access_token_lives_to_its_own_end(sandbox: Sandbox, clock: Clock) -> None:
    """A refresh leaves the previous access token alone; time ends it."""
    login = sandbox.issue()
    clock.advance(10)
    renewed = refresh(sandbox, login.refresh_token).json["access_token"]
    assert ping(sandbox, login.access_token).status == 200
    clock.advance(10)
    assert sandbox.liveness(login.access_token) == "expired"
    assert ping(sandbox, login.access_token).status == 401
    assert ping(sandbox, renewed).status == 200


def test_refresh_may_kill_the_old_access_token(clock: Clock) -> None:
    """With `refresh_kills_access` only the newest access token works."""
    with Sandbox(clock=clock, refresh_kills_access=True) as sandbox:
        login = sandbox.issue()
        renewed = refresh(sandbox, login.refresh_token).json["access_token"]
        assert sandbox.liveness(login.access_token) == "revoked"
        assert sandbox.liveness(renewed) == "live"


def test_reuse_revokes_the_family(sandbox: Sandbox) -> None:
    """A spent refresh token condemns every token of its login, and no other login."""
    login, other = sandbox.issue(), sandbox.issue()
    renewed = refresh(sandbox, login.refresh_token).json
    reused = refresh(sandbox, login.refresh_token)
    assert (reused.status, reused.error) == (400, "invalid_grant")
    assert refresh(sandbox, renewed["refresh_token"]).error == "invalid_grant"
    assert ping(sandbox, renewed["access_token"]).status == 401
    assert ping(sandbox, other.access_token).status == 200
    statistics = sandbox.statistics()
    assert (statistics.reuse_detected, statistics.invalid_grants) == (1, 2)
    assert (statistics.token_requests, statistics.refreshes_granted) == (3, 1)


def test_reuse_within_the_grace_replays(clock: Clock) -> None:
    """Within `reuse_grace` the same tokens come again, with what is left of their life; past it the login ends."""
    with Sandbox(clock=clock, reuse_grace=30) as sandbox:
        login = sandbox.issue()
        first = refresh(sandbox, login.refresh_token)
        clock.advance(5)
        assert refresh(sandbox, login.refresh_token).json == {**first.json, "expires_in": 15}
        clock.advance(25)
        assert refresh(sandbox, login.refresh_token).json == {**first.json, "expires_in": 0}
        assert sandbox.statistics().grace_replays == 2
        assert sandbox.statistics().refreshes_granted == 1
        clock.advance(1)
        assert refresh(sandbox, login.refresh_token).error == "invalid_grant"
        assert sandbox.liveness(first.json["access_token"]) == "revoked"
        assert sandbox.statistics().reuse_detected == 1


def test_without_rotation_the_refresh_token_stays(clock: Clock) -> None:
    """A server that does not rotate sends no refresh token, and the old one goes on working."""
    with Sandbox(clock=clock, rotate=False) as sandbox:
        login = sandbox.issue()
        assert "refresh_token" not in refresh(sandbox, login.refresh_token).json
        assert refresh(sandbox, login.refresh_token).status == 200
        assert sandbox.statistics().reuse_detected == 0


def test_a_login_ends_however_often_it_is_refreshed(clock: Clock) -> None:
    """The end of a login is counted from the login."""
    with Sandbox(clock=clock, refresh_ttl_seconds=100) as sandbox:
        login = sandbox.issue()
        clock.advance(99)
        renewed = refresh(sandbox, login.refresh_token).json
        assert renewed["refresh_token_expires_in"] == 1
        clock.advance(1)
        ended = refresh(sandbox, renewed["refresh_token"])
        assert ended.error == "invalid_grant"
        assert ended.json["error_description"] == "Refresh token expired"


def test_a_login_without_end_names_none(clock: Clock) -> None:
    """Without `refresh_ttl_seconds` the answer has no `refresh_token_expires_in`."""
    with Sandbox(clock=clock, refresh_ttl_seconds=None) as sandbox:
        assert "refresh_token_expires_in" not in refresh(sandbox, sandbox.issue().refresh_token).json


def test_scope_narrows_but_never_widens(sandbox: Sandbox) -> None:
    """A wider scope is invalid_scope and spends nothing; a narrower one is granted."""
    login = sandbox.issue(scope="a b")
    assert refresh(sandbox, login.refresh_token, scope="a b c").error == "invalid_scope"
    assert refresh(sandbox, login.refresh_token, scope="a").json["scope"] == "a"


def test_made_up_refresh_token_is_refused(sandbox: Sandbox) -> None:
    """An unknown refresh token is invalid_grant, and not taken for reuse."""
    assert refresh(sandbox, "sk-ant-ort01-made-up").error == "invalid_grant"
    assert sandbox.statistics().reuse_detected == 0


@pytest.mark.parametrize("path", ["/oauth/revoke", "/v1/oauth/token/revoke"])
def test_revoking_a_refresh_token_takes_the_family(sandbox: Sandbox, path: str) -> None:
    """After RFC 7009 neither token of the login works."""
    login = sandbox.issue()
    revoked = post_form(sandbox, path, {"token": login.refresh_token, "client_id": sandbox.client_id})
    assert (revoked.status, revoked.body) == (200, b"")
    assert ping(sandbox, login.access_token).status == 401
    assert refresh(sandbox, login.refresh_token).error == "invalid_grant"
    assert sandbox.statistics().revocations == 1


def test_revoking_an_access_token_leaves_the_login(sandbox: Sandbox) -> None:
    """An access token is revoked alone."""
    login = sandbox.issue()
    body = {"token": login.access_token, "client_id": sandbox.client_id}
    assert post_json(sandbox, "/oauth/revoke", body).status == 200
    assert sandbox.liveness(login.access_token) == "revoked"
    assert refresh(sandbox, login.refresh_token).status == 200


def test_revoking_the_unknown_succeeds(sandbox: Sandbox) -> None:
    """RFC 7009 section 2.2: an unknown token is already as good as revoked."""
    body = {"token": "nobody's", "client_id": sandbox.client_id}
    assert post_form(sandbox, "/oauth/revoke", body).status == 200
    assert sandbox.statistics().revocations == 0


def test_revoke_needs_token_and_client(sandbox: Sandbox) -> None:
    """Without a token it is invalid_request, without the client invalid_client."""
    assert post_form(sandbox, "/oauth/revoke", {"client_id": sandbox.client_id}).error == "invalid_request"
    stranger = post_form(sandbox, "/oauth/revoke", {"token": "x"})
    assert (stranger.status, stranger.error) == (401, "invalid_client")


def test_the_server_side_may_revoke(sandbox: Sandbox) -> None:
    """`revoke` acts as a person who signs out elsewhere, and says what it knew."""
    login = sandbox.issue()
    sandbox.register_api_key("sk-ant-api03-x")
    assert sandbox.revoke(login.access_token)
    assert sandbox.revoke("sk-ant-api03-x")
    assert not sandbox.revoke("sk-ant-api03-x")
    assert ping(sandbox, "sk-ant-api03-x").status == 401


def test_wrong_client_is_refused(sandbox: Sandbox) -> None:
    """Another client_id, or none, is invalid_client, and the refresh token stays unspent."""
    login = sandbox.issue()
    assert refresh(sandbox, login.refresh_token, client_id="other").error == "invalid_client"
    anonymous = {"grant_type": "refresh_token", "refresh_token": login.refresh_token}
    assert post_form(sandbox, "/oauth/token", anonymous).status == 401
    assert refresh(sandbox, login.refresh_token, client_secret="guess").error == "invalid_client"
    assert refresh(sandbox, login.refresh_token).status == 200


def test_client_secret_by_header_or_body(clock: Clock) -> None:
    """A confidential client proves itself by Basic or in the body, never both, never wrongly."""
    with Sandbox(clock=clock, client_id="with space", client_secret="s:e+c") as sandbox:
        token = sandbox.issue().refresh_token
        fields = {"grant_type": "refresh_token", "refresh_token": token}
        good = {"Authorization": "Basic " + base64.b64encode(b"with+space:s%3Ae%2Bc").decode()}
        bad = {"Authorization": "Basic " + base64.b64encode(b"with+space:guess").decode()}
        refused = post_form(sandbox, "/oauth/token", fields, bad)
        assert (refused.status, refused.error) == (401, "invalid_client")
        assert refused.headers["www-authenticate"].startswith("Basic")
        both = post_form(sandbox, "/oauth/token", {**fields, "client_secret": "s:e+c"}, good)
        assert both.error == "invalid_request"
        assert post_form(sandbox, "/oauth/token", fields, {"Authorization": "Basic ?"}).status == 401
        assert refresh(sandbox, token).status == 401
        token = post_form(sandbox, "/oauth/token", fields, good).json["refresh_token"]
        assert refresh(sandbox, token, client_secret="s:e+c").status == 200


def test_broken_requests_are_invalid(sandbox: Sandbox) -> None:
    """RFC 6749 section 3.2 and 5.2: what cannot be read is invalid_request, an unknown grant says so."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    twice = "grant_type=refresh_token&grant_type=refresh_token"
    assert ask(sandbox, "POST", "/oauth/token", twice, form).error == "invalid_request"
    assert ask(sandbox, "POST", "/oauth/token", b"\xff=1", form).error == "invalid_request"
    assert ask(sandbox, "POST", "/oauth/token", "x", {"Content-Type": "text/plain"}).error == "invalid_request"
    for body in ("{", "[]"):
        wrong = ask(sandbox, "POST", "/oauth/token", body, {"Content-Type": "application/json"})
        assert (wrong.status, wrong.error) == (400, "invalid_request")
        assert wrong.headers["cache-control"] == "no-store"
    assert post_form(sandbox, "/oauth/token", {"client_id": sandbox.client_id}).error == "invalid_request"
    assert refresh(sandbox, "").error == "invalid_request"
    assert refresh(sandbox, "x", grant_type="password").error == "unsupported_grant_type"


def test_the_token_endpoint_is_for_post(sandbox: Sandbox) -> None:
    """Any other method is 405 and names POST."""
    answer = ask(sandbox, "GET", "/oauth/token")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert sandbox.statistics().token_requests == 0
