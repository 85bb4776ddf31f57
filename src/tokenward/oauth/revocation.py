"""To end a login at the server (RFC 7009), and to know whether that happened.

The problem: "revoked" is a promise to somebody who has lost a laptop, and a server that answers anything but
success has not revoked anything.

Rules:
- The refresh token is named where there is one: the server then ends the access tokens that came of it as well
  (section 2.1). A token that the server does not know is revoked as far as anybody can tell (section 2.2).
"""

from __future__ import annotations

from tokenward import http
from tokenward.core.credential import Credential
from tokenward.core.grants import Unavailable
from tokenward.core.login import Refused
from tokenward.core.login_answers import parse_refusal
from tokenward.core.provider import CLIENT_KEY_UNUSABLE, ProviderRegistration
from tokenward.oauth.client_key import KeyUnusable
from tokenward.oauth.client_request import client_request
from tokenward.oauth.token_endpoint import REFRESH_TIMEOUT_SECONDS


async def revoke(
    registration: ProviderRegistration, credential: Credential, http_client: http.HttpClient
) -> Refused | Unavailable | None:
    """Ask the server to end a login. Never raises.

    Args:
        registration: how we are registered, with its endpoints known.
        credential: whose tokens.
        http_client: the daemon's one client.

    Returns:
        None if they are revoked; else why they are not.
    """
    token, hint = (
        (credential.refresh, "refresh_token") if credential.refresh else (credential.access, "access_token")
    )
    parameters = {"token": token.reveal(), "token_type_hint": hint}
    try:
        headers, body = await client_request(registration, parameters, as_form=True)
    except KeyUnusable as unusable:
        return Refused(CLIENT_KEY_UNUSABLE, unusable.reason)
    url = registration.revocation_endpoint or ""
    match await http_client.post(url, headers=headers, body=body, deadline=REFRESH_TIMEOUT_SECONDS):
        case http.Answer(status, _, content):
            return None if 200 <= status < 300 else parse_refusal(status, content)
        case http.NotSent(reason) | http.NoAnswer(reason):
            return Unavailable(reason)
