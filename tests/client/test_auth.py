"""What holds for a request with `TokenwardAuth`, whichever HTTP client makes it."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import httpx2
import pytest
import requests

from client.fake_api import FakeApi, Reply, Seen
from client.fake_daemon import TOKEN, FakeDaemon, Json, Refusal
from client.http_callers import CALLERS, NO_TLS, Asked, Caller
from tokenward.client import Token
from tokenward.client._held_token import HeldToken
from tokenward.client.auth import TokenwardAuth
from tokenward.errors import ConfigurationFault, DaemonUnreachable, LoginRequired

RENEWED = "abcdefabcdef"
LIMITS = {"anthropic-ratelimit-requests-remaining": "7", "retry-after": "3", "set-cookie": "private"}


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """An API that takes everything."""
    with FakeApi() as running:
        yield running


@pytest.fixture(params=CALLERS.values(), ids=list(CALLERS))
def call(request: pytest.FixtureRequest) -> Caller:
    """One HTTP client."""
    caller: Caller = request.param
    return caller


def serve(daemon: FakeDaemon, api: FakeApi, **members: Any) -> None:
    """Have the daemon serve a token for the API: one at first, and another to whoever was refused that."""
    token = {**TOKEN, "base_url": api.url, **members}

    def answer(params: Json) -> Json:
        if "newer_than" not in params:
            return token
        return {
            **token,
            "token": "sk-new",
            "generation": RENEWED,
            "headers": {name: value.replace(token["token"], "sk-new") for name, value in token["headers"].items()},
        }

    daemon.answers["token.get"] = answer
    daemon.answers["token.report"] = lambda _: {}


def bearer(token: str = "at-1") -> Json:
    """The members of an OAuth token."""
    return {
        "token": token,
        "kind": "oauth",
        "headers": {
            "authorization": f"Bearer {token}",
            "anthropic-beta": "oauth-2025-04-20",
            "anthropic-version": "2023-06-01",
        },
    }


def refusing_once(seen: Seen) -> Reply:
    """An API that knows only the new token."""
    if "sk-new" in seen.headers.get("x-api-key", seen.headers.get("authorization", "")):
        return Reply.of({"ok": True})
    error = {"type": "authentication_error", "message": "invalid x-api-key sk-ant-api03-fake", "more": "private"}
    return Reply.of({"type": "error", "error": error, "request_id": "r"}, 401, **{"set-cookie": "private"})


def reports(daemon: FakeDaemon, count: int = 1) -> list[Json]:
    """The reports, once there are so many."""
    daemon.wait_for(lambda: daemon.methods().count("token.report") >= count)
    return [each for each in daemon.requests if each["method"] == "token.report"]


def test_the_token_is_on_every_request_and_asked_for_once(daemon: FakeDaemon, api: FakeApi, call: Caller) -> None:
    """The daemon's headers arrive; the second request asks nobody."""
    serve(daemon, api)
    auth = TokenwardAuth(provider="anthropic", min_valid=120)
    for _ in range(2):
        assert call(auth, Asked(api.url, body=b"hello")).status == 200
    auth.close()
    assert [each.headers["x-api-key"] for each in api.seen] == [TOKEN["token"]] * 2
    assert api.seen[0].headers["anthropic-version"] == "2023-06-01"
    assert api.seen[0].body == b"hello"
    assert daemon.methods() == ["token.get"]
    assert daemon.params("token.get") == {"provider": "anthropic", "min_valid": 120, "timeout": 30.0}


def test_headers_of_the_program_stay(daemon: FakeDaemon, api: FakeApi, call: Caller) -> None:
    """Betas are joined without doubles, a version is kept; another credential is replaced by the token."""
    serve(daemon, api, **bearer())
    mine = {
        "anthropic-beta": "extended-cache-ttl-2025-04-11, oauth-2025-04-20",
        "anthropic-version": "2099-01-01",
        "x-api-key": "placeholder",
        "x-mine": "1",
    }
    auth = TokenwardAuth()
    call(auth, Asked(api.url, mine))
    auth.close()
    seen = api.seen[0].headers
    assert seen["authorization"] == "Bearer at-1"
    assert "x-api-key" not in seen
    assert seen["anthropic-beta"] == "extended-cache-ttl-2025-04-11,oauth-2025-04-20"
    assert (seen["anthropic-version"], seen["x-mine"]) == ("2099-01-01", "1")


