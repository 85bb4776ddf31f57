"""Which tier may use which model, and which model is the one to take where nobody said.

The problem: a table of tiers is old on the day after a new model, and a program that believes it sends people
who pay for the best to a lesser one. So a model that the table does not hold is open to everybody, and nothing is
ever replaced without a warning that says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tokenward.core.subscription_tier import TIERS
from tokenward.errors import ModelAccessDenied


class TierAdvice(NamedTuple):
    """Which model to use.

    Args:
        model: its id.
        warning: why it is not the one that was asked for; None = it is.
    """

    model: str
    warning: str | None = None


class TierTable(NamedTuple):
    """Who may use what.

    Args:
        access: the tiers that may use a model, by its id; a model that is not in it is open to all.
        defaults: the model to take, by tier.
        without_tier: the model to take where there is no tier.
    """

    access: Mapping[str, frozenset[str]]
    defaults: Mapping[str, str]
    without_tier: str

    def is_available(self, model: str, tier: str | None) -> bool:
        """Whether a tier may use a model; with no tier, or of an id that is not in the table, it may."""
        return tier is None or model not in self.access or tier in self.access[model]

    def available(self, tier: str) -> list[str]:
        """The ids of the table that a tier may use, in its order."""
        return [model for model, tiers in self.access.items() if tier in tiers]

    def minimum_tier(self, model: str) -> str | None:
        """The least tier that may use a model; None if the table does not hold it."""
        return next((tier for tier in TIERS if tier in self.access.get(model, ())), None)

    def recommended(self, tier: str | None) -> str:
        """The model to take where nobody asked for one."""
        return self.without_tier if tier is None else self.defaults[tier]

    def advice(self, model: str, tier: str | None) -> TierAdvice:
        """The model that was asked for if the tier may use it, else the tier's own, and why."""
        if self.is_available(model, tier):
            return TierAdvice(model)
        instead = self.recommended(tier)
        return TierAdvice(instead, f"{self._denial(model, tier)}; {instead} is the default of that tier")

    def require(self, model: str, tier: str | None) -> None:
        """Insist on a model.

        Raises:
            ModelAccessDenied: if the tier may not use it.
        """
        if not self.is_available(model, tier):
            required = self.minimum_tier(model)
            raise ModelAccessDenied(
                f'{self._denial(model, tier)}. Required tier: "{required}" or higher.',
                hint=f"use {self.recommended(tier)}, or name another tier",
                required_tier=required,
            )

    def _denial(self, model: str, tier: str | None) -> str:
        return f'Model "{model}" is not available for tier "{tier}"'
