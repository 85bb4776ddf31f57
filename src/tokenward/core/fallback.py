"""Which model is tried after one failed.

The problem: a session that can go on with another model should, but each must be tried once only, a caller who
stopped must not be given yet another, and the last error has to say what became of all of them.

Rules:
- The chain is the model asked for, the configured fallbacks, and the primary model last; each once.
- A hard pin of a session does not shorten the chain: it says with which credential a model of its provider is
  tried, never which model. So a model of the same provider is tried with the pinned profile or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tokenward.core.redact import printable

STOPPED = "aborted"
"""The reason of a failure that was the caller's own will; nothing follows it."""
_LONGEST_ERROR = 200


@dataclass(frozen=True, slots=True)
class FailedModel:
    """What became of one attempt.

    Args:
        model: ``provider/model``, as it stands in the chain.
        error: what went wrong, as the caller saw it.
        reason: the failure class, or ``STOPPED``.
    """

    model: str
    error: str = ""
    reason: str = "unknown"


@dataclass(frozen=True, slots=True)
class NoModelLeft:
    """No model is to be tried any more.

    Args:
        cause: one line that says what became of them.
        stopped: whether the caller stopped it, while models may be left.
    """

    cause: str
    stopped: bool = False


def chain(requested: str, fallbacks: Iterable[str] = (), primary: str | None = None) -> tuple[str, ...]:
    """The models in the order in which they are tried.

    Args:
        requested: the model asked for or pinned; as all of them ``provider/model``, with their own names.
        fallbacks: what the configuration names.
        primary: the configured model; None = none.
    """
    return tuple(dict.fromkeys((requested, *fallbacks, *((primary,) if primary is not None else ()))))


def next_model(models: Sequence[str], failed: Sequence[FailedModel]) -> str | NoModelLeft:
    """The model to try now.

    Args:
        models: the chain.
        failed: what became of each attempt, the first one first; what is not in the chain is only told.
    """
    if any(attempt.reason == STOPPED for attempt in failed):
        return NoModelLeft("the caller stopped it, so no other model is tried", stopped=True)
    tried = {attempt.model for attempt in failed}
    left = next((model for model in models if model not in tried), None)
    if left is not None:
        return left
    last = {attempt.model: attempt for attempt in failed}
    told = " | ".join(_told(attempt) for attempt in last.values())
    return NoModelLeft(f"All models failed ({len(last)}): {told}")


def _told(attempt: FailedModel) -> str:
    error = printable(attempt.error)[:_LONGEST_ERROR] or "no error was given"
    return f"{printable(attempt.model)}: {error} ({printable(attempt.reason)})"
