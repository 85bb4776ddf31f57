"""tokenward: one daemon per user that owns credentials and hands out tokens that are valid now.

Nothing is imported here: the fastest path to a token (``helper.py``) pays for every import of its package.
"""

__version__ = "0.1.0"
