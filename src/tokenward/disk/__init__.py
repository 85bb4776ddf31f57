"""Everything that must be right about files: atomic writes, private directories, locks, the family file."""
