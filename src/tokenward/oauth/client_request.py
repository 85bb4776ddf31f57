"""A registered client's request to an authorization server: who asks, in which form, to whose address.

The problem: the token, revocation and device endpoints of one server take the same client by the same method,
and a client that says who it is in two ways at once is refused (RFC 6749 section 2.3).

Rules:
- The body is a form, as the RFCs have it, or JSON at the token endpoint where the provider file says so.
- A client that authenticates by header does not repeat its id in the body.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlencode

from tokenward.core.credential import Secret
from tokenward.core.provider import ProviderRegistration
from tokenward.oauth.token_endpoint import CONTENT_TYPES, basic_authorization


def client_request(
    registration: ProviderRegistration, parameters: Mapping[str, str], *, as_form: bool = False
) -> tuple[dict[str, str], bytes]:
    """The headers and the body of a POST that comes from our client.

    Args:
        registration: how we are registered.
        parameters: those of the request, without the client's.
        as_form: a form whatever the token endpoint wants: RFC 7009 and RFC 8628 know nothing else.

    Raises:
        ValueError: if the client must authenticate and has no secret.
    """
    members = dict(parameters)
    body = "form" if as_form else registration.body
    headers = {
        **registration.token_headers,
        "Accept": "application/json",
        "Content-Type": CONTENT_TYPES[body],
    }
    client_id, secret = registration.client_id or "", registration.client_secret
    if registration.client_auth != "none" and secret is None:
        raise ValueError(f"client_auth {registration.client_auth!r} needs a client_secret")
    if registration.client_auth == "basic":
        headers["Authorization"] = basic_authorization(client_id, secret or Secret(""))
    else:
        members["client_id"] = client_id
        if secret is not None and registration.client_auth == "post":
            members["client_secret"] = secret.reveal()
    encoded = json.dumps(members) if body == "json" else urlencode(members)
    return headers, encoded.encode()
