"""Where the real scans for checks are, if they are anywhere."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_real() -> Path:
    """Folder of real CT, MR and reports: `$VOL3D_SHARED/real`, or `shared/real` beside the checkout. Skips where it is missing."""
    root = Path(os.environ.get("VOL3D_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (root / "real").is_dir():
        pytest.skip("no folder of real scans: set VOL3D_SHARED")
    return root / "real"
