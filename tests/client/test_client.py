"""The client as a program sees it: calls, errors, and what a lost connection costs."""

import doctest
import gc
import os
import socket
import subprocess
import sys
import threading
import warnings
from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import BaseModel

import tokenward.client
from client import fake_daemon
from client.fake_daemon import GENERATION, TOKEN, FakeDaemon, Hang, HangUp, Json, Refusal
from tokenward import errors
from tokenward.client import (
    Client,
    Event,
    Hello,
    LastFailure,
    Profile,
    Reload,
    Report,
    Status,
    Token,
    _socket_place,
)
from tokenward.daemon import daemon_models, event_models, profile_models, token_models


def test_the_example_in_the_docstring_works(daemon: FakeDaemon) -> None:
    """What the package's docstring shows is what happens."""
    outcome = doctest.testmod(tokenward.client, optionflags=doctest.ELLIPSIS)
    assert outcome.attempted >= 4
    assert outcome.failed == 0
    assert daemon.params("token.get")["min_valid"] == 120


def test_importing_the_client_loads_nothing_but_the_standard_library() -> None:
    """A program that uses the client does not pay for the daemon's libraries."""
    code = "import sys, tokenward.client.aio; print(*{name.partition('.')[0] for name in sys.modules})"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment()
    )
    foreign = set(ran.stdout.split()) - set(sys.stdlib_module_names) - {"tokenward", "__main__"}
    # What a .pth file of the environment loads into every process is not of our doing.
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*{name.partition('.')[0] for name in sys.modules})"],
        capture_output=True,
        text=True,
        check=True,
        env=_environment(),
    )
    assert foreign - set(bare.stdout.split()) == set()


@pytest.mark.parametrize(
    ("shape", "model"),
    [
        (Hello, daemon_models.HelloResult),
        (Report, token_models.ReportResult),
        (LastFailure, profile_models.LastFailure),
        (Profile, profile_models.ProfileResult),
        (Status, daemon_models.DaemonStatusResult),
        (Reload, daemon_models.ReloadResult),
    ],
)
def test_the_shapes_of_answers_are_those_of_the_daemon(shape: type, model: type[BaseModel]) -> None:
    """No member of the daemon's models is missing from the client's types, and none is invented."""
    assert set(shape.__annotations__) == set(model.model_fields)


@pytest.mark.parametrize(("shape", "model"), [(Token, token_models.TokenResult), (Event, event_models.Event)])
def test_the_dataclasses_are_those_of_the_daemon(shape: type[Token | Event], model: type[BaseModel]) -> None:
    """Token and Event have the members of the daemon's models."""
    assert {member.name for member in fields(shape)} == set(model.model_fields)


def test_a_token_has_its_members_and_ignores_unknown_ones(daemon: FakeDaemon) -> None:
    """An answer of a newer daemon, with members that this client does not know, is a token all the same."""
    daemon.answers["token.get"] = lambda _: {**TOKEN, "moon_phase": "full"}
    with Client() as client:
        token = client.token()
    assert token.token == "sk-ant-api03-fake"
    assert token.headers == TOKEN["headers"]
    assert token.generation == GENERATION


def test_a_token_does_not_show_itself(daemon: FakeDaemon) -> None:
    """Neither repr nor str holds the token, the one inside the headers included."""
    with Client() as client:
        token = client.token()
    assert "fake" not in f"{token!r} {token}"


def test_a_token_without_a_member_is_a_clear_error(daemon: FakeDaemon) -> None:
    """An answer of a daemon too old or too new names the member and not its content."""
    daemon.answers["token.get"] = lambda _: {"token": "sk-ant-api03-fake"}
    with Client() as client, pytest.raises(errors.TokenwardError, match="no member 'kind'"):
        client.token()


def test_only_what_was_wished_for_is_sent(daemon: FakeDaemon) -> None:
    """Absent wishes are absent from the params, so that the daemon's defaults hold."""
    with Client(timeout=7) as client:
        client.token(provider="anthropic", kinds=("api_key",), newer_than=GENERATION)
        assert daemon.params("token.get") == {
            "provider": "anthropic",
            "kinds": ["api_key"],
            "newer_than": GENERATION,
            "timeout": 7,
        }
        token = client.token(model="opus", betas=("x-1",))
    assert daemon.params("token.get") == {"model": "opus", "betas": ["x-1"], "timeout": 7}
    assert (token.model, token.model_note) == (TOKEN["model"], None)


