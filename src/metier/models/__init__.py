"""Models: finds one, brings it here safely, loads it. Knows nothing about tasks."""
