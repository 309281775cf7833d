"""How much of the torture is run: a short form beside the other tests, all of it in ``make torture``."""

from __future__ import annotations

import os

import pytest

FULL = os.environ.get("METIER_TORTURE") == "full"
in_full = pytest.mark.skipif(not FULL, reason="only in make torture")
OVERRIDES = ("evaluation.baselines=[few_shot]", "evaluation.timed_rows=1", "training.epochs=1")
"""Of the runs that are tortured: what is compared is beside the point."""
