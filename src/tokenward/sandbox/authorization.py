"""The authorization server's endpoints: what arrives as parameters, and what goes out as RFC 6749 says.

Rules:
- The client is identified before anything else happens. A client with a secret must prove it by exactly one
  method; a client without one must not try (RFC 6749 section 2.3).
- An error goes to the redirect_uri only once client and redirect_uri are known to be good (RFC 6749 section
  4.1.2.1); every redirect back names the issuer (RFC 9207).
- Consent is given at once. This server guards nothing.
"""

import base64
import hmac
import html
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from urllib.parse import unquote_plus, urlencode, urlsplit, urlunsplit

from tokenward.sandbox.families import DEFAULT_SCOPE, Families, Issued, RefusedError, ReuseDetectedError
from tokenward.sandbox.faults import Fault
from tokenward.sandbox.grants import Grants
from tokenward.sandbox.journal import Journal
from tokenward.sandbox.messages import identity
from tokenward.sandbox.wire import (
    NO_STORE,
    Reply,
    Request,
    html_reply,
    json_reply,
    refusal_reply,
)

DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
JWT_BEARER_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"

_LOOPBACK_NAMES = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Registration:
    """The one client this server knows.

    Args:
        client_id: its name.
        client_secret: its secret; None for a public client.
        redirect_uris: addresses accepted besides loopback ones.
    """

    client_id: str
    client_secret: str | None
    redirect_uris: tuple[str, ...]


