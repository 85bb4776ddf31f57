"""What follows from the answers to one request that was made with requests.

The problem: requests knows no flow of requests and answers; it calls a hook with every answer, and follows
redirects afterwards, with a copy of the request as it then is.

Rules: those of ``tokenward.client.auth``. The hook runs once for each answer of a chain of redirects, and the
first refusal alone is answered with another attempt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from tokenward.client import _token_headers as token_headers
from tokenward.client._destinations import Destinations
from tokenward.client._held_token import HeldToken
from tokenward.client._reporting import Reporter
from tokenward.client._shapes import Token
from tokenward.errors import TokenwardError

if TYPE_CHECKING:
    import requests

UNAUTHORIZED = 401


class RequestsAnswers:
    """The hook of one request.

    Args:
        request: the request, with the token on.
        token: the token.
        held: asked for a newer one.
        destinations: where the token may go.
        reporter: told of every answer.
    """

    def __init__(
        self,
        request: requests.PreparedRequest,
        token: Token,
        held: HeldToken,
        destinations: Destinations,
        reporter: Reporter,
    ) -> None:
        self._request = request
        self._token = token
        self._held = held
        self._destinations = destinations
        self._reporter = reporter
        self._sent_again = False
        self._start = _position(request.body)

    def __call__(self, response: requests.Response, **settings: Any) -> requests.Response:
        """Take an answer, and give the one that the program gets."""
        if token_headers.is_on(response.request.headers, self._token):
            told = self._tell(response, None if settings.get("stream") else self._error_body(response))
            if response.status_code == UNAUTHORIZED and not self._sent_again and self._can_be_sent_again(response):
                response = self._another(response, settings)
            elif told:
                self._held.doubt(self._token.generation)
        self._before_redirect(response)
        return response

    def _error_body(self, response: requests.Response) -> bytes | None:
        return response.content if self._reporter.wants_body(response.status_code, response.headers) else None

    def _tell(self, response: requests.Response, error_body: bytes | None = None) -> bool:
        """Report an answer; says whether the daemon may have another token in mind now."""
        sent = response.request.body
        return self._reporter.tell(
            self._token,
            response.status_code,
            response.headers,
            error_body=error_body,
            request_body=sent.encode() if isinstance(sent, str) else sent if isinstance(sent, bytes) else None,
        )

    def _can_be_sent_again(self, response: requests.Response) -> bool:
        body: Any = response.request.body  # the stubs do not know of files and generators
        return body is None or isinstance(body, bytes | str) or self._start is not None

    def _another(self, refused: requests.Response, settings: dict[str, Any]) -> requests.Response:
        try:
            newer = self._held.newer_than(self._token.generation)
            self._destinations.require(newer, refused.request.url or "")
        except TokenwardError:
            return refused
        self._sent_again = True
        again = refused.request.copy()
        for each in (again, self._request):
            # The request itself is what requests copies when it follows a redirect.
            token_headers.take_off(each.headers, self._token)
            token_headers.put_on(each.headers, newer)
        if self._start is not None:
            body: Any = again.body
            body.seek(self._start)
        _ = refused.content  # so that the connection can be used again
        refused.close()
        answer = refused.connection.send(again, **settings)
        answer.history.append(refused)
        answer.request = again
        self._token = newer
        if self._tell(answer):
            self._held.doubt(newer.generation)
        return answer

    def _before_redirect(self, response: requests.Response) -> None:
        if not response.is_redirect:
            return
        target = urljoin(response.url, response.headers["location"])
        if not self._destinations.permit(self._token, target):
            for each in (response.request, self._request):
                token_headers.take_off(each.headers, self._token)


def _position(body: Any) -> int | None:
    """Where a file that can be rewound stands; None for everything else."""
    if not hasattr(body, "seek") or not hasattr(body, "tell"):
        return None
    try:
        return int(body.tell())
    except OSError:
        return None
