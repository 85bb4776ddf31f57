"""The running daemon: it feeds the pure core with what happens, and performs what the core decides."""
