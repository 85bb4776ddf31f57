"""Places that others own, from which credentials arrive; each is written only by its owner's rules."""
