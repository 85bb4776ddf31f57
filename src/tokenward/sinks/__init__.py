"""Files that we publish for programs that cannot ask a socket."""