def test_every_method_asks_for_what_its_name_says(daemon: FakeDaemon) -> None:
    """Each typed method is one request of the protocol, with the protocol's members."""
    answer = fake_daemon.profile()
    for method in ("profile.get", "profile.add", "profile.forget", "profile.refresh"):
        daemon.answers[method] = lambda _: answer
    daemon.answers["profile.list"] = lambda _: {"profiles": [answer]}
    daemon.answers["token.report"] = lambda _: {"failure": "auth", "action": "retry", "retry_after": None}
    daemon.answers["daemon.status"] = lambda _: fake_daemon.status(answer)
    daemon.answers["daemon.reload"] = lambda _: {"reloaded": True, "error": None}
    daemon.answers["daemon.stop"] = lambda _: {"stopping": True}
    with Client() as client:
        assert client.hello("test/1")["pid"] == 4711
        assert client.report("anthropic:work", GENERATION, status=401)["action"] == "retry"
        assert client.profiles(provider="anthropic")[0]["profile"] == "anthropic:work"
        assert client.profile("anthropic:work")["kind"] == "api_key"
        client.add("acme:me", access_token="at", refresh_token="rt", expires_in=60)
        client.forget("acme:me")
        client.refresh("acme:me")
        assert client.status()["profiles"] == [answer]
        assert client.reload()["reloaded"]
        client.stop()
    assert daemon.methods() == [
        "daemon.hello", "token.report", "profile.list", "profile.get", "profile.add", "profile.forget",
        "profile.refresh", "daemon.status", "daemon.reload", "daemon.stop",
    ]  # fmt: skip
    assert daemon.params("profile.add") == {
        "profile": "acme:me",
        "kind": "oauth",
        "credential": {"access_token": "at", "refresh_token": "rt", "expires_in": 60},
    }
    assert daemon.accepted == 1


@pytest.mark.parametrize("name", sorted(errors.by_name()))
def test_an_error_is_raised_as_the_leaf_that_the_daemon_raised(daemon: FakeDaemon, name: str) -> None:
    """Type, cause, hint, class and details arrive."""

    def refuse(_: Json) -> Json:
        raise Refusal(name, "no luck", retry_after=3)

    daemon.answers["token.get"] = refuse
    with Client() as client, pytest.raises(errors.TokenwardError) as caught:
        client.token()
    assert type(caught.value).__name__ == name
    assert (caught.value.cause, caught.value.hint) == ("no luck", "do this")
    assert caught.value.error_class == "ProviderError"
    assert caught.value.details == {"retry_after": 3}


def test_an_unknown_error_is_plain_and_keeps_its_code(daemon: FakeDaemon) -> None:
    """A type of a newer daemon is still an error of ours, and its code can be read."""

    def refuse(_: Json) -> Json:
        raise Refusal("OfANewerDaemon", code=-32099, cause="a member with an awkward name")

    daemon.answers["token.get"] = refuse
    with Client() as client, pytest.raises(errors.TokenwardError) as caught:
        client.token()
    assert type(caught.value) is errors.TokenwardError
    assert caught.value.code == -32099
    assert errors.TokenwardError.code == -32000


def test_an_error_without_data_is_known_by_its_code(daemon: FakeDaemon) -> None:
    """A bare JSON-RPC error of the dispatcher becomes its leaf."""

    def refuse(_: Json) -> Json:
        raise Refusal(None, "Method not found", code=-32601)

    daemon.answers["no.such"] = refuse
    with Client() as client, pytest.raises(errors.MethodNotFound, match="Method not found"):
        client.call("no.such")


def test_without_a_daemon_the_hint_says_how_to_start_one(tmp_path: Path) -> None:
    """A path where nothing listens is `DaemonUnreachable`, with the path and both ways to a daemon."""
    with Client(tmp_path / "none") as client, pytest.raises(errors.DaemonUnreachable) as caught:
        client.token()
    assert str(tmp_path / "none") in caught.value.cause
    assert "tokenward daemon" in caught.value.hint
    assert "tokenward service install" in caught.value.hint


def test_a_path_too_long_for_a_socket_is_unreachable(tmp_path: Path) -> None:
    """The kernel's limit is an error of ours, not of the socket module."""
    with Client(tmp_path / ("x" * 200)) as client, pytest.raises(errors.DaemonUnreachable, match="too long"):
        client.token()


def test_without_home_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """No HOME and nothing else to go by is a fault of the environment."""
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(_socket_place, "_is_ours", lambda _: False)
    with pytest.raises(errors.ConfigurationFault, match="HOME"):
        Client()


def test_a_connection_that_was_closed_idle_is_replaced_in_silence(daemon: FakeDaemon) -> None:
    """After the daemon hung up on an idle connection the next call of any method just works, once."""
    daemon.answers["profile.refresh"] = lambda _: fake_daemon.profile()
    with Client() as client:
        client.token()
        daemon.hang_up()
        client.refresh("anthropic:work")
    assert daemon.methods() == ["token.get", "profile.refresh"]
    assert daemon.accepted == 2


