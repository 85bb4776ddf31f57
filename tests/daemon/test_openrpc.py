"""The reference document is the code's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tokenward import errors
from tokenward.daemon import openrpc
from tokenward.daemon.event_models import Event
from tokenward.daemon.methods.daemon import DiscoverResult
from tokenward.daemon.methods.registry import METHODS
from tokenward.daemon.token_models import TokenParams

COMMITTED = Path(__file__).parents[2] / "openrpc.json"


def _references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(_references, value.values()))
    return set().union(*map(_references, value)) if isinstance(value, list) else set()


def test_the_committed_document_is_the_generated_one() -> None:
    """``python -m tokenward.daemon.openrpc > openrpc.json`` was run after the last change of a method."""
    assert COMMITTED.read_text(encoding="utf-8") == openrpc.text()


def test_every_method_stands_in_it_with_its_params_and_errors() -> None:
    """Names, params, their necessity, and the codes of what can be raised are those of the table."""
    document = openrpc.document()
    assert [method["name"] for method in document["methods"]] == list(METHODS)
    get = next(method for method in document["methods"] if method["name"] == "token.get")
    assert {param["name"] for param in get["params"]} == set(TokenParams.model_fields)
    assert not any(param["required"] for param in get["params"])
    assert {"$ref": "#/components/errors/LoginRequired"} in get["errors"]
    assert document["components"]["errors"]["LoginRequired"]["code"] == errors.LoginRequired.code
    assert document["components"]["errors"]["LoginRequired"]["data"] == {"type": "LoginRequired"}
    add = next(method for method in document["methods"] if method["name"] == "profile.add")
    assert {param["name"] for param in add["params"] if param["required"]} == {"profile", "credential"}


def test_every_reference_leads_somewhere() -> None:
    """No ``$ref`` dangles."""
    document = openrpc.document()
    for reference in _references(document):
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        assert found


def test_discovery_loses_nothing() -> None:
    """``rpc.discover`` answers with the whole document, notifications included."""
    assert DiscoverResult.model_validate(openrpc.document()).model_dump(mode="json") == openrpc.document()
    assert openrpc.document()["x-notifications"][0]["params"]["$ref"].endswith(Event.__name__)


def test_every_error_on_the_wire_can_be_raised_by_a_client() -> None:
    """``data.type`` of every documented error names a leaf of ``errors``."""
    documented = openrpc.document()["components"]["errors"]
    assert set(documented) <= set(errors.by_name())
    for name, error in documented.items():
        assert errors.by_name()[name].code == error["code"]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_described(method: str) -> None:
    """A summary is one sentence."""
    assert METHODS[method].summary.endswith(".")
    assert "\n" not in METHODS[method].summary
