"""Rewriting whole texts with a specialist, sentence by sentence, without losing anything of them."""