def test_a_lost_answer_is_asked_for_again_where_that_changes_nothing(daemon: FakeDaemon) -> None:
    """`token.get` on a used connection that breaks off after the request is asked once more."""
    answers = iter([TOKEN, HangUp(), TOKEN])

    def answer(_: Json) -> Json:
        match next(answers):
            case Exception() as failure:
                raise failure
            case token:
                assert isinstance(token, dict)
                return token

    daemon.answers["token.get"] = answer
    with Client() as client:
        client.token()
        assert client.token().token == "sk-ant-api03-fake"
    assert daemon.methods() == ["token.get"] * 3


def test_a_lost_answer_is_never_asked_for_again_where_that_changes_something(daemon: FakeDaemon) -> None:
    """A refresh whose answer was lost may have happened: it is reported, and not repeated."""

    def hang_up(_: Json) -> Json:
        raise HangUp

    daemon.answers["profile.refresh"] = hang_up
    with Client() as client:
        client.token()
        with pytest.raises(errors.DaemonUnreachable, match="before it answered"):
            client.refresh("anthropic:work")
        client.token()
    assert daemon.methods() == ["token.get", "profile.refresh", "token.get"]


def test_a_daemon_that_does_not_answer_is_a_timeout(daemon: FakeDaemon) -> None:
    """The call ends at its timeout, and the next one does not take its late answer."""

    def hang(_: Json) -> Json:
        raise Hang

    daemon.answers["daemon.status"] = hang
    with Client() as client:
        with pytest.raises(errors.CallTimeout, match=r"within 0\.05 s"):
            client.call("daemon.status", timeout=0.05)
        assert client.token().profile == "anthropic:work"
    assert daemon.accepted == 2


@pytest.mark.parametrize("raw", [b"HTTP/1.1 400 Bad Request\r\n\n", b"[]\n", b'{"id":1,"jsonrpc":"2.0"}\n'])
def test_an_answer_that_is_none_is_a_plain_error(daemon: FakeDaemon, raw: bytes) -> None:
    """Something else that listens there is told from a daemon, without a traceback of json's."""
    daemon.raw_answer = raw
    with Client() as client, pytest.raises(errors.TokenwardError):
        client.token()


def test_answers_to_other_requests_are_passed_over(daemon: FakeDaemon) -> None:
    """Only the answer with our id is ours: a late one, or a notification, is not taken for it."""
    daemon.raw_answer = (
        b'{"jsonrpc":"2.0","method":"event","params":{}}\n'
        b'{"jsonrpc":"2.0","id":77,"result":{"pid":1}}\n'
        b'{"jsonrpc":"2.0","id":1,"result":{"pid":2}}\n'
    )
    with Client() as client:
        assert client.hello()["pid"] == 2


def test_a_line_past_the_limit_is_refused(daemon: FakeDaemon) -> None:
    """An endless answer does not fill our memory."""
    daemon.raw_answer = b"x" * (2 * 1024 * 1024)
    with Client() as client, pytest.raises(errors.DaemonUnreachable):
        client.token()


def test_threads_share_one_client(daemon: FakeDaemon) -> None:
    """Calls of many threads take turns on the one connection, and each gets its own answer."""
    daemon.answers["daemon.hello"] = lambda params: {"name": params["client"]}
    got: dict[str, str] = {}
    with Client() as client:

        def ask(name: str) -> None:
            for _ in range(20):
                got[name] = client.hello(name)["name"]

        threads = [threading.Thread(target=ask, args=(f"t{number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert got == {f"t{number}": f"t{number}" for number in range(8)}
    assert daemon.accepted == 1


def test_a_child_process_opens_its_own_connection(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a fork the parent's connection is not written on: its answers would be the parent's."""
    with Client() as client:
        client.token()
        monkeypatch.setattr(os, "getpid", lambda: -1)
        client.token()
    assert daemon.accepted == 2


def test_a_crowded_listener_is_waited_for(tmp_path: Path) -> None:
    """With the listener's queue full a client waits for room instead of failing at once."""
    path = tmp_path / "s"
    caught: list[errors.DaemonUnreachable] = []

    def ask() -> None:
        with Client(path, timeout=60) as client:
            try:
                client.hello()
            except errors.DaemonUnreachable as error:
                caught.append(error)

    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(path))
        listener.listen(0)
        first.connect(str(path))
        asker = threading.Thread(target=ask)
        asker.start()
        # Not for something to happen, but for it not to: one that does not wait is done long before.
        asker.join(0.1)
        assert asker.is_alive()
        listener.accept()[0].close()
        listener.accept()[0].close()
        asker.join()
    assert "no daemon answers" not in caught[0].cause


def _environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(tokenward.client.__file__).parents[2])}


def test_a_client_that_is_dropped_closes_its_connection_without_a_warning(daemon: FakeDaemon) -> None:
    """Though it hangs in a cycle whose members the collector may end in any order, the socket first."""
    dropped: list[object] = []
    client = Client()
    client.token()
    connection = client._connection
    assert connection is not None
    dropped += [connection._socket, client, dropped]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        del client, connection, dropped
        gc.collect()
    assert [each for each in warned if each.category is ResourceWarning] == []
