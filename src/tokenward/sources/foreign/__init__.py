"""Stores of other programs, read once to take over what they hold; none of them is ever written from here."""
