"""``tokenward login``: a person says who they are, to whichever server it is.

The problem: the person may sit in front of this machine or before a terminal that leads to it, with a browser
or without, and the server may know several ways. What is to be opened is therefore always printed, and what is
typed or pasted never leaves the terminal but to the daemon.

Rules:
- The address goes to standard output before anything waits. A browser gets it as one argument, never a shell.
- What was pasted wrongly may be pasted again; nothing of it is shown.
- No client_id but the configuration's is used: without one Claude Code is offered its own login.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tokenward.cli import key_check, output, pasted
from tokenward.cli.arguments import add_agent, add_command, add_json
from tokenward.cli.hidden_input import read_secret
from tokenward.core.credential import MAIN_AGENT
from tokenward.errors import CallTimeout, ConfigurationFault, InvalidParams, TokenwardError

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers
    from tokenward.cli.service_access import Call

WAIT_SECONDS = 20.0
"""One question of how the login stands; asked again until the login ends."""
CALL_SECONDS = 120.0
"""A question, two requests to the server and the store's write, each at its slowest."""
TRIES = 3
"""How often something may be pasted before it is more likely that the login itself is the wrong one."""
MAX_PASTED_BYTES = 16_384

_METHODS = {
    "oauth": "with a browser on this machine",
    "paste": "with a browser anywhere; you paste the code that it shows",
    "device": "with a browser anywhere; you type a short code there",
    "api-key": "with an API key that you have",
    "setup-token": "with a token of a year, made by your Claude Code",
    "create-api-key": "with a browser, to make an API key; the login itself is not kept",
    "claude-code": "let your Claude Code log in; its login is served from its own file",
}
_ANTHROPIC = "anthropic"
_OFFERED = {_ANTHROPIC: ("claude-code", "setup-token", "api-key", "oauth", "paste", "create-api-key")}
_OFFERED_ELSEWHERE = ("oauth", "paste", "device", "api-key")


def add_parser(subparsers: Subparsers) -> None:
    """Register the command."""
    parser = add_command(
        subparsers,
        "login",
        "log in at a provider",
        run=run,
        example="tokenward login acme --method device",
        about="Without --method, a terminal is asked how. The address to open is always printed.",
    )
    parser.add_argument("name", metavar="PROVIDER", nargs="?", help="where, as in the configuration")
    parser.add_argument("--provider", metavar="PROVIDER", help="the same")
    methods = "; ".join(f"{name}: {what}" for name, what in _METHODS.items())
    parser.add_argument("--method", choices=tuple(_METHODS), help=methods)
    parser.add_argument("--profile", "--profile-id", metavar="ID", help="store it as this, and not as the account")
    parser.add_argument("--no-browser", action="store_true", help="open none here")
    parser.add_argument("--non-interactive", action="store_true", help="ask nothing: take PROVIDER_API_KEY")
    parser.add_argument("--allow-missing-state", action="store_true", help="take a pasted code without its state")
    parser.add_argument("--paste", action="store_true", help="setup-token: you have one already")
    parser.add_argument("--expires-in", metavar="TIME", help="setup-token: its life, as 365d, 12h or 30m")
    parser.add_argument("--yes", action="store_true", help="setup-token: do not ask before Claude Code is run")
    parser.add_argument(
        "--check", action="store_true", help="api-key: ask the API first whether it takes the key; costs nothing"
    )
    parser.add_argument("--shared", action="store_true", help="keep it in the shared store, for all hosts")
    add_agent(parser)
    add_json(parser, "the profile after, as `profile.get` answers")


def run(arguments: argparse.Namespace) -> int:
    """Log in."""
    provider = arguments.name or arguments.provider
    if not provider:
        output.complain("Missing --provider.", "say where: tokenward login PROVIDER")
        return output.USAGE
    method = arguments.method or _chosen(provider)
    if arguments.check and method != "api-key":
        output.complain("only a key is checked before it is kept", "leave --check out, or: --method api-key")
        return output.USAGE
    if arguments.shared and method == "claude-code":
        output.complain("Claude Code's own login is not shared", "share one of another method")
        return output.USAGE
    if method == "api-key":
        return _api_key(arguments, provider)
    if method in {"setup-token", "claude-code"}:
        from tokenward.cli import login_programs

        if method == "setup-token":
            return login_programs.setup_token(arguments, provider)
        return login_programs.claude_code(arguments, provider)
    from tokenward.cli.service_access import with_service

    return with_service(lambda call: _by_server(arguments, provider, method, call), timeout=CALL_SECONDS)


def _chosen(provider: str) -> str:
    offered = _OFFERED.get(provider.strip().lower(), _OFFERED_ELSEWHERE)
    if not sys.stdin.isatty():
        raise InvalidParams("how to log in was not said", hint=f"add --method {'|'.join(offered)}")
    output.say(f"How do you want to log in at {provider}?")
    for number, name in enumerate(offered, 1):
        output.say(f"{number}  {name.ljust(15)} {_METHODS[name]}")
    answer = ask("Choose [1]: ") or "1"
    if answer in offered:
        return answer
    if answer.isascii() and answer.isdigit() and 1 <= int(answer) <= len(offered):
        return offered[int(answer) - 1]
    raise InvalidParams("that is none of them", hint=f"a number from 1 to {len(offered)}")


