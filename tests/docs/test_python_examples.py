"""What docs/python.md and the docstrings of the client show is what happens: every example is run."""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from client.fake_api import FakeApi, Reply, Seen
from client.fake_daemon import TOKEN, FakeDaemon, Json, Refusal
from tokenward.client import anthropic, auth

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
EXAMPLES = re.findall(
    r"^```python\n(.*?)^```\n+(?:^```text\n(.*?)^```)?", PAGE.read_text(), re.DOTALL | re.MULTILINE
)
MESSAGE: Json = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-6",
    "content": [{"type": "text", "text": "pong"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
EVENTS: tuple[Json, ...] = (
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "pong"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
    {"type": "message_stop"},
)


def answer(seen: Seen) -> Reply:
    """What the examples' servers say, to a request with the token."""
    if TOKEN["token"] not in seen.headers.get("x-api-key", seen.headers.get("authorization", "")):
        return Reply.of({}, 401)
    if seen.path == "/v1/things":
        return Reply.of({"things": []})
    if not json.loads(seen.body).get("stream"):
        return Reply.of(MESSAGE)
    body = "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in EVENTS)
    return Reply(200, body.encode(), {"content-type": "text/event-stream"})


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    """The examples' servers, and where Anthropic's SDK looks for its own."""
    with FakeApi(answer) as running:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", running.url)
        yield running


@pytest.fixture(autouse=True)
def daemon(monkeypatch: pytest.MonkeyPatch, api: FakeApi) -> Iterator[FakeDaemon]:
    """A daemon that has a token for the servers, and one profile that needs a login."""

    def serve(params: Json) -> Json:
        if params.get("profile") == "acme:gone":
            raise Refusal("LoginRequired", "acme:gone needs a login", hint="log in with: tokenward login acme")
        return {**TOKEN, "base_url": api.url}

    with tempfile.TemporaryDirectory(prefix="tw") as directory:
        path = Path(directory) / "s"
        monkeypatch.setenv("TOKENWARD_SOCKET", str(path))
        with FakeDaemon(path) as running:
            running.answers["token.get"] = serve
            yield running


@pytest.mark.parametrize(("code", "shown"), EXAMPLES)
def test_an_example_of_the_page_does_what_it_shows(
    api: FakeApi, daemon: FakeDaemon, code: str, shown: str
) -> None:
    """Run as it stands, but for the server's address, it prints what stands below it, after asking the daemon."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code.replace("https://api.acme.dev", api.url), str(PAGE), "exec"), {})  # noqa: S102 - an example is code to be run
    assert printed.getvalue() == shown != ""
    assert "token.get" in daemon.methods()


def test_the_page_has_an_example_of_each_module() -> None:
    """No example is missed by the expression that finds them."""
    imported = {found for code, _ in EXAMPLES for found in re.findall(r"from (tokenward\.client\S*)", code)}
    assert imported == {
        "tokenward.client",
        "tokenward.client.aio",
        "tokenward.client.anthropic",
        "tokenward.client.auth",
    }
    assert len(EXAMPLES) == PAGE.read_text().count("```python")


@pytest.mark.parametrize("module", [anthropic, auth])
def test_the_example_in_a_docstring_works(api: FakeApi, module: ModuleType) -> None:
    """What the docstring of a module that makes requests shows is what happens."""
    text = (module.__doc__ or "").replace("http://127.0.0.1:8080", api.url)
    test = doctest.DocTestParser().get_doctest(text, {}, module.__name__, None, 0)
    assert len(test.examples) >= 4
    outcome = doctest.DocTestRunner().run(test)
    assert outcome.failed == 0
