"""A registered client's request to an authorization server: who asks, in which form, to whose address.

The problem: the token, revocation and device endpoints of one server take the same client by the same method,
and a client that says who it is in two ways at once is refused (RFC 6749 section 2.3).

Rules:
- The body is a form, as the RFCs have it, or JSON at the token endpoint where the provider file says so.
- A client that authenticates by header does not repeat its id in the body.
- A client that signs does so anew for each request. The audience is the token endpoint's address (RFC 7523
  section 3), whichever endpoint is asked, as with a refresh.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlencode

from anyio import to_thread

from tokenward.core.credential import Secret
from tokenward.core.provider import ProviderRegistration
from tokenward.oauth.client_key import client_key_of
from tokenward.oauth.token_endpoint import CONTENT_TYPES, basic_authorization


async def client_request(
    registration: ProviderRegistration, parameters: Mapping[str, str], *, as_form: bool = False
) -> tuple[dict[str, str], bytes]:
    """The headers and the body of a POST that comes from our client.

    Args:
        registration: how we are registered.
        parameters: those of the request, without the client's.
        as_form: a form whatever the token endpoint wants: RFC 7009 and RFC 8628 know nothing else.

    Raises:
        ValueError: if the client must authenticate and has nothing to do it with.
        KeyUnusable: if it must sign and cannot.
    """
    body = "form" if as_form else registration.body
    headers = {
        **registration.token_headers,
        "Accept": "application/json",
        "Content-Type": CONTENT_TYPES[body],
    }
    client_id, secret = registration.client_id or "", registration.client_secret
    if registration.client_auth in {"basic", "post"} and secret is None:
        raise ValueError(f"client_auth {registration.client_auth!r} needs a client_secret")
    members = dict(parameters)
    if registration.client_auth == "basic":
        headers["Authorization"] = basic_authorization(client_id, secret or Secret(""))
    else:
        members["client_id"] = client_id
        if secret is not None and registration.client_auth == "post":
            members["client_secret"] = secret.reveal()
    if registration.client_auth == "private_key_jwt":
        members |= await signed_parameters(registration)
    encoded = json.dumps(members) if body == "json" else urlencode(members)
    return headers, encoded.encode()


async def signed_parameters(registration: ProviderRegistration) -> dict[str, str]:
    """What proves a client that signs (RFC 7523 section 2.2), good for one request.

    Args:
        registration: how we are registered, with its token endpoint known.

    Raises:
        ValueError: if there is no key.
        KeyUnusable: if nothing can be signed with it.
    """
    key = client_key_of(registration)
    if key is None:
        raise ValueError("client_auth 'private_key_jwt' needs a client_key")
    client_id, endpoint = registration.client_id or "", registration.token_endpoint or ""
    return await to_thread.run_sync(lambda: key.parameters(client_id=client_id, token_endpoint=endpoint))
