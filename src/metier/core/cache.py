"""Says where this machine keeps what Metier fetches: models, and the copies of remote files beside them."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Return the folder of the model cache: ``METIER_CACHE``, or the user's cache folder."""
    root = os.environ.get("METIER_CACHE")
    return Path(root).expanduser() / "models" if root else Path(platformdirs.user_cache_dir("metier")) / "models"
