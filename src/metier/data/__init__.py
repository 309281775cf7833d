"""From files' rows to pairs, labels and mixtures."""
