"""Models: finds one, downloads it safely, loads it. Knows nothing about tasks."""
