"""Selection: which of many examples to train on."""
