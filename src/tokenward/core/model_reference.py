"""From what a person writes for a model to a provider and an id: the syntax, and nothing that knows a model.

The problem: one tool writes ``provider/model``, another ``provider:model``, and most people neither. Ids hold
slashes, colons and ``@`` themselves. So the text is cut at the first separator only, and only where what stands
before it can be a provider.

Rules:
- A name of a provider that is known, or an alias of one, goes before the inference from an id's prefix:
  ``claude-code/opus`` is Anthropic's ``opus``, though ``claude-`` begins Anthropic's ids.
- The provider is compared in any case; the model's id is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

MODEL_TEXT = r"^[A-Za-z0-9][A-Za-z0-9._:/@+\[\]-]{0,159}$"
"""What may stand for a model: a reference, or an id alone."""
_WHOLE = re.compile(MODEL_TEXT[1:-1])
_PROVIDER = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_SEPARATOR = re.compile(r"[/:]")


class Naming(NamedTuple):
    """Whose name is whose.

    Args:
        providers: each known name and alias, in lower case, to the provider's own name.
        prefixes: how the ids of a provider's models begin, to the provider's own name.
    """

    providers: Mapping[str, str]
    prefixes: Mapping[str, str]


class ModelReference(NamedTuple):
    """What a text says.

    Args:
        model: the id.
        provider: the own name of the provider that the text names; None = it names none.
        written: that name as it was written: an alias may ask for more than its provider.
        inferred: the provider whose ids begin like this one; None = nobody's.
    """

    model: str
    provider: str | None = None
    written: str | None = None
    inferred: str | None = None


def may_be_model(text: str) -> bool:
    """Whether a text can stand for a model: short, printable, and without blanks."""
    return _WHOLE.fullmatch(text) is not None


def parse(text: str, naming: Naming) -> ModelReference:
    """Read a reference.

    Args:
        text: ``provider/model``, ``provider:model`` or an id alone, with blanks around it or without.
        naming: the providers there are.
    """
    text = text.strip()
    cut = _SEPARATOR.search(text)
    left, right = (text[: cut.start()].lower(), text[cut.end() :]) if cut else ("", "")
    if left in naming.providers and right:
        return ModelReference(right, naming.providers[left], left)
    inferred = next((owner for start, owner in naming.prefixes.items() if text.lower().startswith(start)), None)
    if inferred is not None:
        return ModelReference(text, inferred=inferred)
    if right and _PROVIDER.fullmatch(left):
        return ModelReference(right, left, left)
    return ModelReference(text)