@pytest.mark.parametrize("stream", [False, True], ids=["read", "stream"])
def test_a_refused_token_is_reported_replaced_and_the_request_sent_once_more(
    daemon: FakeDaemon, api: FakeApi, call: Caller, *, stream: bool
) -> None:
    """The program sees the second answer only; the daemon hears of the first, and nothing private."""
    serve(daemon, api)
    api.answer = refusing_once
    auth = TokenwardAuth(agent="bot")
    answered = call(auth, Asked(api.url, body=b"hello", stream=stream))
    assert (answered.status, json.loads(answered.body)) == (200, {"ok": True})
    assert [each.body for each in api.seen] == [b"hello"] * 2
    assert call(auth, Asked(api.url)).status == 200
    [report] = reports(daemon)
    auth.close()
    assert "id" not in report
    params = report["params"]
    assert (params["profile"], params["agent"], params["status"]) == ("anthropic:work", "bot", 401)
    assert params["generation"] == TOKEN["generation"]
    if not (stream and call is CALLERS["requests"]):
        told = {"type": "authentication_error", "message": "invalid x-api-key [token]"}
        assert params["error"] == {"error": told}
    assert "private" not in str(params)
    gets = [each["params"].get("newer_than") for each in daemon.requests if each["method"] == "token.get"]
    assert gets == [None, TOKEN["generation"]]


