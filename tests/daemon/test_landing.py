"""What each result of a flight means to the refresh machine, as a table."""

from __future__ import annotations

import pytest

from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.lifecycle import Event
from tokenward.daemon import landing
from tokenward.daemon.flight_results import Adopted, Cause, Failed, FlightResult, Refreshed, Rejected, SaveFailed
from tokenward.daemon.landing import Failure, Value

NEW = Credential(Kind.OAUTH, Secret("at-new"), Secret("rt-new"))
SENT = "0123456789ab"
OTHER = "ba9876543210"

TABLE: list[tuple[FlightResult, bool, str | None, bool, Event]] = [
    # result, saving, held, is_over, event
    (Refreshed(NEW), False, SENT, False, Event.REFRESHED),
    (Refreshed(NEW), True, SENT, False, Event.SAVED),
    (Adopted(NEW), False, SENT, False, Event.ADOPTED),
    (Adopted(NEW), False, SENT, True, Event.FAILED),
    (Adopted(NEW), True, SENT, True, Event.SAVE_FAILED),
    (SaveFailed(NEW, SENT, "f" * 64, sealed=True, reason="disk full"), False, SENT, False, Event.SAVE_FAILED),
    (Rejected(SENT, "invalid_grant"), False, SENT, False, Event.REJECTED),
    (Rejected(SENT, "invalid_grant"), False, OTHER, False, Event.FAILED),
    (Rejected(SENT, "invalid_grant"), False, None, False, Event.FAILED),
    (Failed(Cause.UNAVAILABLE, "503"), False, SENT, False, Event.FAILED),
    (Failed(Cause.UNAVAILABLE, "503"), True, SENT, False, Event.SAVE_FAILED),
]


@pytest.mark.parametrize(("result", "saving", "held", "is_over", "event"), TABLE)
def test_each_result_is_one_event(
    *, result: FlightResult, saving: bool, held: str | None, is_over: bool, event: Event
) -> None:
    """A verdict on another generation than the one held is a failed attempt and no more (I7)."""
    landed = landing.of(result, saving=saving, held=held, is_over=lambda _: is_over)
    assert landed.event is event
    assert isinstance(landed, Value) is (event in {Event.REFRESHED, Event.SAVED, Event.ADOPTED})


def test_what_a_server_asked_for_survives() -> None:
    """The seconds of Retry-After and the words reach the back-off and the status."""
    landed = landing.of(
        Failed(Cause.UNAVAILABLE, "429", retry_after=30.0), saving=False, held=SENT, is_over=lambda _: False
    )
    assert landed == Failure(Cause.UNAVAILABLE, "429", 30.0, Event.FAILED)
