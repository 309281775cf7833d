"""Training: from pairs to a tuned model, through TRL and PEFT. Knows nothing about how the pairs were made."""
