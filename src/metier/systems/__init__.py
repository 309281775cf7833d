"""Everything that can answer: a file a System."""
