"""How fast we are, measured beside the programs that do the same: ``python -m benchmarks``.

The problem: a millisecond says more about the machine than about the program, and a figure that was measured
alone cannot be believed. So everything here is a ratio to something that ran in the same minute.

Rules:
- What is compared takes turns, in a shuffled order, and medians are compared.
- Both ends of a socket are pinned: a wake-up across processors costs more than the answer.
- What is measured was installed from a wheel and runs on the real interpreter, with no version manager
  before it.
- No test judges a time. The tests only keep this alive (``--smoke``).
"""
