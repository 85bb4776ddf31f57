"""The log, the waiting, the transport and the end of it all."""

import http.client
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox.caller import PATIENCE, Clock, ask, connect, ping, post_form, post_json, refresh
from tokenward.sandbox import HOLD_BEFORE, Fault, Sandbox, fingerprint
from tokenward.sandbox.transport import MAX_BODY_BYTES


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])  # noqa: S104 - to be refused
def test_only_loopback_is_bound(host: str) -> None:
    """Any other address is refused before a socket exists."""
    with pytest.raises(ValueError, match=r"loopback|IPv4 or IPv6"):
        Sandbox(host=host)


def test_addresses_are_known_before_the_start(clock: Clock) -> None:
    """A sandbox can be configured into others before it answers, and stopped without a start."""
    sandbox = Sandbox(clock=clock, host="localhost")
    assert sandbox.base_url.startswith("http://127.0.0.1:")
    assert sandbox.token_endpoint == f"{sandbox.base_url}/oauth/token"
    sandbox.stop()


def test_two_sandboxes_do_not_share_a_port(sandbox: Sandbox) -> None:
    """A taken port is an error, not a lottery."""
    with pytest.raises(OSError, match="in use"):
        Sandbox(port=int(sandbox.base_url.rpartition(":")[2]))


def test_stop_leaves_nothing_behind(clock: Clock) -> None:
    """Held requests, kept-alive connections and threads end with the sandbox, and the port is free."""
    before = set(threading.enumerate())
    sandbox = Sandbox(clock=clock)
    sandbox.start()
    idle = connect(sandbox)
    idle.request("HEAD", "/")
    idle.getresponse().read()
    sandbox.faults.next("token", HOLD_BEFORE)
    with ThreadPoolExecutor() as threads:
        client = threads.submit(refresh, sandbox, sandbox.issue().refresh_token)
        assert sandbox.faults.reached.wait(PATIENCE)
        sandbox.stop()
        client.exception(PATIENCE)
    idle.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
    assert set(threading.enumerate()) <= before
    with pytest.raises(ConnectionRefusedError):
        ask(sandbox, "HEAD", "/")


def test_the_log_has_no_secret(sandbox: Sandbox) -> None:
    """Credentials appear as fingerprints, whatever the header, the body or the parameter's name."""
    login = sandbox.issue()
    sandbox.register_api_key("sk-ant-api03-fake")
    refresh(sandbox, login.refresh_token, unheard_of=login.access_token)
    post_json(sandbox, "/oauth/token", {"refresh_token": login.refresh_token, "nested": [login.access_token]})
    body = {"model": "m", "messages": [{"role": "user", "content": login.access_token}], "stream": True}
    headers = {"Authorization": f"Bearer {login.access_token}", "x-api-key": "sk-ant-api03-fake"}
    post_json(sandbox, "/v1/messages", body, headers)
    ask(sandbox, "GET", f"/authorize?code_challenge={login.access_token}")
    ask(sandbox, "GET", "/", headers={"Authorization": login.access_token})
    shown = repr(sandbox.requests)
    assert "sk-ant" not in shown
    first, _, message, _, bare = sandbox.requests
    assert first.fields["refresh_token"] == fingerprint(login.refresh_token)
    assert first.fields["unheard_of"] == fingerprint(login.access_token)
    assert first.fields["grant_type"] == "refresh_token"
    assert message.headers["authorization"] == f"Bearer {fingerprint(login.access_token)}"
    assert message.headers["x-api-key"] == fingerprint("sk-ant-api03-fake")
    assert message.fields == {"model": "m", "messages": "", "stream": "true"}
    assert bare.headers["authorization"] == fingerprint(login.access_token)


def test_the_log_in_order(sandbox: Sandbox, clock: Clock) -> None:
    """Requests are there in the order of arrival, with method, path, harmless headers, time and status."""
    ask(sandbox, "HEAD", "/", headers={"User-Agent": "a test"})
    clock.advance(1)
    refresh(sandbox, "made up")
    post_form(sandbox, "/oauth/token", {"a": "1"}, {"Content-Type": "text/plain"})
    ask(sandbox, "GET", "/nowhere?x=1&x=2")
    seen = [(each.method, each.path, each.status) for each in sandbox.requests]
    assert seen == [
        ("HEAD", "/", 200),
        ("POST", "/oauth/token", 400),
        ("POST", "/oauth/token", 400),
        ("GET", "/nowhere", 404),
    ]
    assert sandbox.requests[0].headers["user-agent"] == "a test"
    assert sandbox.requests[1].at - sandbox.requests[0].at == 1
    assert sandbox.requests[3].fields == {"unreadable": "0"}


def test_waiting_for_a_request(sandbox: Sandbox) -> None:
    """The wait ends with the arrival, or if asked so with the answer, of the request waited for."""
    sandbox.faults.next("token", HOLD_BEFORE)
    with ThreadPoolExecutor() as threads:
        arrival = threads.submit(sandbox.wait_for_request, "/oauth/token", 1, PATIENCE)
        client = threads.submit(refresh, sandbox, sandbox.issue().refresh_token)
        assert arrival.result(PATIENCE)[0].status is None
        with pytest.raises(TimeoutError):
            sandbox.wait_for_request("/oauth/token", timeout=0, answered=True)
        answered = threads.submit(sandbox.wait_for_request, "/oauth/token", answered=True)
        assert sandbox.faults.reached.wait(PATIENCE)
        sandbox.faults.release()
        assert answered.result(PATIENCE)[0].status == 200
        client.result(PATIENCE)


