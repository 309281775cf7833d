"""Runs the command line as ``python -m metier``."""

from metier.cli import main

main()
