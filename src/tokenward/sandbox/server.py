"""An OAuth client cannot be tried out against the real thing.

Real logins are scarce, and breaking one locks a person out. This is the other side, complete, on loopback, and
yours to break.

Rules:
- It ships with tokenward and shares no code with tokenward's OAuth client, so that no bug hides in both.
- Every fault, hold and wait works without sleeping; the clock is an argument.
- It never logs or prints a token; only `issue` and the endpoints that grant hand one out.
"""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from types import TracebackType
from typing import Self

from tokenward.sandbox.admin import ADMIN_PREFIX, Admin
from tokenward.sandbox.authorization import AuthorizationServer, Registration
from tokenward.sandbox.families import DEFAULT_SCOPE, Families, FamilyRules, Issued, Liveness, RefusedError
from tokenward.sandbox.faults import Fault, Faults
from tokenward.sandbox.grants import Grants
from tokenward.sandbox.journal import Journal, LoggedRequest, Statistics
from tokenward.sandbox.messages import MessagesApi, anthropic_error
from tokenward.sandbox.transport import Delivery, LoopbackServer
from tokenward.sandbox.wire import JSON_TYPE, Reply, Request, json_reply, refusal_reply

THIRTY_DAYS = 30 * 24 * 3600.0  # how long Claude Code's logins are said to last

_Handle = Callable[[Request, Fault | None], Reply]


@dataclass(frozen=True, slots=True)
class _Route:
    endpoint: str
    methods: frozenset[str]
    handle: _Handle


