"""Values with named parts, for what is made once or seldom: settings, providers, tables of models.

The problem: ``@dataclass(frozen=True, slots=True)`` writes and compiles six functions for each class, which costs
as much as a fifth of an interpreter's start. Where values are made all the time that is well spent; a class whose
values are counted on one hand should cost nothing before the first of them.

Rules:
- Parts are annotated, and given by name; one that has no default must be given.
- A value never changes, and its defaults are immutable too; ``but`` makes another one.
- Two values are equal if they are of one class and all parts are.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self, dataclass_transform


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Value:
    """A value with named parts; a part that was not given is the class's own."""

    _parts: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls._parts = (*cls._parts, *cls.__annotations__)

    def __init__(self, **given: Any) -> None:
        for name in self._parts:
            if name not in given and not hasattr(self, name):
                raise TypeError(f"{type(self).__name__} lacks {name}")
        if unknown := given.keys() - set(self._parts):
            raise TypeError(f"{type(self).__name__} has no {', '.join(sorted(unknown))}")
        self.__dict__.update(given)

    @classmethod
    def parts(cls) -> tuple[str, ...]:
        """The names of the parts, in the order of the class."""
        return cls._parts

    def but(self, **changed: Any) -> Self:
        """The same value with other parts."""
        return type(self)(**{**self.__dict__, **changed})

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self._parts)

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, name) for name in self._parts)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self._parts)})"

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} is not to be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} is not to be changed")
