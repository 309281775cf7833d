"""The driver of a run, and what is read from finished ones."""