class AuthorizationServer:
    """The endpoints of OAuth.

    Args:
        issuer: the issuer identifier, which is also the base of all addresses.
        registration: the client.
        families: tokens and their descent.
        grants: first tokens.
        journal: where outcomes are counted.
    """

    def __init__(
        self, *, issuer: str, registration: Registration, families: Families, grants: Grants, journal: Journal
    ) -> None:
        self._issuer = issuer
        self._registration = registration
        self._families = families
        self._grants = grants
        self._journal = journal

    def metadata(self, request: Request) -> Reply:
        """RFC 8414 section 2, and the same with what OpenID Connect Discovery asks for besides."""
        secret = self._registration.client_secret is not None
        methods = ["client_secret_basic", "client_secret_post"] if secret else ["none"]
        document: dict[str, object] = {
            "issuer": self._issuer,
            "authorization_endpoint": f"{self._issuer}/authorize",
            "token_endpoint": f"{self._issuer}/oauth/token",
            "revocation_endpoint": f"{self._issuer}/oauth/revoke",
            "device_authorization_endpoint": f"{self._issuer}/device_authorization",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": [
                "authorization_code",
                "refresh_token",
                DEVICE_CODE_GRANT,
                JWT_BEARER_GRANT,
            ],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_methods_supported": methods,
            "scopes_supported": DEFAULT_SCOPE.split(),
            "authorization_response_iss_parameter_supported": True,
        }
        if request.path.endswith("openid-configuration"):
            document |= {
                "jwks_uri": f"{self._issuer}/jwks",
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        return json_reply(document)

    def jwks(self, _request: Request) -> Reply:
        """No keys: this server signs nothing."""
        return json_reply({"keys": []})

    def authorize(self, request: Request) -> Reply:
        """The authorization endpoint (RFC 6749 section 4.1.1); consent is given at once."""
        try:
            asked = request.query_parameters()
            if asked.get("client_id") != self._registration.client_id:
                raise RefusedError("invalid_client", "Unknown client_id")
            redirect_uri = asked.get("redirect_uri", "")
            if not self._may_redirect_to(redirect_uri):
                raise RefusedError("invalid_request", "redirect_uri is neither registered nor loopback")
        except RefusedError as refusal:
            return html_reply(html.escape(str(refusal)), 400)
        try:
            if asked.get("response_type") != "code":
                raise RefusedError("unsupported_response_type", "Only response_type=code")
            code = self._grants.make_code(
                redirect_uri=redirect_uri,
                challenge=asked.get("code_challenge", ""),
                method=asked.get("code_challenge_method", "plain"),
                scope=asked.get("scope", DEFAULT_SCOPE),
                subject=asked.get("login_hint", "demo"),
            )
            back = {"code": code}
        except RefusedError as refusal:
            back = {"error": refusal.error, "error_description": refusal.description}
        if "state" in asked:
            back["state"] = asked["state"]
        back["iss"] = self._issuer
        target = urlsplit(redirect_uri)
        query = "&".join(filter(None, [target.query, urlencode(back)]))
        location = urlunsplit((target.scheme, target.netloc, target.path, query, ""))
        return Reply(302, headers={**NO_STORE, "Location": location})

    def show_code(self, request: Request) -> Reply:
        """A redirect_uri for logins by paste: shows `code#state` to the person."""
        shown = request.query_parameters()
        pasted = f"{shown.get('code', '')}#{shown.get('state', '')}"
        return html_reply(f"Paste this into the terminal: <code>{html.escape(pasted)}</code>")

    def device_page(self, request: Request) -> Reply:
        """The verification_uri (RFC 8628 section 3.3): visiting it with a user_code is consent."""
        user_code = request.query_parameters().get("user_code", "")
        if not user_code:
            return html_reply("<form>Code: <input name=user_code autofocus> <button>Approve</button></form>")
        if self._grants.decide_device(user_code, approve=True):
            return html_reply("Approved. You can close this page.")
        return html_reply("No device waits for this code.", 404)

    def device_authorization(self, request: Request) -> Reply:
        """RFC 8628 section 3.1."""
        try:
            asked = request.body_parameters()
            self._authenticate(request, asked)
        except RefusedError as refusal:
            return self._refused(request, refusal)
        started = self._grants.start_device(asked.get("scope", DEFAULT_SCOPE))
        page = f"{self._issuer}/device"
        addresses = {
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={started.user_code}",
        }
        return json_reply({**asdict(started), **addresses}, headers=NO_STORE)

    def token(self, request: Request, fault: Fault | None) -> Reply:
        """The token endpoint (RFC 6749 section 3.2)."""
        try:
            asked = request.body_parameters()
            grant = self._grant(asked.get("grant_type", ""))
            if grant == self._by_assertion and "client_id" not in asked:
                pass  # RFC 7521 section 4.1: the assertion may speak for the client
            else:
                self._authenticate(request, asked)
            issued = grant(asked, fault)
        except RefusedError as refusal:
            return self._refused(request, refusal)
        return json_reply(_token_answer(issued), headers=NO_STORE)

    def revoke(self, request: Request) -> Reply:
        """RFC 7009 section 2: done, or nothing to do, is both 200."""
        try:
            asked = request.body_parameters()
            self._authenticate(request, asked)
            if self._families.revoke(_required(asked, "token")):
                self._journal.count("revocations")
        except RefusedError as refusal:
            return self._refused(request, refusal)
        return Reply(200, headers=NO_STORE)

    def _grant(self, grant_type: str) -> Callable[[Mapping[str, str], Fault | None], Issued]:
        if not grant_type:
            raise RefusedError("invalid_request", "grant_type is missing")
        grants = {
            "authorization_code": self._by_code,
            "refresh_token": self._by_refresh_token,
            DEVICE_CODE_GRANT: self._by_device_code,
            JWT_BEARER_GRANT: self._by_assertion,
        }
        if grant_type not in grants:
            raise RefusedError("unsupported_grant_type", "There are code, refresh, device and jwt-bearer")
        return grants[grant_type]

    def _by_code(self, asked: Mapping[str, str], _fault: Fault | None) -> Issued:
        issued = self._grants.redeem_code(
            _required(asked, "code"),
            redirect_uri=_required(asked, "redirect_uri"),
            verifier=_required(asked, "code_verifier"),
        )
        self._journal.count("logins")
        return issued

    def _by_refresh_token(self, asked: Mapping[str, str], fault: Fault | None) -> Issued:
        # A server that sends no refresh_token keeps the old one alive; the fault must not say otherwise.
        rotate = False if fault and "refresh_token" in fault.omit else None
        issued = self._families.refresh(_required(asked, "refresh_token"), scope=asked.get("scope"), rotate=rotate)
        self._journal.count("grace_replays" if issued.replayed else "refreshes_granted")
        return issued

    def _by_device_code(self, asked: Mapping[str, str], _fault: Fault | None) -> Issued:
        issued = self._grants.redeem_device(_required(asked, "device_code"))
        self._journal.count("logins")
        return issued

    def _by_assertion(self, asked: Mapping[str, str], _fault: Fault | None) -> Issued:
        issued = self._grants.redeem_assertion(_required(asked, "assertion"), asked.get("scope", DEFAULT_SCOPE))
        self._journal.count("logins")
        return issued

    def _authenticate(self, request: Request, asked: Mapping[str, str]) -> None:
        expected = self._registration
        posted_secret = asked.get("client_secret")
        basic = _basic_credentials(request)
        if basic and posted_secret is not None:
            raise RefusedError("invalid_request", "The client authenticates by two methods at once")
        client_id, secret = basic or (asked.get("client_id", ""), posted_secret)
        known = client_id == expected.client_id and asked.get("client_id", client_id) == client_id
        if expected.client_secret is None:
            proved = secret is None
        else:
            proved = hmac.compare_digest((secret or "").encode(), expected.client_secret.encode())
        if not (known and proved):
            raise RefusedError("invalid_client", "Client authentication failed", 401)

    def _may_redirect_to(self, redirect_uri: str) -> bool:
        if redirect_uri in self._registration.redirect_uris:
            return True
        try:
            target = urlsplit(redirect_uri)
            return (
                redirect_uri.isascii()
                and redirect_uri.isprintable()
                and target.scheme == "http"
                and target.hostname in _LOOPBACK_NAMES
                and "@" not in target.netloc
                and not target.fragment
            )
        except ValueError:
            return False

    def _refused(self, request: Request, refusal: RefusedError) -> Reply:
        if refusal.error == "invalid_grant":
            self._journal.count("invalid_grants")
        if isinstance(refusal, ReuseDetectedError):
            self._journal.count("reuse_detected")
        # RFC 6749 section 5.2: a client that tried the header is told which scheme would do.
        tried_header = refusal.status == 401 and "authorization" in request.headers
        return refusal_reply(refusal, {"WWW-Authenticate": 'Basic realm="sandbox"'} if tried_header else None)


def _basic_credentials(request: Request) -> tuple[str, str] | None:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        colon = ""
    if not colon:
        raise RefusedError("invalid_client", "The Authorization header is not Basic", 401)
    # RFC 6749 section 2.3.1: both halves are form-encoded before they are joined.
    return unquote_plus(name), unquote_plus(secret)


def _required(asked: Mapping[str, str], name: str) -> str:
    if name not in asked:
        raise RefusedError("invalid_request", f"{name} is missing")
    return asked[name]


def _token_answer(issued: Issued) -> dict[str, object]:
    answer: dict[str, object] = {
        "token_type": "Bearer",
        "access_token": issued.access_token,
        "expires_in": issued.expires_in,
        "scope": issued.scope,
        **identity(issued.subject),
    }
    if issued.refresh_token:
        answer["refresh_token"] = issued.refresh_token
        if issued.refresh_expires_in is not None:
            answer["refresh_token_expires_in"] = issued.refresh_expires_in
    return answer
