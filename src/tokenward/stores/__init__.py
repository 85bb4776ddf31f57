"""The place we own: where credentials are kept, and where the key that seals them lies."""