def test_whoever_begins_while_a_refused_token_is_replaced_asks_nothing(
    daemon: FakeDaemon, api: FakeApi, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refused caller asks for another by name; a second question would only fetch the refused one again."""
    serve(daemon, api)
    api.answer = refusing_once
    auth = TokenwardAuth()
    at_hand: list[str] = []
    newer_than = HeldToken.newer_than

    def noted(held: HeldToken, refused: str) -> Token:
        settled = held.settled()
        at_hand.append("nothing" if settled is None else settled.generation)
        return newer_than(held, refused)

    monkeypatch.setattr(HeldToken, "newer_than", noted)
    assert call(auth, Asked(api.url)).status == 200
    auth.close()
    assert at_hand == [TOKEN["generation"]]


def test_a_second_refusal_is_the_answer(daemon: FakeDaemon, api: FakeApi, call: Caller) -> None:
    """There is one retry, and both refusals are reported."""
    serve(daemon, api)
    api.answer = lambda _: Reply.of({}, 401)
    auth = TokenwardAuth()
    assert call(auth, Asked(api.url)).status == 401
    assert [each["params"]["generation"] for each in reports(daemon, 2)] == [TOKEN["generation"], RENEWED]
    auth.close()
    assert len(api.seen) == 2


def test_without_a_newer_token_the_refusal_is_the_answer(daemon: FakeDaemon, api: FakeApi, call: Caller) -> None:
    """The program gets the API's 401, body and all, and no error of ours; the refused token is not used again."""
    serve(daemon, api)
    api.answer = refusing_once
    usual = daemon.answers["token.get"]

    def answer(params: Json) -> Json:
        if "newer_than" in params:
            raise Refusal("LoginRequired", "log in")
        return usual(params)

    daemon.answers["token.get"] = answer
    auth = TokenwardAuth()
    answered = call(auth, Asked(api.url, stream=True))
    assert answered.status == 401
    assert json.loads(answered.body)["request_id"] == "r"
    call(auth, Asked(api.url))
    auth.close()
    assert daemon.methods().count("token.get") == 4


def test_a_body_that_is_gone_is_not_sent_again(daemon: FakeDaemon, api: FakeApi, call: Caller) -> None:
    """A generator was consumed by the first attempt: its 401 is the answer, and the report goes out."""
    serve(daemon, api)
    api.answer = refusing_once
    auth = TokenwardAuth()
    answered = call(auth, Asked(api.url, body=iter([b"a", b"b"])))
    assert (answered.status, [each.body for each in api.seen]) == (401, [b"ab"])
    assert reports(daemon)[0]["params"]["status"] == 401
    auth.close()


def test_a_file_is_rewound_by_requests(daemon: FakeDaemon, api: FakeApi) -> None:
    """A file is sent again from where it stood."""
    serve(daemon, api)
    api.answer = refusing_once
    auth = TokenwardAuth()
    body = io.BytesIO(b"--hello")
    body.seek(2)
    assert requests.post(api.url, data=body, auth=auth, timeout=20).status_code == 200
    auth.close()
    assert [each.body for each in api.seen] == [b"hello"] * 2


@pytest.mark.parametrize("status", [400, 402, 403, 429, 500, 529])
def test_trouble_is_reported_and_not_retried(daemon: FakeDaemon, api: FakeApi, call: Caller, status: int) -> None:
    """Status, type, message and rate-limit headers go to the daemon; the program gets the answer as it is."""
    serve(daemon, api)
    document = {"type": "error", "error": {"type": "some_error", "message": "credit balance too low"}}
    api.answer = lambda _: Reply.of(document, status, **LIMITS)
    auth = TokenwardAuth()
    answered = call(auth, Asked(api.url))
    assert (answered.status, json.loads(answered.body)) == (status, document)
    [report] = reports(daemon)
    auth.close()
    assert report["params"] == {
        "profile": "anthropic:work",
        "generation": TOKEN["generation"],
        "status": status,
        "error": {"error": document["error"]},
        "headers": {"anthropic-ratelimit-requests-remaining": "7", "retry-after": "3"},
    }
    assert len(api.seen) == 1


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_model_that_is_not_there_is_reported(
    daemon: FakeDaemon, api: FakeApi, call: Caller, encoding: str
) -> None:
    """The model of the request and the error arrive, however the error was sent; the program gets the 404."""
    serve(daemon, api)
    document = {"type": "error", "error": {"type": "not_found_error", "message": "model: claude-opus-9"}}
    body = json.dumps(document).encode()
    sent = gzip.compress(body) if encoding == "gzip" else body
    named = {"content-type": "application/json", "content-encoding": encoding}
    api.answer = lambda _: Reply(404, sent, named)
    auth = TokenwardAuth()
    answered = call(auth, Asked(api.url, body=b'{"model": "claude-opus-9"}'))
    assert (answered.status, json.loads(answered.body)) == (404, document)
    [report] = reports(daemon)
    auth.close()
    assert report["params"] == {
        "profile": "anthropic:work",
        "generation": TOKEN["generation"],
        "status": 404,
        "error": {"error": document["error"]},
        "model": "claude-opus-9",
    }
    assert len(api.seen) == 1


def test_behind_a_redirect_the_model_is_still_known(daemon: FakeDaemon, api: FakeApi, call: Caller) -> None:
    """The request that was led elsewhere within the origin holds the same body."""
    serve(daemon, api)

    def answer(seen: Seen) -> Reply:
        if seen.path != "/there":
            return Reply(307, headers={"location": "/there"})
        error = {"error": {"type": "model_not_found", "message": "no such model"}}
        return Reply.of(error, 404 if "x-api-key" in seen.headers else 401)

    api.answer = answer
    auth = TokenwardAuth()
    assert call(auth, Asked(api.url, body=b'{"model": "m"}')).status == 404
    assert reports(daemon)[0]["params"]["model"] == "m"
    auth.close()


def test_a_missing_page_is_not_reported(daemon: FakeDaemon, api: FakeApi, call: Caller) -> None:
    """A 404 to a request that names no model is the program's own, even with an error in JSON."""
    serve(daemon, api)
    api.answer = lambda seen: Reply.of({"error": {"type": "t", "message": "m"}}, 500 if seen.body == b"!" else 404)
    auth = TokenwardAuth()
    call(auth, Asked(api.url, body=b"hello"))
    call(auth, Asked(api.url, body=iter([b'{"model": "m"}'])))
    call(auth, Asked(api.url, body=b"!"))
    assert [each["params"]["status"] for each in reports(daemon)] == [500]
    auth.close()


def test_after_trouble_the_daemon_is_asked_again(daemon: FakeDaemon, api: FakeApi, call: Caller) -> None:
    """It may have another profile by then; who asks for a model has it named in the question and the report."""
    serve(daemon, api)
    statuses = iter([429, 200, 200])
    api.answer = lambda _: Reply.of({}, next(statuses))
    auth = TokenwardAuth(model="opus")
    assert [call(auth, Asked(api.url)).status for _ in range(3)] == [429, 200, 200]
    [report] = reports(daemon)
    auth.close()
    assert report["params"]["model"] == "opus"
    gets = [each["params"] for each in daemon.requests if each["method"] == "token.get"]
    assert [each["model"] for each in gets] == ["opus"] * 2


def test_an_error_body_of_unknown_or_great_length_is_not_read(
    daemon: FakeDaemon, api: FakeApi, call: Caller
) -> None:
    """Only the status is told, and the body is all there for the program."""
    serve(daemon, api)
    api.answer = lambda _: Reply.of({"error": {"type": "t", "message": "x" * 100_000}}, 500)
    auth = TokenwardAuth()
    assert len(call(auth, Asked(api.url, stream=True)).body) > 100_000
    assert "error" not in reports(daemon)[0]["params"]
    auth.close()


def test_usage_is_told_once_in_a_while(daemon: FakeDaemon, api: FakeApi, call: Caller) -> None:
    """Of many good answers one passes on its rate-limit headers; without such headers none does."""
    serve(daemon, api)
    auth = TokenwardAuth()
    call(auth, Asked(api.url))
    api.answer = lambda _: Reply.of({}, 200, **LIMITS)
    for _ in range(3):
        call(auth, Asked(api.url))
    api.answer = lambda _: Reply.of({}, 500)
    call(auth, Asked(api.url))
    assert [each["params"]["status"] for each in reports(daemon, 2)] == [200, 500]
    auth.close()


@pytest.mark.parametrize("kind", ["api_key", "oauth"])
@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_to_another_origin_does_not_carry_the_token(
    daemon: FakeDaemon, api: FakeApi, call: Caller, kind: str, status: int
) -> None:
    """Neither `Authorization` nor `x-api-key` arrives there, and what happens there is not reported."""
    serve(daemon, api, **(bearer() if kind == "oauth" else {}))
    with FakeApi(lambda _: Reply.of({}, 401)) as elsewhere:
        api.answer = lambda _: Reply(status, headers={"location": f"{elsewhere.url}/there"})
        auth = TokenwardAuth()
        assert call(auth, Asked(api.url, body=b"hello")).status == 401
        auth.close()
    [there] = elsewhere.seen
    assert not {"authorization", "x-api-key"} & set(there.headers)
    assert TOKEN["token"] not in str(there) + str(there.headers)
    assert daemon.methods() == ["token.get"]


@pytest.mark.parametrize("kind", ["api_key", "oauth"])
def test_a_redirect_within_the_origin_carries_the_token(
    daemon: FakeDaemon, api: FakeApi, call: Caller, kind: str
) -> None:
    """The answer behind a redirect is the one that the program gets."""
    serve(daemon, api, **(bearer() if kind == "oauth" else {}))

    def answer(seen: Seen) -> Reply:
        if seen.path != "/there":
            return Reply(307, headers={"location": "/there"})
        known = {seen.headers.get("x-api-key"), seen.headers.get("authorization")}
        return Reply.of({}, 200 if {TOKEN["token"], "Bearer at-1"} & known else 401)

    api.answer = answer
    auth = TokenwardAuth()
    assert call(auth, Asked(api.url, body=b"hello")).status == 200
    auth.close()
    assert api.seen[-1].body == b"hello"
    assert daemon.methods() == ["token.get"]


def test_a_redirect_after_a_refusal_obeys_the_same_rules(daemon: FakeDaemon, api: FakeApi, call: Caller) -> None:
    """Sent again, a request that is then led to another origin carries neither the old token nor the new one."""
    serve(daemon, api)
    with FakeApi(lambda _: Reply.of({})) as elsewhere:

        def answer(seen: Seen) -> Reply:
            refused = refusing_once(seen)
            return refused if refused.status == 401 else Reply(307, headers={"location": elsewhere.url})

        api.answer = answer
        auth = TokenwardAuth()
        assert call(auth, Asked(api.url, body=b"hello")).status == 200
        auth.close()
    assert len(api.seen) == 2
    assert not {"authorization", "x-api-key"} & set(elsewhere.seen[0].headers)


def test_requests_follows_a_redirect_with_the_new_token_and_retries_once(daemon: FakeDaemon, api: FakeApi) -> None:
    """A second refusal, behind a redirect, is the answer; the token that arrived there was the new one."""
    serve(daemon, api)

    def answer(seen: Seen) -> Reply:
        if seen.path == "/there" or refusing_once(seen).status == 401:
            return Reply.of({}, 401)
        return Reply(307, headers={"location": "/there"})

    api.answer = answer
    auth = TokenwardAuth()
    assert CALLERS["requests"](auth, Asked(api.url)).status == 401
    auth.close()
    assert [each.path for each in api.seen] == ["/", "/", "/there"]
    assert api.seen[-1].headers["x-api-key"] == "sk-new"
    assert daemon.methods().count("token.get") == 2


def test_another_address_is_refused_before_anything_is_sent(
    daemon: FakeDaemon, api: FakeApi, call: Caller
) -> None:
    """The error names the origin and how to allow it; allowed, it works."""
    serve(daemon, api, base_url="https://api.anthropic.com")
    auth = TokenwardAuth()
    with pytest.raises(ConfigurationFault, match=r"is not sent to http://127\.0\.0\.1") as caught:
        call(auth, Asked(api.url))
    assert api.url in caught.value.hint
    assert api.seen == []
    auth.close()
    allowed = TokenwardAuth(origins=[api.url + "/v1"])
    assert call(allowed, Asked(api.url)).status == 200
    allowed.close()


def test_a_token_without_a_base_url_goes_only_where_the_program_says(daemon: FakeDaemon, api: FakeApi) -> None:
    """Where nobody said where a token may go, it goes nowhere."""
    serve(daemon, api, base_url=None)
    auth = TokenwardAuth()
    with pytest.raises(ConfigurationFault, match="no base_url is known"):
        CALLERS["httpx"](auth, Asked(api.url))
    auth.close()


@pytest.mark.parametrize(
    "origin", ["http://api.example.com", "api.example.com", "ftp://x", "https://", "http://[::"]
)
def test_an_origin_in_the_clear_is_refused(daemon: FakeDaemon, origin: str) -> None:
    """What is no origin, or neither https nor on loopback, is a fault of the call."""
    with pytest.raises(ConfigurationFault):
        TokenwardAuth(origins=[origin])


@pytest.mark.parametrize("origin", ["https://api.example.com:8443", "http://localhost:1", "http://[::1]:1"])
def test_https_and_loopback_are_origins(daemon: FakeDaemon, origin: str) -> None:
    """These may be named."""
    TokenwardAuth(origins=[origin]).close()


def test_a_daemon_that_is_away_is_no_reason_to_stop(daemon: FakeDaemon, api: FakeApi, call: Caller) -> None:
    """With the daemon gone, the token it gave is used on; reports are dropped, and the answers arrive."""
    serve(daemon, api, valid_for=3600.0)
    api.answer = lambda _: Reply.of({}, 500)
    auth = TokenwardAuth()
    call(auth, Asked(api.url))
    daemon.close()
    auth._held._clock = lambda: 4_000_000_000.0
    auth._held._held = None if auth._held._held is None else aged(auth)
    assert call(auth, Asked(api.url)).status == 500
    auth.close()
    assert api.seen[-1].headers["x-api-key"] == TOKEN["token"]


def aged(auth: TokenwardAuth) -> Any:
    """What is held, as if asked for two minutes before the clock's present, with an hour to live."""
    held = auth._held._held
    assert held is not None
    now = auth._held._clock()
    return replace(held, since=now - 120, until=now - 60, ends=now + 3600)


def test_without_a_daemon_from_the_start_the_error_is_ours(daemon: FakeDaemon, api: FakeApi, call: Caller) -> None:
    """No token, no request: the error says how to start a daemon."""
    daemon.close()
    auth = TokenwardAuth()
    with pytest.raises(DaemonUnreachable, match="no daemon answers"):
        call(auth, Asked(api.url))
    assert api.seen == []


def test_a_login_that_is_needed_is_raised(daemon: FakeDaemon, api: FakeApi, call: Caller) -> None:
    """Nothing is sent without a token."""

    def refuse(_: Json) -> Json:
        raise Refusal("LoginRequired", "log in")

    daemon.answers["token.get"] = refuse
    auth = TokenwardAuth()
    with pytest.raises(LoginRequired):
        call(auth, Asked(api.url))
    auth.close()
    assert api.seen == []


def test_many_threads_share_one_question_and_one_replacement(daemon: FakeDaemon, api: FakeApi) -> None:
    """Sixteen threads ask the daemon once, and once again after all were refused."""
    serve(daemon, api)
    api.answer = refusing_once
    auth = TokenwardAuth()
    statuses: list[int] = []

    def work() -> None:
        with httpx.Client(auth=auth, trust_env=False, verify=NO_TLS) as client:
            statuses.extend(client.get(api.url).status_code for _ in range(4))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    auth.close()
    assert statuses == [200] * 64
    assert daemon.methods().count("token.get") == 2


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_the_token_is_seen_on_the_request_and_not_in_its_repr(
    daemon: FakeDaemon, api: FakeApi, library: Any
) -> None:
    """Whoever asks a header by name gets it, as transports of others do; a log of all headers has no key."""
    serve(daemon, api)
    auth = TokenwardAuth()
    with library.Client(auth=auth, trust_env=False, verify=NO_TLS) as client:
        headers = client.get(api.url).request.headers
    auth.close()
    assert headers["X-Api-Key"] == headers.get("x-api-key") == TOKEN["token"]
    assert "x-api-key" in headers
    assert headers.get_list("x-api-key") == [TOKEN["token"]]
    names = {name for name, _ in headers.multi_items()}
    assert names == set(headers.keys()) == set(dict(headers.items())) == set(headers)
    assert len(headers) == len(headers.raw) == len(headers.values())
    assert (b"x-api-key", TOKEN["token"].encode()) in [(name.lower(), value) for name, value in headers.raw]
    assert TOKEN["token"] not in repr(headers)
    assert "x-api-key" not in headers.copy()
    headers["x-api-key"] = "other"
    assert headers["x-api-key"] == "other"
    del headers["x-api-key"]
    assert "x-api-key" not in headers


async def test_many_tasks_share_one_question_and_one_replacement(daemon: FakeDaemon, api: FakeApi) -> None:
    """Eight tasks of an event loop ask the daemon once, and once again after all were refused."""
    serve(daemon, api)
    api.answer = refusing_once
    auth = TokenwardAuth()
    async with httpx.AsyncClient(auth=auth, trust_env=False, verify=NO_TLS) as client:
        answers = await asyncio.gather(*(client.get(api.url) for _ in range(8)))
    auth.close()
    assert [each.status_code for each in answers] == [200] * 8
    assert daemon.methods().count("token.get") == 2
