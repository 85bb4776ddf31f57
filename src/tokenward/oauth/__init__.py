"""The client's side of OAuth: token endpoints, discovery, and the ways to log in."""
