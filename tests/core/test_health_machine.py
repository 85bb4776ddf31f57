"""Health against a slow, obvious account of the same rules, over arbitrary lives of a profile.

The account keeps every window there ever was and walks back through them to count; it shares no code with the
module, and neither reads its state.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from core.resting import resting
from tokenward.core.classify import FailureClass
from tokenward.core.health import (
    Health,
    after_failure,
    after_success,
    cleared,
    rebased,
)
from tokenward.core.health_document import from_document, to_document
from tokenward.core.ladders import PRESETS, Ladders
from tokenward.core.selection import PERSON_MUST_ACT

F = FailureClass
START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(hours=24)
WEEK = timedelta(days=7)
FOREVER = datetime(9000, 1, 1, tzinfo=UTC)
MODELS = ("haiku", "opus")

models = st.sampled_from([None, *MODELS])
pauses = st.sampled_from([0, 1, 29, 30, 59, 60, 61, 300, 1500, 3600, 5 * 3600, 10 * 3600, 86_399, 86_400, 86_401])
resets = st.none() | st.sampled_from([-5, 0, 1, 20, 90, 4000, 86_400, 200_000, 10_000_000])


@dataclass
class Rest:
    """One window of the account; ``counted`` if a failure of its scope was counted with it."""

    scope: str
    reason: FailureClass
    ends: datetime
    counted: bool
    named: bool
    failed_at: datetime
    idle_from: datetime


class Account:
    """The rules, told slowly."""

    def __init__(self, ladders: Ladders) -> None:
        """Begin with no window."""
        self.ladders = ladders
        self.rests: list[Rest] = []

    def scope(self, failure: FailureClass, model: str | None) -> str | None:
        """What a failure closes."""
        if failure in (F.AUTH_PERMANENT, F.AUTH_POLICY):
            return "refused"
        if failure == F.BILLING:
            return "billing"
        if failure in (F.RATE_LIMIT, F.OVERLOADED, F.MODEL) and model:
            return "model " + model
        if failure in (F.AUTH, F.RATE_LIMIT, F.OVERLOADED) or failure in self.ladders.also_cooling:
            return "cooldown"
        return None

    def open_over(self, scope: str, now: datetime) -> list[Rest]:
        """The windows that hold for a scope: its own and the wider ones."""
        wider = {"refused": [], "billing": ["refused"], "cooldown": ["refused", "billing"]}.get(
            scope, ["refused", "billing", "cooldown"]
        )
        return [rest for rest in self.rests if rest.scope in [scope, *wider] and rest.ends > now]

    def count(self, scope: str, now: datetime) -> int:
        """How many failures of a scope were counted, each within a day of the one after it."""
        number, later = 0, now
        for rest in reversed([rest for rest in self.rests if rest.scope == scope and rest.counted]):
            if later - rest.idle_from > DAY:
                break
            number, later = number + 1, rest.failed_at
        return number

    def fail(self, failure: FailureClass, model: str | None, now: datetime, reset: datetime | None) -> None:
        """Take a failure."""
        scope = self.scope(failure, model)
        if scope is None:
            return
        named = None if reset is None or reset <= now else min(reset, now + WEEK)
        if not self.open_over(scope, now):
            self.rests.append(self.opened(failure, scope, now, named))
        elif named is not None and scope != "refused":
            self.name(failure, scope, now, named)

    def opened(self, failure: FailureClass, scope: str, now: datetime, named: datetime | None) -> Rest:
        """A new window."""
        if failure == F.OVERLOADED and F.OVERLOADED not in self.ladders.also_cooling:
            ends = named or now + timedelta(seconds=self.ladders.overloaded)
            return Rest(scope, failure, ends, counted=False, named=named is not None, failed_at=now, idle_from=now)
        steps = {"refused": self.ladders.refused, "billing": self.ladders.billing}.get(
            scope, self.ladders.cooldown
        )
        if failure == F.RATE_LIMIT:
            steps = self.ladders.rate_limit or steps
        number = self.count(scope, now)
        if named is not None and scope != "refused":
            ends = named
        elif steps is None:
            ends = FOREVER
        else:
            ends = now + timedelta(seconds=steps[-1] if number >= len(steps) else steps[number])
        long = ends != FOREVER and ends - now >= DAY
        return Rest(scope, failure, ends, True, ends == named, now, ends if long else now)

    def name(self, failure: FailureClass, scope: str, now: datetime, named: datetime) -> None:
        """The server names a moment while something is closed already."""
        own = [rest for rest in self.rests if rest.scope == scope and rest.ends > now]
        if own and own[-1].named and own[-1].ends >= named:
            return
        if own:
            own[-1].ends, own[-1].named = named, True
        else:
            self.rests.append(Rest(scope, failure, named, counted=False, named=True, failed_at=now, idle_from=now))
        counted = [rest for rest in self.rests if rest.scope == scope and rest.counted]
        if counted:
            counted[-1].idle_from = named if named - now >= DAY else min(counted[-1].idle_from, now)

    def succeed(self, model: str | None) -> None:
        """Forget what a success disproves."""
        others = [f"model {name}" for name in MODELS if model is not None and name != model]
        self.rests = [rest for rest in self.rests if rest.scope in others]


class HealthMachine(RuleBasedStateMachine):
    """A profile that fails, succeeds, waits and is written down."""

    @initialize(preset=st.sampled_from(sorted(PRESETS)))
    def begin(self, preset: str) -> None:
        """A healthy profile under one of the presets."""
        self.ladders = PRESETS[preset]
        self.account = Account(self.ladders)
        self.health: Health = cleared()
        self.now = START

    @rule(failure=st.sampled_from(FailureClass), model=models, reset=resets)
    def fail(self, failure: FailureClass, model: str | None, reset: int | None) -> None:
        """A failure of any class."""
        self.take(failure, model, reset)

    @rule(failure=st.sampled_from([F.BILLING, F.RATE_LIMIT]), pause=pauses)
    def fail_after(self, failure: FailureClass, pause: int) -> None:
        """A failure that climbs, after a time at which something may just have ended."""
        self.now += timedelta(seconds=pause)
        self.take(failure, None, None)

    @rule(model=models)
    def fail_as_soon_as_open(self, model: str | None) -> None:
        """Billing fails again at the very end of what holds now."""
        found = resting(self.health, self.now, model=model)
        if found is not None and found.until is not None:
            self.now = found.until
        self.take(F.BILLING, model, None)

    def take(self, failure: FailureClass, model: str | None, reset: int | None) -> None:
        """Tell both."""
        moment = None if reset is None else self.now + timedelta(seconds=reset)
        self.account.fail(failure, model, self.now, moment)
        self.health = after_failure(
            self.health, failure, now=self.now, ladders=self.ladders, model=model, reset_at=moment
        )

    @rule(pause=pauses)
    def wait(self, pause: int) -> None:
        """Time passes."""
        self.now += timedelta(seconds=pause)

    @rule(model=models)
    def succeed(self, model: str | None) -> None:
        """An answer, of a model or of who knows which."""
        self.account.succeed(model)
        self.health = after_success(self.health, model=model)

    @rule()
    def clear(self) -> None:
        """A person clears, or the material is new."""
        self.account.rests.clear()
        self.health = cleared()

    @rule()
    def restart(self) -> None:
        """What is written down is what was."""
        read = from_document(to_document(self.health))
        assert read == self.health
        self.health = read

    @invariant()
    def agree(self) -> None:
        """Both tell the same moment and a reason for it, for the profile and for each model."""
        for model in (None, *MODELS):
            scope = "cooldown" if model is None else "model " + model
            rests = self.account.open_over(scope, self.now)
            found = resting(self.health, self.now, model=model)
            if found is None:
                assert not rests
                continue
            assert (found.until or FOREVER) == max(rest.ends for rest in rests)
            # What a person must mend is told before what passes.
            told = [rest for rest in rests if rest.reason in PERSON_MUST_ACT] or rests
            last = max(rest.ends for rest in told)
            assert found.reason in [rest.reason for rest in told if rest.ends == last]

    @invariant()
    def no_step_of_the_clock_locks_out(self) -> None:
        """Set back by anything, no window with an end keeps the profile out for more than a week."""
        for step in (timedelta(hours=1), DAY, timedelta(days=365)):
            now = self.now - step
            found = resting(self.health, now, model="opus")
            assert found is None or found.until is None or found.until - now <= WEEK
            again = rebased(self.health, now=now)
            assert rebased(again, now=now) is again


HealthMachine.TestCase.settings = settings(
    derandomize=True, deadline=None, max_examples=150, stateful_step_count=40
)
TestHealth = HealthMachine.TestCase
