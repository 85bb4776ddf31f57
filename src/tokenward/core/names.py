"""What the names of profiles, agents and generations look like, and how many characters other names may have.

The problem: the socket's models, the lane beside them, the shared records and the configuration must take the same
text for a name.
"""

from __future__ import annotations

PROFILE_ID = r"^[a-z0-9][a-z0-9_-]{0,63}:[A-Za-z0-9._@+-]{1,128}$"
PROFILE_KEY = r"^([A-Za-z0-9._-]{1,64}/)?[a-z0-9][a-z0-9_-]{0,63}:[A-Za-z0-9._@+-]{1,128}$"
"""A profile's id; of another agent than main, with that agent before it."""
AGENT = r"^[A-Za-z0-9._-]{1,64}$"
GENERATION = r"^[0-9a-f]{12}$"

LONGEST_PROVIDER = 64
LONGEST_SESSION = 128
LONGEST_TIER = 32
