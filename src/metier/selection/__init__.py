"""Selection: which of many examples to train on. Knows nothing about where they came from."""
