"""What is written down is decided member by member, and comes back as it was."""

import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.record import RECORD_VERSION, UnknownRecord, from_record, to_record

LAW = settings(derandomize=True, deadline=None)

DECISIONS = {
    "kind": "kind",
    "access": "access",
    "refresh": "refresh",
    "expires_at": "expires_at",
    "granted_life": "granted_life",
    "scopes": "scopes",
    "token_type": "token_type",
    "login_ends_at": "login_ends_at",
    "subscription": "subscription",
    "tier": "tier",
    "account": "account",
    "generation": None,  # follows from access and refresh
}
"""Where each member of a credential is written; None = not written, since it follows from others."""

WHOLE = Credential(
    Kind.OAUTH,
    Secret("access"),
    Secret("refresh"),
    expires_at=datetime(2026, 1, 1, microsecond=1001, tzinfo=UTC),
    granted_life=28800.0,
    scopes=("user:inference", "user:profile"),
    token_type="bearer",
    login_ends_at=datetime(2026, 6, 1, tzinfo=UTC),
    subscription="max",
    tier="max_5",
    account="0a-1b",
)

texts = st.text(st.characters(exclude_categories=()), max_size=30).filter(
    lambda text: json.loads(json.dumps(text)) == text  # JSON joins two surrogates into the character they mean
)
moments = st.none() | st.datetimes(timezones=st.just(UTC))
credentials = st.builds(
    Credential,
    kind=st.sampled_from(Kind),
    access=texts.map(Secret),
    refresh=st.none() | texts.map(Secret),
    expires_at=moments,
    granted_life=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    scopes=st.lists(texts, max_size=4).map(tuple),
    token_type=texts,
    login_ends_at=moments,
    subscription=st.none() | texts,
    tier=st.none() | texts,
    account=st.none() | texts,
)


def test_every_member_of_a_credential_has_a_decision() -> None:
    """Who adds a member to Credential must say here whether it is written down, and where."""
    assert set(DECISIONS) == {member.name for member in dataclasses.fields(Credential)}
    written = {where for where in DECISIONS.values() if where is not None}
    assert set(json.loads(to_record(WHOLE))) == written | {"version"}


@pytest.mark.parametrize("member", [name for name, where in DECISIONS.items() if where is not None])
def test_every_written_member_comes_back(member: str) -> None:
    """With no default in the way: the whole credential differs from a bare one in each member."""
    bare = Credential(Kind.FEDERATED, Secret("x"))
    assert getattr(WHOLE, member) != getattr(bare, member)
    assert getattr(from_record(to_record(WHOLE)), member) == getattr(WHOLE, member)


@LAW
@given(credentials)
def test_what_is_written_is_read(credential: Credential) -> None:
    """Round trip, the name of the value included, also for texts that UTF-8 cannot hold."""
    back = from_record(to_record(credential))
    assert back == credential
    assert back.generation == credential.generation


def test_the_first_version_stays_readable() -> None:
    """This is what lies on disks; a later release must read it."""
    record = (
        b'{"version":1,"kind":"oauth","access":"access","refresh":"refresh","expires_at":'
        b'"2026-01-01T00:00:00.001001+00:00","granted_life":28800.0,"scopes":["user:inference","user:profile"],"token_type":"bearer",'
        b'"login_ends_at":"2026-06-01T00:00:00+00:00","subscription":"max","tier":"max_5","account":"0a-1b"}'
    )
    assert from_record(record) == WHOLE
    assert to_record(WHOLE) == record
    before_accounts = record.replace(b',"account":"0a-1b"', b"")
    assert from_record(before_accounts) == dataclasses.replace(WHOLE, account=None)


def altered(**members: Any) -> bytes:
    """The record of WHOLE with other members; None of a name takes it out."""
    document = json.loads(to_record(WHOLE))
    for name, value in members.items():
        if value is None:
            del document[name]
        else:
            document[name] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"access"',
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        altered(version=RECORD_VERSION + 1),
        altered(version="1"),
        altered(version=None),
        altered(kind="password"),
        altered(kind=[]),
        altered(access=7),
        altered(refresh=7),
        altered(scopes=7),
        altered(expires_at="soon"),
        altered(expires_at=1767225600001),
        altered(login_ends_at=[]),
        *(altered(**{where: None}) for where in DECISIONS.values() if where not in {None, "account"}),
    ],
    ids=lambda record: repr(record[:40]),
)
def test_what_is_no_record_of_this_version_is_refused(record: bytes) -> None:
    """It is never guessed at, and the error holds nothing of it."""
    with pytest.raises(UnknownRecord) as refused:
        from_record(record)
    assert str(refused.value) in {"not a credential's record", "a record of another version"}
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@LAW
@given(
    st.binary()
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_bytes_that_are_no_record_raise_nothing_else(record: bytes) -> None:
    """Whatever a wrong key or a broken disk yields, the one error comes."""
    with pytest.raises(UnknownRecord):
        from_record(record)