class Sandbox:
    """A loopback authorization server and Messages API in a background thread.

    Use it as a context manager, or call `start` and `stop`. It listens from construction on, so its addresses
    are known before it starts.

    Args:
        ttl_seconds: life of an access token. The wire says whole seconds, rounded down.
        refresh_ttl_seconds: life of a login, in seconds from the login; None for no end.
        rotate: whether a refresh replaces the refresh token; without it answers carry none.
        reuse_grace: seconds in which a spent refresh token gets the same answer again.
        refresh_kills_access: whether a refresh revokes older access tokens of its family.
        clock: the present, in Unix seconds; called from many threads.
        access_prefix: what access tokens start with.
        refresh_prefix: what refresh tokens start with.
        client_id: the one client this server knows.
        client_secret: its secret (client_secret_basic or client_secret_post); None for a public client.
        redirect_uris: addresses accepted besides loopback ones.
        device_interval: seconds a device must leave between two questions.
        reply_text: what the Messages API always says.
        require_oauth_beta: refuse access tokens without the beta header that api.anthropic.com wants.
        host: a loopback address.
        port: 0 for a free one.

    Raises:
        ValueError: the host is not a loopback address.
        OSError: the port is taken.
    """

    def __init__(
        self,
        *,
        ttl_seconds: float = 20.0,
        refresh_ttl_seconds: float | None = THIRTY_DAYS,
        rotate: bool = True,
        reuse_grace: float = 0.0,
        refresh_kills_access: bool = False,
        clock: Callable[[], float] = time.time,
        access_prefix: str = "sk-ant-oat01-",
        refresh_prefix: str = "sk-ant-ort01-",
        client_id: str = "tokenward-sandbox",
        client_secret: str | None = None,
        redirect_uris: tuple[str, ...] = (),
        device_interval: float = 5.0,
        reply_text: str = "pong from the sandbox",
        require_oauth_beta: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        rules = FamilyRules(
            ttl_seconds=ttl_seconds,
            refresh_ttl_seconds=refresh_ttl_seconds,
            rotate=rotate,
            reuse_grace=reuse_grace,
            refresh_kills_access=refresh_kills_access,
            access_prefix=access_prefix,
            refresh_prefix=refresh_prefix,
        )
        self.client_id = client_id
        self.admin_key = secrets.token_urlsafe(24)
        self.faults = Faults()
        self._journal = Journal(clock)
        self._families = Families(rules, clock)
        self._grants = Grants(self._families, clock, device_interval)
        self._messages = MessagesApi(
            families=self._families,
            journal=self._journal,
            clock=clock,
            reply_text=reply_text,
            require_oauth_beta=require_oauth_beta,
        )
        self._server = LoopbackServer(host, port, self._serve, self.faults.ended)
        self.base_url = self._server.base_url
        self.issuer = self.base_url
        self._authorization = AuthorizationServer(
            issuer=self.issuer,
            registration=Registration(client_id, client_secret, redirect_uris),
            families=self._families,
            grants=self._grants,
            journal=self._journal,
        )
        self._admin = Admin(self)
        self._routes = self._build_routes()

    def start(self) -> None:
        """Answer from now on."""
        self._server.start()

    def stop(self) -> None:
        """Let held requests go, close every connection and end every thread."""
        self.faults.end()
        self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def token_endpoint(self) -> str:
        """Address of the token endpoint."""
        return f"{self.base_url}/oauth/token"

    @property
    def authorization_endpoint(self) -> str:
        """Address of the authorization endpoint."""
        return f"{self.base_url}/authorize"

    @property
    def revocation_endpoint(self) -> str:
        """Address of the revocation endpoint."""
        return f"{self.base_url}/oauth/revoke"

    @property
    def device_authorization_endpoint(self) -> str:
        """Address of the device authorization endpoint."""
        return f"{self.base_url}/device_authorization"

    @property
    def paste_redirect_uri(self) -> str:
        """A redirect_uri that shows `code#state` to the person, for logins by paste."""
        return f"{self.base_url}/oauth/code/callback"

    @property
    def requests(self) -> tuple[LoggedRequest, ...]:
        """What has been asked so far, in the order of arrival."""
        return self._journal.requests()

    def statistics(self) -> Statistics:
        """The counts at this moment."""
        return self._journal.statistics()

    def wait_for_request(
        self, path: str, count: int = 1, timeout: float = 10.0, *, answered: bool = False
    ) -> tuple[LoggedRequest, ...]:
        """Wait until so many requests for a path have arrived since the start. It blocks the calling thread.

        Args:
            path: the path, without query.
            count: how many.
            timeout: seconds to wait at most.
            answered: count only those whose answer is ready.

        Returns:
            All such requests.

        Raises:
            TimeoutError: it did not come to that in time.
        """
        return self._journal.wait_for_request(path, count, timeout, answered=answered)

    def issue(self, subject: str = "demo", scope: str = DEFAULT_SCOPE, ttl_seconds: float | None = None) -> Issued:
        """A fresh login without HTTP: a new family.

        Args:
            subject: whose login it is.
            scope: what it may do, space-separated.
            ttl_seconds: life of this first access token; None for the sandbox's own.
        """
        issued = self._families.begin(subject=subject, scope=scope, ttl_seconds=ttl_seconds)
        self._journal.count("logins")
        return issued

    def liveness(self, access_token: str) -> Liveness:
        """Whether an access token is good at this moment, and if not, why."""
        return self._families.liveness(access_token)

    def revoke(self, credential: str) -> bool:
        """Revoke from the server's side, and say whether the credential was known.

        A refresh token takes its family with it; an access token or an API key goes alone.
        """
        return self._families.revoke(credential) or self._messages.revoke_api_key(credential)

    def register_api_key(self, key: str) -> None:
        """Accept this API key at the Messages API."""
        self._messages.register_api_key(key)

    def approve_device(self, user_code: str, *, subject: str = "demo") -> bool:
        """Consent for the device that shows this user_code; says whether one was waiting."""
        return self._grants.decide_device(user_code, approve=True, subject=subject)

    def deny_device(self, user_code: str) -> bool:
        """Refuse the device that shows this user_code; says whether one was waiting."""
        return self._grants.decide_device(user_code, approve=False)

    def trust_assertion(self, assertion: str, *, subject: str = "workload") -> None:
        """Accept this assertion for the jwt-bearer grant, as often as it comes."""
        self._grants.trust_assertion(assertion, subject=subject)

    def _serve(self, request: Request) -> Delivery:
        if request.path.startswith(ADMIN_PREFIX):
            return Delivery(self._admin.serve(request))
        record = self._journal.arrived(request)
        route = self._routes.get(request.path)
        if route is None:
            reply = anthropic_error(404, "not_found_error", "There is nothing here")
            delivery = Delivery(reply)
        elif request.method not in route.methods:
            allowed = {"Allow": ", ".join(sorted(route.methods))}
            delivery = Delivery(Reply(HTTPStatus.METHOD_NOT_ALLOWED, headers=allowed))
        else:
            if route.endpoint == "token":
                self._journal.count("token_requests")
            delivery = self._perform(route, request)
        if delivery.reply is not None:
            self._journal.answered(record, delivery.reply.status)
        return delivery

    def _perform(self, route: _Route, request: Request) -> Delivery:
        fault = self.faults.take(route.endpoint)
        if fault is None:
            return Delivery(_handled(route, request, None))
        if fault.hold == "before":
            self.faults.hold()
        if fault.close == "before":
            return Delivery(None, reset=True)
        if fault.status is None:
            reply = _altered(_handled(route, request, fault), fault)
        else:
            if fault.performed:
                _handled(route, request, fault)
            reply = _in_place(fault, fault.status)
        if fault.hold == "after":
            self.faults.hold()
        if fault.close == "after":
            return Delivery(None, reset=fault.reset)
        return Delivery(reply, fault)

    def _build_routes(self) -> dict[str, _Route]:
        oauth, api = self._authorization, self._messages
        table: list[tuple[str, str, str, _Handle]] = [
            ("/", "metadata", "GET HEAD", lambda _request, _fault: Reply(200)),
            ("/.well-known/oauth-authorization-server", "metadata", "GET HEAD", _plain(oauth.metadata)),
            ("/.well-known/openid-configuration", "metadata", "GET HEAD", _plain(oauth.metadata)),
            ("/jwks", "metadata", "GET HEAD", _plain(oauth.jwks)),
            ("/authorize", "authorize", "GET", _plain(oauth.authorize)),
            ("/oauth/code/callback", "authorize", "GET", _plain(oauth.show_code)),
            ("/oauth/token", "token", "POST", oauth.token),
            ("/v1/oauth/token", "token", "POST", oauth.token),
            ("/oauth/revoke", "revoke", "POST", _plain(oauth.revoke)),
            ("/v1/oauth/token/revoke", "revoke", "POST", _plain(oauth.revoke)),
            ("/device_authorization", "device", "POST", _plain(oauth.device_authorization)),
            ("/device", "device", "GET", _plain(oauth.device_page)),
            ("/v1/messages", "messages", "POST", _plain(api.messages)),
            ("/v1/messages/count_tokens", "messages", "POST", _plain(api.count_tokens)),
            ("/v1/models", "models", "GET", _plain(api.models)),
            ("/api/oauth/profile", "profile", "GET", _plain(api.profile)),
            ("/api/oauth/claude_cli/roles", "roles", "GET", _plain(api.roles)),
            ("/api/oauth/claude_cli/create_api_key", "api_key", "POST", _plain(api.create_api_key)),
        ]
        return {
            path: _Route(endpoint, frozenset(methods.split()), handle) for path, endpoint, methods, handle in table
        }


def _plain(handle: Callable[[Request], Reply]) -> _Handle:
    return lambda request, _fault: handle(request)


def _handled(route: _Route, request: Request, fault: Fault | None) -> Reply:
    try:
        return route.handle(request, fault)
    except RefusedError as refusal:
        return refusal_reply(refusal)


def _in_place(fault: Fault, status: int) -> Reply:
    headers = dict(fault.headers)
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    content_type = fault.content_type or JSON_TYPE
    if isinstance(fault.body, str):
        return Reply(status, fault.body.encode(), content_type, headers)
    return replace(json_reply(fault.body, status, headers), content_type=content_type)


def _altered(reply: Reply, fault: Fault) -> Reply:
    if fault.omit or fault.replace:
        members = json.loads(reply.body)
        kept = {name: value for name, value in members.items() if name not in fault.omit}
        reply = replace(reply, body=json.dumps({**kept, **fault.replace}).encode())
    if fault.content_type:
        reply = replace(reply, content_type=fault.content_type)
    extra = dict(fault.headers)
    if fault.retry_after is not None:
        extra["Retry-After"] = str(fault.retry_after)
    return replace(reply, headers={**reply.headers, **extra})
