"""How much of the torture is run: a short form beside the other tests, all of it in ``make torture``."""

from __future__ import annotations

import os

import pytest

FULL = os.environ.get("METIER_TORTURE") == "full"
in_full = pytest.mark.skipif(not FULL, reason="only in make torture")
