"""Where downloaded and converted weights are kept between runs."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$VOL3D_CACHE`, else `vol3d` in the user's cache folder. Not created here: whoever writes creates it.

    >>> cache_folder().is_absolute()
    True
    """
    if os.environ.get("VOL3D_CACHE"):
        return Path(os.environ["VOL3D_CACHE"]).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache").absolute() / "vol3d"