def test_waiting_in_vain_says_what_was_seen(sandbox: Sandbox) -> None:
    """A wait that fails names the paths that were asked for instead."""
    ask(sandbox, "HEAD", "/")
    with pytest.raises(TimeoutError, match=r"0 of 2 requests for /oauth/token.*'/'"):
        sandbox.wait_for_request("/oauth/token", 2, timeout=0)


def test_connections_are_kept_alive(sandbox: Sandbox) -> None:
    """One connection serves many requests, errors and streams included."""
    login = sandbox.issue()
    connection = connect(sandbox)
    connection.connect()
    used = connection.sock
    body = b'{"model": "m", "messages": [], "stream": true}'
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {login.access_token}"}
    for path, status in (("/v1/messages", 200), ("/nowhere", 404), ("/oauth/token", 400), ("/v1/messages", 200)):
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        response.read()
        assert (response.status, connection.sock) == (status, used)
    connection.close()


def test_http_1_0_gets_a_stream_in_one_piece(sandbox: Sandbox) -> None:
    """A client that does not know chunks gets a length."""
    body = b'{"model": "m", "messages": [], "stream": true}'
    head = (
        "POST /v1/messages HTTP/1.0\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {sandbox.issue().access_token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answer = raw(sandbox, head.encode() + body)
    assert b"chunked" not in answer
    assert answer.endswith(b'event: message_stop\ndata: {"type": "message_stop"}\n\n')


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (f"POST /v1/messages HTTP/1.1\r\nContent-Length: {MAX_BODY_BYTES + 1}", 413),
        ("POST /v1/messages HTTP/1.1\r\nContent-Length: " + "9" * 5000, 413),
        ("POST /v1/messages HTTP/1.1\r\nContent-Length: -1", 400),
        ("POST /v1/messages HTTP/1.1\r\nTransfer-Encoding: chunked", 411),
        ("GET http://[ HTTP/1.1", 400),
        ("DANCE / HTTP/1.1", 501),
    ],
)
def test_unreadable_requests_are_refused(sandbox: Sandbox, lines: str, status: int) -> None:
    """A body without end, without bounds or without sense is refused unread."""
    assert raw(sandbox, f"{lines}\r\n\r\n".encode()).split()[1] == str(status).encode()
    assert sandbox.requests == ()


@pytest.mark.parametrize(
    "sent", [b"", b"POST /oauth/token HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nx"]
)
def test_clients_that_go_away_are_no_event(
    sandbox: Sandbox, sent: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """A client that leaves in the middle of a request leaves no trace, and the next one is served."""
    raw(sandbox, sent)
    assert ask(sandbox, "HEAD", "/").status == 200
    assert sandbox.requests[-1].path == "/"
    assert capfd.readouterr() == ("", "")


def test_clients_that_do_not_wait_are_no_event(sandbox: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    """A client that is gone when its answer is ready loses it, quietly; the grant stands."""
    sandbox.faults.next("token", HOLD_BEFORE)
    connection = connect(sandbox)
    fields = (
        f"grant_type=refresh_token&refresh_token={sandbox.issue().refresh_token}&client_id={sandbox.client_id}"
    )
    connection.request("POST", "/oauth/token", fields, {"Content-Type": "application/x-www-form-urlencoded"})
    assert sandbox.faults.reached.wait(PATIENCE)
    connection.close()
    sandbox.faults.release()
    sandbox.wait_for_request("/oauth/token", answered=True)
    sandbox.stop()
    assert sandbox.statistics().refreshes_granted == 1
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_done_is_shown(sandbox: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    """A mistake of the sandbox or its user closes the connection and leaves a traceback, never a wrong answer."""
    sandbox.faults.next("revoke", Fault(omit=("expires_in",)))  # the answer of a revocation is empty
    fields = {"token": "x", "client_id": sandbox.client_id}
    with pytest.raises(http.client.RemoteDisconnected):
        post_form(sandbox, "/oauth/revoke", fields)
    sandbox.stop()
    assert "JSONDecodeError" in capfd.readouterr().err


def test_many_clients_and_one_refresh_token(sandbox: Sandbox) -> None:
    """Of clients that present the same refresh token at once exactly one is granted."""
    login = sandbox.issue()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: refresh(sandbox, login.refresh_token).status, range(8)))
    assert sorted(answers) == [200] + [400] * 7
    statistics = sandbox.statistics()
    assert (statistics.token_requests, statistics.refreshes_granted) == (8, 1)
    assert statistics.reuse_detected == 1  # the first reuse revokes; the rest meet a revoked family
    assert ping(sandbox, login.access_token).status == 401


def test_ipv6_loopback(clock: Clock) -> None:
    """The other loopback address works where the machine has it."""
    try:
        sandbox = Sandbox(clock=clock, host="::1")
    except OSError:
        pytest.skip("no IPv6 here")
    with sandbox:
        assert sandbox.base_url.startswith("http://[::1]:")
        assert ask(sandbox, "HEAD", "/").status == 200


def raw(sandbox: Sandbox, sent: bytes) -> bytes:
    """Send bytes, say that there are no more, and read to the end."""
    connection = connect(sandbox)
    connection.connect()
    assert isinstance(connection.sock, socket.socket)
    connection.sock.sendall(sent)
    connection.sock.shutdown(socket.SHUT_WR)
    received = b""
    try:
        while piece := connection.sock.recv(65536):
            received += piece
    except http.client.HTTPException:
        pass
    finally:
        connection.close()
    return received
