"""Whether this host may spend a refresh token that many hosts hold: the answer to one look at its record.

The problem: a lease that lapsed says that its holder was killed, stopped or cut off. He may have spent the token
and told nobody, or be about to. A host that sends the token anyway has the authorization server end the login of
the whole fleet; a host that never does leaves the fleet without one.

Rules (the rule for a refresh that was never answered, design section 4.10, for all hosts as one):
- While the access token lives there is something to lose: a token that another holder may have spent is not sent,
  but once within the time in which the authorization server takes a spent one again.
- When it has ended, a host that has watched the lapsed lease for as long again, with an engine that answered all
  the while, may send it. Whoever holds the answer could have told by then: one that sends it sooner has a login
  ended whose next token lay on another's disk.
- A lease that was given back, or that the new value ended, leaves nothing in doubt. One that was taken over while
  there is something to lose is therefore not given back.
- Our own lease is ours again after a restart: what this host sent, its family file knows.
- Whoever takes a lease over says so in its name, so that a token is sent again within that time once and not in a
  chain of hosts.
"""

from __future__ import annotations

from dataclasses import dataclass

from tokenward.core.sharing import Lease, SharedRecord

_AGAIN = " again"


@dataclass(frozen=True, slots=True)
class Take:
    """The lease may be had.

    Args:
        holder: under which name.
        may_return: whether giving it back, if the value stays as it is, leaves nothing in doubt.
    """

    holder: str
    may_return: bool = True


@dataclass(frozen=True, slots=True)
class AtWork:
    """Somebody else may be refreshing it.

    Args:
        holder: who.
        seconds: when his lease ends.
    """

    holder: str
    seconds: float


@dataclass(frozen=True, slots=True)
class InDoubt:
    """Somebody else may have spent the refresh token and told nobody.

    Args:
        holder: who.
        since: seconds since he took the lease.
        seconds: for how long the token must not be sent.
    """

    holder: str
    since: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Dead:
    """The authorization server has condemned the refresh token; it need not be asked again.

    Args:
        reason: what it said.
    """

    reason: str


def may_claim(
    record: SharedRecord, *, holder: str, left: float | None, reuse_grace: float, watched: float
) -> Take | AtWork | InDoubt | Dead:
    """Decide about the refresh token of a record's value.

    Args:
        record: what the engine said just now.
        holder: our own name, as it is without a lease.
        left: seconds of life of the access token; None = unknown.
        reuse_grace: seconds in which the authorization server takes a spent refresh token once more.
        watched: seconds for which we have seen this lease lapsed, and the engine has answered.
    """
    if record.condemned is not None:
        return Dead(record.condemned)
    lease = record.lease
    if lease is None:
        return Take(holder)
    lives = left is not None and left > 0
    again = Take(holder + _AGAIN, may_return=not lives)
    if name_of(lease) == holder:
        return again
    if lease.left > 0:
        return AtWork(name_of(lease), lease.left)
    if not lease.holder.endswith(_AGAIN) and lease.age <= reuse_grace:
        return again
    to_wait = max(left or 0.0, lease.age + lease.left - watched)
    return InDoubt(name_of(lease), lease.age, to_wait) if to_wait > 0 else again


def name_of(lease: Lease) -> str:
    """The host that holds a lease, without what it says about the lease before."""
    return lease.holder.removesuffix(_AGAIN)
