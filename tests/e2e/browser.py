"""A person with a browser, as far as a login needs one: cookies, redirects and forms, and nothing else.

Rules:
- Standard library only, loopback only, no proxy.
- It follows redirects until one leads to an address it was told to stop at, which is not fetched.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from html.parser import HTMLParser
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import IO, Any
from urllib.parse import urlencode, urljoin

PATIENCE = 20.0  # seconds for one page
MOST_REDIRECTS = 10


@dataclass
class Form:
    """A form, with the values its fields have."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """What the browser shows.

    Args:
        url: the address in its address bar.
        status: the HTTP status; 0 for an address that was not fetched.
        text: the document.
        forms: its forms.
    """

    url: str
    status: int
    text: str
    forms: tuple[Form, ...]


class Browser:
    """Cookies and an address bar.

    Args:
        stop_at: beginnings of addresses that are not fetched.
    """

    def __init__(self, *stop_at: str) -> None:
        self._stop_at = stop_at
        jar = CookieJar(policy=DefaultCookiePolicy(rfc2965=False))
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar), _NoRedirects()
        )

    def open(self, url: str, form: Mapping[str, str] | None = None) -> Page:
        """Go to an address, with a form's fields in the body if there are any."""
        body = urlencode(form).encode() if form is not None else None
        for _ in range(MOST_REDIRECTS):
            if self._stop_at and url.startswith(self._stop_at):
                return Page(url, 0, "", ())
            request = urllib.request.Request(url, data=body)  # noqa: S310 - a loopback server of the test
            try:
                with self._opener.open(request, timeout=PATIENCE) as answer:
                    text = answer.read().decode()
                    return Page(url, answer.status, text, _forms(url, text))
            except urllib.error.HTTPError as answer:
                with answer:
                    location = answer.headers.get("Location")
                    if not 300 <= answer.code < 400 or location is None:
                        return Page(url, answer.code, answer.read().decode(errors="replace"), ())
                url, body = urljoin(url, location), None
        raise AssertionError(f"redirected in circles at {url}")

    def submit(self, page: Page, **fields: str) -> Page:
        """Fill the page's first form and send it."""
        form = page.forms[0]
        filled = {**form.fields, **fields}
        if form.method == "post":
            return self.open(form.action, filled)
        return self.open(f"{form.action}?{urlencode(filled)}")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(  # noqa: PLR0917 - the signature of the standard library
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """None of them: the browser decides."""


class _Forms(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self.forms: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        """Collect forms and their fields."""
        given = dict(attrs)
        if tag == "form":
            self.forms.append(
                Form(urljoin(self._url, given.get("action") or ""), (given.get("method") or "get").lower())
            )
        elif tag == "input" and self.forms and given.get("name"):
            self.forms[-1].fields[given["name"]] = given.get("value") or ""


def _forms(url: str, text: str) -> tuple[Form, ...]:
    parser = _Forms(url)
    parser.feed(text)
    return tuple(parser.forms)