def _by_server(arguments: argparse.Namespace, provider: str, method: str, call: Call) -> int:
    is_pasted = method == "paste" or (method == "create-api-key" and arguments.no_browser)
    started = call(
        "login.start",
        {
            "provider": provider,
            "method": method,
            "pasted": is_pasted,
            "allow_missing_state": arguments.allow_missing_state,
            "profile": arguments.profile,
            "agent": arguments.agent,
            "shared": arguments.shared,
        },
    )
    try:
        _tell(started, quiet=arguments.json, is_pasted=is_pasted)
        if not arguments.no_browser:
            _open_browser(started["url"])
        profile = _paste(call, started["login"]) if is_pasted else _wait(call, started["login"])
    except BaseException:
        with suppress(TokenwardError):
            call("login.cancel", {"login": started["login"]})
        raise
    succeeded(profile, as_json=arguments.json)
    if method == "create-api-key" and not arguments.json:
        output.say("The API key is stored and not shown; the login that made it is not kept.")
    return output.OK


def _tell(started: dict[str, Any], *, quiet: bool, is_pasted: bool) -> None:
    tell = output.remark if quiet else output.say
    tell(f"Logging in to {started['title']}...")
    if is_pasted:
        tell("Open this URL in your browser and paste the authorization code")
    else:
        tell("Open this URL in your browser")
    tell(started["url"])
    if started["user_code"] is not None:
        tell(f"and enter this code: {started['user_code']}")
    sys.stdout.flush()


def _wait(call: Call, login: str) -> dict[str, Any]:
    while True:
        try:
            return call("login.complete", {"login": login, "wait": WAIT_SECONDS})
        except CallTimeout:
            continue


def _paste(call: Call, login: str) -> dict[str, Any]:
    for left in reversed(range(TRIES)):
        code = ask("Paste the authorization code from the browser (format: code#state): ")
        try:
            return call("login.complete", {"login": login, "code": code})
        except InvalidParams as refusal:
            if not left or not sys.stdin.isatty():
                raise
            output.complain(refusal.cause, refusal.hint)
    raise AssertionError("the last try raises")


def succeeded(profile: dict[str, Any], *, as_json: bool) -> None:
    """Say that a login was stored, and where."""
    if as_json:
        output.as_json(profile)
        return
    output.say("Login successful!")
    whose = "" if profile["agent"] == MAIN_AGENT else f" (agent {profile['agent']})"
    output.say(f"Profile saved as: {profile['profile']}{whose}")
    output.say(f"Stored in {profile['location']}")
    if profile["billing"] == "subscription" and profile["tier"] is not None:
        output.say(f"Subscription: {profile['tier']}")
    if profile["insufficient_access"]:
        output.remark(profile["note"])


def ask(prompt: str) -> str:
    """Ask for a line on standard input; what is typed is seen.

    Raises:
        ConfigurationFault: if there is none.
    """
    print(prompt, end="" if sys.stdin.isatty() else "\n", flush=True)
    line = bytearray()
    # Not `input`: a thread that holds the buffer of standard input would break an interpreter that is ending.
    while not line.endswith(b"\n") and len(line) < MAX_PASTED_BYTES:
        read = os.read(sys.stdin.fileno(), 1)
        if not read:
            if line:
                break
            raise ConfigurationFault("nothing was pasted", hint="run it on a terminal, or pipe the answer in")
        line += read
    return line.decode("utf-8", "replace").strip()


def _open_browser(url: str) -> None:
    # Without a screen `webbrowser` would take over the terminal with a text browser.
    has_screen = any(os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"))
    if sys.platform == "darwin" or has_screen:
        import webbrowser

        webbrowser.open(url)


def _api_key(arguments: argparse.Namespace, provider: str) -> int:
    if arguments.non_interactive:
        variable = f"{provider.strip().upper().replace('-', '_')}_API_KEY"
        text = os.environ.get(variable, "")
        if not text.strip():
            output.complain(f"{variable} is not set", "set it, or leave --non-interactive out")
            return output.USAGE
    else:
        text = read_secret("API key (not shown): ")
    read = pasted.key(text, kind="api_key", provider=provider)
    return keep(arguments, read, kind="api_key", profile=arguments.profile or f"{provider}:default")


def keep(arguments: argparse.Namespace, read: pasted.Pasted, *, kind: str, profile: str) -> int:
    """Store what a person handed over."""
    from tokenward.cli.service_access import with_service

    for note in read.notes:
        output.remark(note)

    def act(call: Call) -> int:
        if arguments.check:
            key_check.refuse_bad_key(call, profile.partition(":")[0], read.credential["access_token"])
        stored = call(
            "profile.add",
            {
                "profile": profile,
                "kind": kind,
                "credential": read.credential,
                "agent": arguments.agent,
                "shared": arguments.shared,
            },
        )
        succeeded(stored, as_json=arguments.json)
        return output.OK

    return with_service(act, timeout=CALL_SECONDS)
